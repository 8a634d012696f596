/**
 * The answers that this tab gave last and may take back, also after a reload: then without their clips, which are kept
 * as long as an answer may never have left, and no longer. Pictures would fill the memory.
 */
import { closePair } from "./poses.js";

const MOST = 10;
const KEPT = "twoclips.given.";

export class Given {
  #outbox;
  #answers; // {id, query, answer, pair}, the newest last; pair is null once its clips are of no use

  constructor(outbox) {
    this.#outbox = outbox;
    this.#answers = kept(outbox.scope);
    outbox.addEventListener("change", () => this.#letGo());
  }

  /** The newest; undefined where there is none. */
  get last() {
    return this.#answers.at(-1);
  }

  add(id, answer, pair) {
    const answers = [...this.#answers, { id, query: pair.query, answer, pair }];
    for (const older of answers.slice(0, -MOST)) close(older);
    this.#answers = answers.slice(-MOST);
    this.#keep();
    this.#letGo();
  }

  /** The newest, which is not here any more. */
  pop() {
    const last = this.#answers.pop();
    this.#keep();
    return last;
  }

  /** Where the run is gone, none can be taken back. */
  abandon() {
    this.#answers.forEach(close);
    this.#answers = [];
    this.#keep();
  }

  #letGo() {
    const isWaiting = ({ id }) => this.#outbox.stateOf(id) === "waiting";
    for (const answer of this.#answers) if (!isWaiting(answer)) close(answer);
  }

  #keep() {
    const key = KEPT + this.#outbox.scope;
    try {
      if (!this.#answers.length) sessionStorage.removeItem(key);
      else sessionStorage.setItem(key, JSON.stringify(this.#answers.map((each) => ({ ...each, pair: null }))));
    } catch {
      // they last as long as the page
    }
  }
}

function close(answer) {
  if (answer.pair) closePair(answer.pair);
  answer.pair = null;
}

function kept(scope) {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT + scope) ?? "[]").slice(-MOST);
  } catch {
    return [];
  }
}
