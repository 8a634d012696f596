/**
 * The question of the demo, in the labeling pages' own parts: two paths on a stage, answered by keys, buttons or swipes.
 * As long as a synthetic labeler answers it shows the pairs that it was asked about, and what it said.
 */
import { Answering } from "./answering.js";
import { get, scopeOf } from "./api.js";
import { write } from "./board.js";
import { Evidence } from "./evidence.js";
import { allow, allowAnswers, byId, floorColors, spoken } from "./face.js";
import { listenToActions } from "./input.js";
import { ANSWERS, keyName } from "./keys.js";
import { Outbox } from "./outbox.js";
import { Pairs } from "./pairs.js";
import { Stage } from "./stage.js";
import { Storage } from "./storage.js";
import { listen } from "./touch.js";

const LOOK_S = 1.8; // a pair that was answered stays so long: nobody can follow two hundred a second
const STEP_S = 0.25;
const IS_STACKED = false; // the paths are side by side on a phone, too: unlike the labeling page's clips
const status = document.documentElement.dataset;
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

export class Ask {
  #stage;
  #storage = new Storage();
  #evidence = new Evidence();
  #run = "";
  #pairs = null;
  #answering = null; // of the run's pairs; null until a person is asked
  #isMine = false;
  #shownAt = -Infinity;
  #later = 0; // shows the newest pair once the one on screen has been looked at
  #last = "";

  constructor(grid, keys) {
    const canvases = ["left", "right"].map((side) => byId(side).querySelector("canvas"));
    this.#stage = new Stage(canvases, { geoms: [], camera: null, grid }, floorColors);
    const isDeaf = () => !this.#isMine || byId("confirm").open;
    listenToActions(keys, isDeaf, (action, input) => this.#act(action, input));
    listen(byId("pair"), () => IS_STACKED, {
      turn: () => {},
      reset: () => {},
      answer: (answer) => this.#act(answer, "touch"),
      hint: () => {},
    });
    for (const button of document.querySelectorAll("#ask button[data-action]")) {
      button.querySelector("kbd").textContent = keyName(keys.keyOf(button.dataset.action));
    }
    allowAnswers(false);
  }

  get #shown() {
    return this.#answering?.shown ?? null;
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
    this.#answering?.showNothing();
    clearTimeout(this.#later);
    if (run !== this.#run) this.#leave();
    this.#run = run;
    this.#isMine = isMine;
    this.#last = "";
    allowAnswers(false);
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
    const pairs = new Pairs(0, session.lease_s, outbox);
    this.#pairs = pairs;
    this.#answering = new Answering(this.#stage, pairs, outbox, this.#evidence);
    outbox.addEventListener("change", () => pairs === this.#pairs && (status.saved = String(outbox.waiting)));
    pairs.addEventListener("ready", () => pairs === this.#pairs && this.#isMine && !this.#shown && this.#showNext());
    pairs.addEventListener("lost", () => pairs === this.#pairs && this.#showNext());
    this.#offer();
    outbox.drain();
    pairs.fill();
  }

  /** The run that was asked about is gone, and its answers with it. */
  #leave() {
    this.#answering?.abandon();
    [this.#pairs, this.#answering] = [null, null];
  }

  #showNext() {
    status.query = "";
    allowAnswers(false);
    this.#offer();
    this.#answering.showNext(reducedMotion.matches, () => {
      allowAnswers(true);
      this.#say("Your turn: which path is better?", "The one that ends nearer the goal. The agent waits for you.");
      this.#offer();
    });
  }

  #act(action, input) {
    this.#pairs?.noteActivity();
    if (ANSWERS.includes(action)) this.#answer(action, input);
    else if (action === "undo") this.#undo();
    else this.#stage.act(action);
  }

  #answer(answer, input) {
    if (!this.#shown || !this.#isMine) return;
    this.#answering.answer(answer, input);
    this.#say(`${spoken(answer, IS_STACKED)}.`, "The agent walks on, and asks again in a moment.");
    this.#showNext();
  }

  #undo() {
    const undone = this.#answering?.undo();
    if (!undone) return this.#say(byId("ask-title").textContent, "There is nothing to take back.");
    if (undone.isNext) this.#showNext();
    if (undone.wasTaken) this.#say("Taken back", "That pair will be asked again.");
    else this.#say("Nothing to take back", "That answer had not been taken.");
    return this.#offer();
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
    const said = asked.answer ? `The oracle says: ${spoken(asked.answer, IS_STACKED).toLowerCase()}.` : "";
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

  #offer() {
    byId("answers").hidden = !this.#isMine;
    const undo = document.querySelector("button[data-action=undo]");
    undo.hidden = !this.#isMine;
    allow(undo, this.#answering?.last !== undefined);
  }
}
