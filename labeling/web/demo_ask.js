/**
 * The question of the demo, in the labeling pages' own parts: two paths on a stage, answered by keys, buttons or swipes.
 * As long as a synthetic labeler answers it shows the pairs that it was asked about, and what it said.
 */
import { get, scopeOf } from "./api.js";
import { write } from "./board.js";
import { Evidence } from "./evidence.js";
import { byId, floorColors, spoken, stacked } from "./face.js";
import { listenToActions } from "./input.js";
import { ANSWERS, Keys, keyName } from "./keys.js";
import { Outbox } from "./outbox.js";
import { Pairs } from "./pairs.js";
import { Stage } from "./stage.js";
import { Storage } from "./storage.js";
import { listen } from "./touch.js";

const LOOK_S = 1.8; // a pair that was answered stays so long: nobody can follow two hundred a second
const STEP_S = 0.25;
const status = document.documentElement.dataset;
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

export class Ask {
  #stage;
  #storage = new Storage();
  #keys = new Keys(this.#storage);
  #evidence = new Evidence();
  #run = "";
  #pairs = null;
  #outbox = null;
  #shown = null; // the pair that waits for the person's answer
  #undoable = []; // {id, pair}
  #isMine = false;
  #shownAt = -Infinity;
  #later = 0; // shows the newest pair once the one on screen has been looked at
  #last = "";

