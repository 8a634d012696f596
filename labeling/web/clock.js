/** The one clock of both clips: a frame between 0 and steps - 1, moved by real time, by hand, or not at all. */

const SPEEDS = [0.25, 0.5, 1, 1.5, 2, 3, 4];
const HOLD_S = 0.5; // at the end, before the clips start over: the end is what is judged most
const LONGEST_TICK_S = 0.1; // a page that was hidden does not jump

export class Clock {
  #heldS = 0;
  steps = 1;
  stepS = 1;
  frame = 0;
  speed = 1;
  isPlaying = false;
  /** How often the clips were started from the beginning. */
  plays = 0;

  load(steps, stepS, isPlaying) {
    Object.assign(this, { steps, stepS, frame: 0, isPlaying, plays: isPlaying ? 1 : 0 });
    this.#heldS = 0;
  }

  get isAtEnd() {
    return this.frame >= this.steps - 1;
  }

  /** Moves on by real seconds; whether anything changed. */
  tick(seconds) {
    if (!this.isPlaying) return false;
    const elapsedS = Math.min(seconds, LONGEST_TICK_S);
    if (this.isAtEnd) {
      this.#heldS += elapsedS;
      if (this.#heldS >= HOLD_S) this.#start();
      return true;
    }
    this.frame = Math.min(this.steps - 1, this.frame + (elapsedS * this.speed) / this.stepS);
    return true;
  }

  toggle() {
    this.isPlaying = !this.isPlaying;
    if (this.isPlaying && (this.isAtEnd || this.plays === 0)) this.#start();
  }

  replay() {
    this.isPlaying = true;
    this.#start();
  }

  /** One step on or back, and stand still there. */
  step(by) {
    this.seek(by > 0 ? Math.floor(this.frame) + by : Math.ceil(this.frame) + by);
  }

  seek(frame) {
    this.isPlaying = false;
    this.#heldS = 0;
    this.frame = Math.max(0, Math.min(this.steps - 1, frame));
  }

  faster(by) {
    const index = SPEEDS.indexOf(this.speed) + by;
    this.speed = SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, index))];
  }

  #start() {
    this.frame = 0;
    this.#heldS = 0;
    this.plays += 1;
  }
}
