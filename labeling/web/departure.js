/**
 * How the labeling page ends: it is another run's by now, or another labeler's, or nobody is signed in any more, or an
 * invite was opened in its tab. What waits in the outbox stays there for its own; the page is loaded anew once somebody
 * is signed in, and not before what could not be stored has gone out.
 */
import { heedInvites, somebodySignedIn } from "./invite.js";

export class Departure {
  #outbox = null;
  #onStop;
  #isLeaving = false;
  #isStopped = false;

  /** onStop: (title, text) => shows nothing else. */
  constructor(onStop) {
    this.#onStop = onStop;
    heedInvites(() => this.#reload());
    addEventListener("beforeunload", (event) => {
      if (this.#outbox?.waiting && !this.#isLeaving) event.preventDefault();
    });
  }

  /** From here on there are answers that might be lost. */
  guard(outbox) {
    this.#outbox = outbox;
  }

  /** The page is out of date. */
  leave(reason) {
    const wouldLose = this.#wouldLose;
    const remedy = "leave the tab open until its run, or its labeler, is back.";
    const waits = `Its answers could not be stored in this browser: ${remedy}`;
    this.#stop("This page is out of date", wouldLose ? waits : reason);
    if (!wouldLose) this.#reload();
  }

  /** The session has ended. */
  shut(reason) {
    this.#stop("You are not signed in", reason);
  }

  async #stop(title, text) {
    this.#onStop(title, text);
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
}
