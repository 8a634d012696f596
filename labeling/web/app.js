/**
 * The labeling page: puts its parts together. `document.documentElement.dataset` tells what it is doing:
 * state (loading, practice, labeling, waiting, paused, error), query (id of the pair on screen), saved (answers not yet
 * sent), shows (world, which can be turned, or pictures).
 */
import { get, scopeOf } from "./api.js";
import { Evidence } from "./evidence.js";
import {
  byId, cover, floorColors, say, spoken, stacked, writeClock, writeKeys, writeProgress, writeSides,
  writeTimes,
} from "./face.js";
import { toggleGold } from "./gold.js";
import { Help } from "./help.js";
import { listenToActions } from "./input.js";
import { heedInvites, somebodySignedIn, useInvite } from "./invite.js";
import { ANSWERS, Keys } from "./keys.js";
import { Outbox } from "./outbox.js";
import { Pairs } from "./pairs.js";
import { Practice } from "./practice.js";
import { Progress } from "./progress.js";
import { SavedChip } from "./saved.js";
import { writeSignedIn } from "./signed_in.js";
import { Stage } from "./stage.js";
import { Storage } from "./storage.js";
import { listen } from "./touch.js";

const MAX_UNDO = 10;
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
  #help;
  #shown = null; // the pair on screen, once both clips have been drawn
  #undoable = []; // {id, pair, answer}, the newest last
  #numAnswers = 0;
  #waitingSince = 0;
  #hasFeedback = false;
  #isInviteOver = false;
  #isLeaving = false;
  #isStopped = false;

  async start() {
    heedInvites(() => this.#reload());
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
    this.#pairs = new Pairs(scene.geoms.length, this.#session.lease_s, this.#outbox);
    this.#practice = new Practice(storage, this.#session.task);
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
    addEventListener("beforeunload", (event) => {
      if (this.#outbox.waiting && !this.#isLeaving) event.preventDefault();
    });
    setInterval(() => {
      saved.write(this.#outbox);
      if (status.state === "waiting") this.#writeWaiting();
    }, 500);
    stacked.addEventListener("change", () => writeSides());
    reducedMotion.addEventListener("change", () => this.#shown && this.#draw(this.#shown, () => {}));
  }

  #listenToPerson() {
    listenToActions(keys, () => this.#help.isOpen, (action, input) => this.#act(action, input));
    byId("next").addEventListener("click", () => this.#practiceNext());
    byId("skip").addEventListener("click", () => this.#endPractice());
    const scrub = byId("scrub");
    scrub.addEventListener("input", () => this.#stage.control("seek", Number(scrub.value)));
    scrub.addEventListener("pointerup", () => scrub.blur()); // arrow keys answer again
    listen(byId("stage"), () => stacked.matches, {
      turn: (turn, tilt) => this.#stage.turn(turn, tilt),
      reset: () => this.#stage.resetView(),
      answer: (answer) => this.#act(answer, "touch"),
      hint: (answer) => {
        byId("hint").hidden = !answer || !this.#shown;
        if (answer) byId("hint").textContent = spoken(answer);
      },
    });
  }

  #act(action, input) {
    this.#pairs.noteActivity();
    if (ANSWERS.includes(action)) return this.#answer(action, input);
    const verbs = {
      undo: () => this.#undo(),
      pause: () => this.#stage.control("toggle"),
      replay: () => this.#stage.control("replay"),
      stepBack: () => this.#stage.control("step", -1),
      stepForward: () => this.#stage.control("step", 1),
      slower: () => this.#stage.control("faster", -1),
      faster: () => this.#stage.control("faster", 1),
      turnLeft: () => this.#stage.turn(15, 0),
      turnRight: () => this.#stage.turn(-15, 0),
      resetView: () => this.#stage.resetView(),
      gold: () => this.#markGold(),
      help: () => this.#help.open(),
    };
    verbs[action]();
  }

  #answer(answer, input) {
    if (status.state === "practice") return this.#answerPractice(answer);
    if (status.state !== "labeling" || !this.#shown) return;
    const pair = this.#shown;
    const how = {
      response_s: evidence.responseS, plays: this.#stage.clock.plays, focus_lost: evidence.focusLost, input,
    };
    const id = this.#outbox.answer({ token: pair.token, query: pair.query, answer, evidence: how });
    this.#undoable = [...this.#undoable, { id, pair, answer }].slice(-MAX_UNDO);
    this.#numAnswers += 1;
    this.#showNext();
    say(`${spoken(answer)}.`);
    this.#writeMine();
  }

  #undo() {
    if (status.state === "practice") return;
    const last = this.#undoable.pop();
    if (!last) return say("There is nothing to take back.");
    this.#numAnswers -= 1;
    this.#writeMine();
    const state = this.#stateOf(last);
    if (state === "late" || state === "refused") return say("That answer had not been taken: nothing to take back.");
    const wasUnsent = this.#outbox.undo(last.id);
    const what = `Taken back: ${spoken(last.answer).toLowerCase()}.`;
    if (wasUnsent && this.#pairs.putBack(last.pair)) {
      this.#showNext();
      say(`${what} Here is that pair again.`);
    } else {
      say(`${what} That pair will be asked again.`);
    }
  }

  async #markGold() {
    if (this.#session.role !== "admin") return;
    const last = this.#undoable.at(-1);
    say(await toggleGold(last, this.#stateOf(last), this.#outbox.scope));
  }

  #stateOf(answered) {
    return this.#outbox.history.find((line) => line.id === answered?.id)?.state;
  }

  /** The next pair, from those that are here already; else the thank-you. What went wrong stays on screen. */
  #showNext() {
    if (status.state === "error") return undefined;
    this.#hasFeedback = false;
    if (progress.isPaused) return this.#rest();
    const pair = this.#pairs.next();
    if (!pair) return this.#wait();
    status.state = "labeling";
    this.#draw(pair, () => {
      status.query = pair.query;
      evidence.start();
    });
    return undefined;
  }

  #draw(pair, onShown) {
    this.#shown = null;
    this.#allowAnswers(true);
    this.#stage.show([pair.left, pair.right], reducedMotion.matches, () => {
      this.#shown = pair;
      this.#pairs.noteDrawn();
      byId("cover").hidden = true;
      onShown();
    });
    writeSides();
    writeTimes(this.#stage.strip, pair.left.stepS);
  }

  #skipUndrawable(error) {
    const pair = this.#pairs.shown;
    if (status.state === "practice") return this.#endPractice();
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
    if (error.status === 421) this.#leave(error.message);
    else if (error.status === 401) this.#shut(error.message);
    else if (status.state !== "waiting") return;
    else if (this.#pairs.isHeld) this.#writeWaiting();
    else byId("cover-text").textContent = `${error.message} Trying again.`;
  }

  /** The page has become another run's, or another labeler's: what waits in the outbox stays there, for its own. */
  #leave(reason) {
    const wouldLose = this.#wouldLose;
    const remedy = "leave the tab open until its run, or its labeler, is back.";
    const waits = `Its answers could not be stored in this browser: ${remedy}`;
    this.#stop("This page is out of date", wouldLose ? waits : reason);
    if (!wouldLose) this.#reload();
  }

  /** The session has ended: what waits in the outbox stays there, for the next one. */
  #shut(reason) {
    this.#stop("You are not signed in", reason);
  }

  /** Shows nothing more, and loads the page anew once somebody is signed in and all that it would lose has gone out. */
  async #stop(title, text) {
    this.#pairs.rest();
    this.#showNothing("error");
    cover(title, text);
    if (this.#isStopped) return;
    this.#isStopped = true;
    do await somebodySignedIn(); while (this.#wouldLose);
    this.#reload();
  }

  /** Whether answers wait that could not be stored: they go with the page. */
  get #wouldLose() {
    return Boolean(this.#outbox?.isVolatile && this.#outbox.waiting);
  }

  #reload() {
    this.#isLeaving = !this.#wouldLose;
    location.reload();
  }

  #showNothing(state) {
    status.state = state;
    status.query = "";
    this.#shown = null;
    this.#allowAnswers(false);
    this.#stage.clear();
    this.#hidePractice();
    writeTimes(null);
  }

  #allowAnswers(areAllowed) {
    for (const button of document.querySelectorAll("#answers button")) button.disabled = !areAllowed;
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
    if (!(await this.#practice.load(this.#stage.numGeoms, again))) {
      if (!again) return this.#showNext();
      return say("This task has no practice round.");
    }
    if (status.state === "error") return undefined; // meanwhile
    this.#pairs.setAside();
    this.#showPractice();
    return undefined;
  }

  #showPractice() {
    status.state = "practice";
    status.query = "";
    this.#hasFeedback = false;
    this.#draw(this.#practice.pair, () => {});
    byId("badge").textContent = `Practice ${this.#practice.index + 1} of ${this.#practice.length}`;
    byId("badge").hidden = false;
    byId("skip").hidden = false;
    byId("next").hidden = true;
    say("It does not count. Which clip is better?");
  }

  #answerPractice(answer) {
    if (!this.#shown) return;
    if (this.#hasFeedback) return this.#practiceNext();
    const { better } = this.#practice.pair;
    this.#hasFeedback = true;
    say(`${answer === better ? "Yes" : "Not quite"}: ${spoken(better).toLowerCase()}, by the task's own measure.`);
    byId("next").hidden = false;
    byId("next").focus({ preventScroll: true });
  }

  #practiceNext() {
    if (this.#practice.next()) this.#showPractice();
    else this.#endPractice();
  }

  #endPractice() {
    this.#practice.finish();
    this.#hidePractice();
    this.#showNext();
    say("From here on your answers count.");
  }

  #hidePractice() {
    for (const id of ["badge", "skip", "next"]) byId(id).hidden = true;
  }

  #writeMine() {
    byId("yours").textContent = String(this.#numAnswers);
    document.querySelector("button[data-action=undo]").disabled = this.#undoable.length === 0;
  }
}

new App().start();
