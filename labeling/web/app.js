/**
 * The labeling page: puts its parts together. `document.documentElement.dataset` tells what it is doing:
 * state (loading, practice, labeling, waiting, paused, error), query (id of the pair on screen), saved (answers not yet
 * sent), shows (world, which can be turned, or pictures).
 */
import { Answering } from "./answering.js";
import { get, scopeOf } from "./api.js";
import { Departure } from "./departure.js";
import { Evidence } from "./evidence.js";
import {
  allow, allowAnswers, byId, cover, floorColors, say, spoken, stacked, writeClock, writeKeys, writeProgress, writeSides,
  writeTimes,
} from "./face.js";
import { toggleGold } from "./gold.js";
import { Help } from "./help.js";
import { listenToActions } from "./input.js";
import { useInvite } from "./invite.js";
import { ANSWERS, Keys } from "./keys.js";
import { Outbox } from "./outbox.js";
import { Pairs } from "./pairs.js";
import { Practice } from "./practice.js";
import { PracticeRound } from "./practice_round.js";
import { Progress } from "./progress.js";
import { SavedChip } from "./saved.js";
import { writeSignedIn } from "./signed_in.js";
import { Stage } from "./stage.js";
import { Storage } from "./storage.js";
import { listen } from "./touch.js";

const TRY_AGAIN_S = 3;

const status = document.documentElement.dataset;
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

const storage = new Storage();
const keys = new Keys(storage);
const evidence = new Evidence();
const progress = new Progress();
const saved = new SavedChip();