  constructor(grid) {
    const canvases = ["left", "right"].map((side) => byId(side).querySelector("canvas"));
    this.#stage = new Stage(canvases, { geoms: [], camera: null, grid }, floorColors);
    listenToActions(this.#keys, () => !this.#isMine, (action, input) => this.#act(action, input));
    listen(byId("pair"), () => stacked.matches, {
      turn: () => {},
      reset: () => {},
      answer: (answer) => this.#act(answer, "touch"),
      hint: () => {},
    });
    for (const button of document.querySelectorAll("#answers button")) {
      const kbd = button.querySelector("kbd");
      if (kbd) kbd.textContent = keyName(this.#keys.keyOf(button.dataset.action));
    }
    this.#allow(false);
  }

  /** state: as the server tells it. Whose turn it is follows from it. */
  async write({ run, worlds: [world] }) {
    const isMine = world.labeler === "person" && world.online;
    if (run !== this.#run || isMine !== this.#isMine) await this.#turn(run, isMine);
    document.body.dataset.asks = isMine ? "person" : world.online ? "oracle" : "nobody";
    if (!isMine) return this.#showAsked(world);
    if (world.waiting && !this.#shown) this.#pairs?.fill();
    if (!this.#shown) this.#say("The agent walks on", "It asks again in a moment.");
    return undefined;
  }

  async #turn(run, isMine) {
    this.#pairs?.rest();
    clearTimeout(this.#later);
    if (run !== this.#run) this.#leave();
    this.#run = run;
    this.#isMine = isMine;
    this.#shown = null;
    this.#last = "";
    this.#allow(false);
    this.#mark("");
    this.#stage.clear();
    this.#offer();
    if (!isMine) return;
    if (this.#pairs) return this.#pairs.wake();
    let session;
    try {
      session = await get("/api/session");
    } catch {
      if (run === this.#run) this.#run = ""; // the next state begins this turn again
      return;
    }
    if (run !== this.#run || !this.#isMine) return; // begun anew meanwhile
    const outbox = new Outbox(this.#storage, scopeOf(session));
    this.#outbox = outbox;
    outbox.addEventListener("change", () => outbox === this.#outbox && (status.saved = String(outbox.waiting)));
    const pairs = new Pairs(0, session.lease_s, outbox);
    this.#pairs = pairs;
    pairs.addEventListener("ready", () => pairs === this.#pairs && this.#isMine && !this.#shown && this.#showNext());
    pairs.addEventListener("lost", () => pairs === this.#pairs && this.#showNext());
    outbox.drain();
    pairs.fill();
  }

  /** The run that was asked about is gone, and its answers with it. */
  #leave() {
    this.#pairs?.close();
    this.#outbox?.abandon();
    [this.#pairs, this.#outbox, this.#undoable] = [null, null, []];
  }

  #showNext() {
    const pair = this.#pairs.next();
    this.#shown = null;
    status.query = "";
    this.#allow(false);
    this.#offer();
    if (!pair) return this.#stage.clear();
    this.#stage.show([pair.left, pair.right], reducedMotion.matches, () => {
      this.#shown = pair;
      this.#pairs.noteDrawn();
      this.#allow(true);
      this.#evidence.start();
      status.query = pair.query;
      this.#say("Your turn: which path is better?", "The one that ends nearer the goal. The agent waits for you.");
      this.#offer();
    });
    return undefined;
  }

  #act(action, input) {
    this.#pairs?.noteActivity();
    if (ANSWERS.includes(action)) return this.#answer(action, input);
    const verbs = {
      undo: () => this.#undo(),
      pause: () => this.#stage.control("toggle"),
      replay: () => this.#stage.control("replay"),
      stepBack: () => this.#stage.control("step", -1),
      stepForward: () => this.#stage.control("step", 1),
      slower: () => this.#stage.control("faster", -1),
      faster: () => this.#stage.control("faster", 1),
    };
    return verbs[action]?.();
  }

  #answer(answer, input) {
    const pair = this.#shown;
    if (!pair || !this.#isMine) return;
    const how = {
      response_s: this.#evidence.responseS, plays: this.#stage.clock.plays, focus_lost: this.#evidence.focusLost, input,
    };
    const id = this.#outbox.answer({ token: pair.token, query: pair.query, answer, evidence: how });
    this.#undoable = [...this.#undoable, { id, pair }].slice(-10);
    this.#say(`${spoken(answer)}.`, "The agent walks on, and asks again in a moment.");
    this.#showNext();
  }

  #undo() {
    const last = this.#undoable.pop();
    if (!last) return this.#say(byId("ask-title").textContent, "There is nothing to take back.");
    if (this.#outbox.undo(last.id) && this.#pairs.putBack(last.pair)) this.#showNext();
    this.#say("Taken back", "That pair will be asked again.");
    this.#offer();
    return undefined;
  }

  /** A pair that the synthetic labeler was asked about, and what it said. */
  #showAsked(world) {
    const { asked, online, step } = world;
    if (!asked) return this.#say("The latest question", online ? "None yet: press Play." : "None yet.");
    const key = `${asked.left} ${asked.right} ${asked.answer}`;
    clearTimeout(this.#later);
    if (key === this.#last) return undefined;
    const waitMs = LOOK_S * 1000 - (performance.now() - this.#shownAt);
    if (waitMs > 0) {
      this.#later = setTimeout(() => this.#showAsked(world), waitMs);
      return undefined;
    }
    this.#last = key;
    this.#shownAt = performance.now();
    const clip = (cells) => ({ steps: cells.length, stepS: STEP_S, cells });
    this.#stage.show([clip(asked.left), clip(asked.right)], reducedMotion.matches);
    this.#mark(asked.answer);
    const said = asked.answer ? `The oracle says: ${spoken(asked.answer).toLowerCase()}.` : "";
    const since = online ? "" : step > 0 ? " Nobody is asked now." : "";
    return this.#say(online ? "The latest question" : "The last question", said + since);
  }

  /** Which side was called the better one. */
  #mark(answer) {
    for (const side of ["left", "right"]) {
      byId(side).dataset.better = String(answer === side || answer === "tie");
      write(byId(side).querySelector("figcaption"), answer === side ? "better" : answer === "tie" ? "equal" : side);
    }
  }

  #say(title, text) {
    write("ask-title", title);
    write("ask-text", text);
  }

  #allow(areAllowed) {
    for (const button of document.querySelectorAll("#answers button")) button.disabled = !areAllowed;
  }

  #offer() {
    byId("answers").hidden = !this.#isMine;
    document.querySelector("button[data-action=undo]").hidden = !this.#isMine;
    document.querySelector("button[data-action=undo]").disabled = this.#undoable.length === 0;
  }
}
