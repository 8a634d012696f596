/** A few pairs with a known answer before the first real one. Nothing of it is sent. */
import { get } from "./api.js";
import { decodePair } from "./poses.js";

export class Practice {
  #storage;
  #key;
  #pairs = [];
  index = 0;

  constructor(storage, task) {
    this.#storage = storage;
    this.#key = `twoclips.practised.${task}`;
  }

  /** Fetches the pairs; whether there is a round to be done. `again`: also by who has done it. */
  async load(numGeoms, again = false) {
    if (!again && this.#storage.get(this.#key)) return false;
    try {
      const { pairs } = await get("/api/practice");
      const decoded = pairs.slice(0, 3).map(async (pair) => ({ ...pair, ...(await decodePair(pair, numGeoms)) }));
      this.#pairs = await Promise.all(decoded);
    } catch {
      this.#pairs = []; // practice is a courtesy: labeling does not wait for it
    }
    this.index = 0;
    return this.#pairs.length > 0;
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
    this.#pairs = [];
  }
}
