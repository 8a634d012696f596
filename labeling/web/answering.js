/**
 * One pair after another on a stage, each answered, and maybe taken back: what the labeling page and the demo's question
 * have in common. What is said of it is theirs. `document.documentElement.dataset.query` tells which pair is on screen.
 */
import { Given } from "./given.js";

const status = document.documentElement.dataset;

export class Answering {
  #stage;
  #pairs;
  #outbox;
  #evidence;
  #given;

  /** The pair on screen, once both clips have been drawn. */
  shown = null;

  constructor(stage, pairs, outbox, evidence) {
    this.#stage = stage;
    this.#pairs = pairs;
    this.#outbox = outbox;
    this.#evidence = evidence;
    this.#given = new Given(outbox);
  }

  /** What would be taken back; undefined where there is nothing. */
  get last() {
    return this.#given.last;
  }

  /** Shows the next of the pairs that are here, to be answered from its first frame on; whether there is one. */
  showNext(asStrip, onFirstFrame) {
    const pair = this.#pairs.next();
    if (!pair) {
      this.showNothing();
      return false;
    }
    this.show(pair, asStrip, () => {
      status.query = pair.query;
      this.#evidence.start();
      onFirstFrame();
    });
    return true;
  }

  /** Shows a pair. What is counted of one that is on screen already goes on. */
  show(pair, asStrip, onFirstFrame) {
    this.shown = null;
    this.#stage.show([pair.left, pair.right], asStrip, () => {
      this.shown = pair;
      this.#pairs.noteDrawn();
      onFirstFrame();
    });
  }

  showNothing() {
    this.shown = null;
    status.query = "";
    this.#stage.clear();
  }

  /** Answers the pair on screen; what is next is still to be shown. */
  answer(answer, input) {
    const { token, query } = this.shown;
    const evidence = {
      response_s: this.#evidence.responseS, plays: this.#stage.clock.plays, focus_lost: this.#evidence.focusLost, input,
    };
    this.#given.add(this.#outbox.answer({ token, query, answer, evidence }), answer, this.shown);
    this.shown = null;
  }

  /**
   * Takes the newest answer back: {answer, wasTaken, isNext}. wasTaken: it was not refused. isNext: its pair comes next.
   * Null where there is none.
   */
  undo() {
    const last = this.#given.pop();
    if (!last) return null;
    const { id, answer, pair } = last;
    if (["late", "refused"].includes(this.#outbox.stateOf(id))) return { answer, wasTaken: false, isNext: false };
    const isNext = this.#outbox.undo(id) && pair !== null && this.#pairs.putBack(pair);
    return { answer, wasTaken: true, isNext };
  }

  /** The run that was asked about is gone, and its answers with it. */
  abandon() {
    this.#given.abandon();
    this.#outbox.abandon();
    this.#pairs.close();
  }
}
