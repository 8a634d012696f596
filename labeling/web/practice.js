/** A few pairs with a known answer before the first real one. Nothing of it is sent. */
import { ApiError, get } from "./api.js";
import { closePair, decodePair } from "./poses.js";

export class Practice {
  #storage;
  #key;
  #pairs = [];
  index = 0;
  /** Why the last `load` failed, in one sentence; "" where it did not. */
  trouble = "";

  constructor(storage, task) {
    this.#storage = storage;
    this.#key = `twoclips.practised.${task}`;
  }

  /** Fetches the pairs; whether there is a round to be done. `again`: also by who has done it, or is at it: without
   * another round that one stays. */
  async load(numGeoms, again = false) {
    this.trouble = "";
    if (!again && this.#storage.get(this.#key)) return false;
    let loaded = [];
    try {
      const { pairs } = await get("/api/practice");
      const decoded = pairs.slice(0, 3).map(async (pair) => ({ ...pair, ...(await decodePair(pair, numGeoms)) }));
      loaded = await Promise.all(decoded);
    } catch (error) { // practice is a courtesy: labeling does not wait for it
      this.trouble = error instanceof ApiError ? error.message : "Its clips cannot be drawn.";
    }
    if (!loaded.length) return false;
    this.#pairs = loaded;
    this.index = 0;
    return true;
  }

  get length() {
    return this.#pairs.length;
  }

  /** The present pair; undefined when the round is over. */
  get pair() {
    return this.#pairs[this.index];
  }

  /** Whether there is another pair. */
  next() {
    this.index += 1;
    if (!this.pair) this.finish();
    return Boolean(this.pair);
  }

  finish() {
    this.#storage.set(this.#key, true);
    this.#pairs.forEach(closePair);
    this.#pairs = [];
  }
}
