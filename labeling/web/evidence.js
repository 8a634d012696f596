/** How an answer came about: seconds from the first joint frame, without those in which the page was hidden. */
export class Evidence {
  #countedMs = 0;
  #since = null;
  #isAway = false;
  focusLost = 0;

  constructor() {
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#leave() : this.#comeBack()));
    addEventListener("blur", () => this.#leave());
    addEventListener("focus", () => this.#comeBack());
  }

  /** The first joint frame is on screen. */
  start() {
    this.#countedMs = 0;
    this.#since = document.hidden ? null : performance.now();
    this.focusLost = 0;
  }

  get responseS() {
    const runningMs = this.#since === null ? 0 : performance.now() - this.#since;
    return Math.min(86_400, (this.#countedMs + runningMs) / 1000);
  }

  #leave() {
    if (document.hidden && this.#since !== null) {
      this.#countedMs += performance.now() - this.#since;
      this.#since = null;
    }
    if (!this.#isAway) this.focusLost += 1; // hiding a page takes its focus too: that is one loss
    this.#isAway = true;
  }

  #comeBack() {
    this.#isAway = false;
    if (!document.hidden) this.#since ??= performance.now();
  }
}