class App {
  #session;
  #stage;
  #pairs;
  #outbox;
  #practice;
  #round;
  #help;
  #answering;
  #numAnswers = 0;
  #waitingSince = 0;
  #isInviteOver = false;
  #departure = new Departure((title, text) => {
    this.#pairs.rest();
    this.#showNothing("error");
    cover(title, text);
  });

  async start() {
    const scene = await this.#load();
    if (!this.#session.drawable) {
      const reason = "The task's environment does not draw itself: it has no render_mode=\"rgb_array\".";
      return this.#fail("These clips cannot be drawn", reason);
    }
    byId("task").textContent = this.#session.task;
    document.title = `${this.#session.task} · twoclips`;
    byId("instruction").textContent = this.#session.instruction;
    byId("help-instruction").textContent = this.#session.instruction;
    try {
      const canvases = ["left", "right"].map((side) => byId(side).querySelector("canvas"));
      this.#stage = new Stage(canvases, scene, floorColors);
    } catch {
      const reason = "It has no WebGL, or WebGL is switched off. Try another browser.";
      return this.#fail("This browser cannot draw the clips", reason);
    }
    status.shows = scene.camera ? "world" : "pictures";
    this.#outbox = new Outbox(storage, scopeOf(this.#session));
    this.#departure.guard(this.#outbox);
    this.#pairs = new Pairs(scene.geoms.length, this.#session.lease_s, this.#outbox);
    this.#answering = new Answering(this.#stage, this.#pairs, this.#outbox, evidence);
    this.#practice = new Practice(storage, this.#session.task);
    this.#round = new PracticeRound(this.#practice, {
      show: (pair) => this.#show(pair),
      end: () => this.#showNext(),
    });
    this.#help = new Help(keys, () => this.#outbox.history, () => writeKeys(keys), () => this.#practise(true));
    writeSignedIn(this.#session, this.#outbox);
    byId("admin-link").hidden = this.#session.role !== "admin";
    this.#listen();
    this.#listenToPerson();
    writeKeys(keys);
    writeSides();
    this.#writeMine();
    progress.take(this.#session.progress);
    progress.pause(this.#session.paused);
    progress.start();
    this.#outbox.drain();
    this.#pairs.fill();
    await this.#practise(false);
    if (this.#isInviteOver) say(`That invite was used before, or is over. You label as ${this.#session.labeler}.`);
  }

  /** Asks for the session until there is one. */
  async #load() {
    let trouble = "";
    for (;;) {
      try {
        trouble = (await useInvite()) || trouble;
        const [session, scene] = await Promise.all([get("/api/session"), get("/api/scene")]);
        this.#session = session;
        status.state = "loading";
        this.#isInviteOver = trouble !== ""; // whoever is signed in already, or needs no session, gets in all the same
        return scene;
      } catch (error) {
        status.state = "error";
        const isShut = error.status === 401;
        const again = `${error.message} Trying again every ${TRY_AGAIN_S} seconds.`;
        if (isShut) cover("You are not signed in", trouble || error.message);
        else cover("The server does not answer yet", again);
        await new Promise((resolve) => setTimeout(resolve, TRY_AGAIN_S * 1000));
      }
    }
  }

  #fail(title, text) {
    status.state = "error";
    cover(title, text);
  }

  #listen() {
    this.#stage.addEventListener("tick", () => writeClock(this.#stage, keys));
    this.#stage.addEventListener("failed", ({ detail }) => this.#skipUndrawable(detail));
    this.#pairs.addEventListener("ready", () => status.state === "waiting" && this.#showNext());
    this.#pairs.addEventListener("dry", () => this.#writeWaiting());
    for (const part of [this.#pairs, this.#outbox]) {
      part.addEventListener("trouble", ({ detail }) => this.#suffer(detail));
    }
    this.#pairs.addEventListener("lost", () => {
      if (status.state !== "labeling") return;
      this.#showNext();
      say("That pair went to somebody else while you were away.");
    });
    this.#pairs.addEventListener("undrawable", () => {
      this.#showNothing("error");
      const remedy = "open this page in another browser, or close other tabs and load it anew.";
      cover("This browser cannot draw the clips", `Three pairs in a row could not be drawn: ${remedy}`);
    });
    this.#outbox.addEventListener("change", () => saved.write(this.#outbox));
    this.#outbox.addEventListener("sent", ({ detail }) => progress.take(detail.progress));
    this.#outbox.addEventListener("refused", ({ detail }) => {
      if (detail.status === 410) say("An answer came too late: that pair was in your hands no longer.");
      else say(detail.status === 409 ? `Not taken: ${detail.message}.` : `An answer was refused: ${detail.message}`);
    });
    progress.addEventListener("change", () => {
      writeProgress(progress.latest);
      if (status.state === "waiting" && progress.latest.open > 0) this.#pairs.fill();
    });
    progress.addEventListener("paused", () => {
      if (status.state === "error") return;
      if (progress.isPaused) this.#pairs.rest();
      else this.#pairs.wake();
      if (status.state !== "practice") this.#showNext();
    });
    setInterval(() => {
      saved.write(this.#outbox);
      if (status.state === "waiting") this.#writeWaiting();
    }, 500);
    stacked.addEventListener("change", () => writeSides());
    reducedMotion.addEventListener("change", () => this.#answering.shown && this.#show(this.#answering.shown));
  }

  #listenToPerson() {
    listenToActions(keys, () => this.#help.isOpen, (action, input) => this.#act(action, input));
    const scrub = byId("scrub");
    scrub.addEventListener("input", () => this.#stage.control("seek", Number(scrub.value)));
    scrub.addEventListener("pointerup", () => scrub.blur()); // arrow keys answer again
    listen(byId("stage"), () => stacked.matches, {
      turn: (turn, tilt) => this.#stage.turn(turn, tilt),
      reset: () => this.#stage.resetView(),
      answer: (answer) => this.#act(answer, "touch"),
      hint: (answer) => {
        byId("hint").hidden = !answer || !this.#answering.shown;
        if (answer) byId("hint").textContent = spoken(answer, stacked.matches);
      },
    });
  }

  #act(action, input) {
    this.#pairs.noteActivity();
    if (ANSWERS.includes(action)) this.#answer(action, input);
    else if (action === "undo") this.#undo();
    else if (action === "gold") this.#markGold();
    else if (action === "help") this.#help.open();
    else this.#stage.act(action);
  }

  #answer(answer, input) {
    if (!this.#answering.shown) return;
    if (status.state === "practice") return this.#round.answer(answer);
    if (status.state !== "labeling") return;
    this.#answering.answer(answer, input);
    this.#numAnswers += 1;
    this.#showNext();
    say(`${spoken(answer, stacked.matches)}.`);
    this.#writeMine();
  }

  #undo() {
    if (status.state === "practice") return;
    const undone = this.#answering.undo();
    if (!undone) return say("There is nothing to take back.");
    this.#numAnswers = Math.max(0, this.#numAnswers - 1); // it may be of a visit before this one
    this.#writeMine();
    if (!undone.wasTaken) return say("That answer had not been taken: nothing to take back.");
    if (undone.isNext) this.#showNext();
    const what = `Taken back: ${spoken(undone.answer, stacked.matches).toLowerCase()}.`;
    say(`${what} ${undone.isNext ? "Here is that pair again." : "That pair may be asked again."}`);
  }

  async #markGold() {
    if (this.#session.role !== "admin") return;
    const { last } = this.#answering;
    say(await toggleGold(last, last && this.#outbox.stateOf(last.id), this.#outbox.scope));
  }

  /** The next pair, from those that are here already; else the thank-you. What went wrong stays on screen. */
  #showNext() {
    if (status.state === "error") return undefined;
    if (progress.isPaused) return this.#rest();
    if (!this.#answering.showNext(reducedMotion.matches, uncover)) return this.#wait();
    status.state = "labeling";
    return this.#writePair();
  }

  #show(pair) {
    this.#answering.show(pair, reducedMotion.matches, uncover);
    this.#writePair();
  }

  /** A pair has been put on the stage. */
  #writePair() {
    allowAnswers(true);
    writeSides();
    writeTimes(this.#stage.strip, this.#stage.clock.stepS);
  }

  #skipUndrawable(error) {
    const pair = this.#pairs.shown;
    if (status.state === "practice") return this.#round.end();
    if (pair) this.#pairs.withdraw(pair, String(error?.message ?? error));
    return this.#showNext();
  }

  #wait() {
    if (status.state !== "waiting") this.#waitingSince = Date.now();
    this.#showNothing("waiting");
    this.#writeWaiting();
    byId("cover").hidden = false;
  }

  #rest() {
    this.#showNothing("paused");
    say("");
    cover("Paused", "Labeling rests for the moment. It goes on here by itself; you need do nothing.");
  }

  #suffer(error) {
    if (error.status === 421) this.#departure.leave(error.message);
    else if (error.status === 401) this.#departure.shut(error.message);
    else if (status.state !== "waiting") return;
    else if (this.#pairs.isHeld) this.#writeWaiting();
    else byId("cover-text").textContent = `${error.message} Trying again.`;
  }

  #showNothing(state) {
    status.state = state;
    allowAnswers(false);
    this.#answering.showNothing();
    this.#round.hide();
    writeTimes(null);
  }

  #writeWaiting() {
    if (status.state !== "waiting") return;
    const seconds = Math.floor((Date.now() - this.#waitingSince) / 1000);
    const { labels, due, wanted, steps, updated_s } = progress.latest ?? { labels: 0, due: 0, wanted: 0, steps: null };
    const areIn = due > 0 && labels >= wanted; // nothing is due where the run has told nothing yet
    const rests = steps !== null && updated_s === null; // and where it has, it was at work
    const { isHeld } = this.#pairs;
    const isDry = this.#pairs.isDry && !isHeld;
    const title = isDry
      ? this.#pairs.holdsMost ? "You hold as many pairs as one may."
      : areIn ? "All labels are in. Thank you!" : "Thank you. Nothing to label just now."
      : "One moment";
    if (byId("cover-title").textContent !== title) byId("cover-title").textContent = title;
    if (this.#pairs.isTroubled && !isHeld) return;
    const waits = this.#pairs.holdsMost ? "Answer those in your other tabs; the ones left alone become free in a while."
      : areIn ? "You can close this page."
      : rests ? "The run is not at work: nothing new is asked. You can close this page."
      : `waiting for clips: ${seconds} s`;
    const comes = isHeld ? `${this.#outbox.trouble} Your answers go out first.` : "The clips are on their way.";
    byId("cover-text").textContent = isDry ? waits : comes;
  }

  async #practise(again) {
    const isThere = await this.#practice.load(this.#stage.numGeoms, again);
    if (!isThere && !again) return this.#showNext();
    const { trouble } = this.#practice;
    if (!isThere) return say(trouble ? `No practice now. ${trouble}` : "This task has no practice round.");
    if (status.state === "error") return undefined; // meanwhile
    this.#pairs.setAside();
    status.state = "practice";
    status.query = "";
    return this.#round.show();
  }

  #writeMine() {
    byId("yours").textContent = String(this.#numAnswers);
    allow(document.querySelector("button[data-action=undo]"), this.#answering.last !== undefined);
  }
}

function uncover() {
  byId("cover").hidden = true;
}

new App().start();
