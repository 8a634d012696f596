/** The practice round on the labeling page: one pair after another, what the task's measure says of it, and the buttons. */
import { byId, say, spoken, stacked } from "./face.js";

export class PracticeRound {
  #practice;
  #on;
  #hasFeedback = false;

  /** on: {show(pair), end()}, the latter when the person begins to label. */
  constructor(practice, on) {
    this.#practice = practice;
    this.#on = on;
    byId("next").addEventListener("click", () => this.#next());
    byId("skip").addEventListener("click", () => this.end());
  }

  show() {
    this.#hasFeedback = false;
    this.#on.show(this.#practice.pair);
    byId("badge").textContent = `Practice ${this.#practice.index + 1} of ${this.#practice.length}`;
    byId("badge").hidden = false;
    byId("skip").hidden = false;
    hide("next");
    say("It does not count. Which clip is better?");
  }

  answer(answer) {
    if (this.#hasFeedback) return this.#next();
    const { better } = this.#practice.pair;
    const truth = spoken(better, stacked.matches).toLowerCase();
    this.#hasFeedback = true;
    say(`${answer === better ? "Yes" : "Not quite"}: ${truth}, by the task's own measure.`);
    byId("next").hidden = false;
    return byId("next").focus({ preventScroll: true });
  }

  #next() {
    if (this.#practice.next()) this.show();
    else this.end();
  }

  end() {
    this.#practice.finish();
    this.hide();
    this.#on.end();
    say("From here on your answers count.");
  }

  /** Takes its buttons off the page. */
  hide() {
    hide("badge", "skip", "next");
  }
}

/** Hides elements; where one of them has the focus the instruction gets it, or it would be lost. */
function hide(...ids) {
  const hadFocus = ids.some((id) => byId(id) === document.activeElement);
  for (const id of ids) byId(id).hidden = true;
  if (hadFocus) byId("instruction").focus({ preventScroll: true });
}
