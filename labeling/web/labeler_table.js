/** The table of labelers. Rows are kept and changed in place: a button keeps the focus though figures come in. */
import { svg, write } from "./board.js";
import { duration, or, percent, whole } from "./figures.js";

const COLUMNS = ["", "Labels", "Median time", "Share of left", "Agrees with others", "Reliability", "Last answer", ""];

export class LabelerTable {
  #body;
  #verbs;
  #rows = new Map();

  /** verbs: pause(labeler, isPaused), revoke(row). */
  constructor(body, verbs) {
    this.#body = body;
    this.#verbs = verbs;
  }

  /** labelers: as the overview tells of them, in the order in which they are shown. */
  write(labelers) {
    for (const told of labelers) {
      if (!this.#rows.has(told.labeler)) this.#rows.set(told.labeler, new Row(this.#verbs));
      this.#rows.get(told.labeler).write(told);
    }
    const names = new Set(labelers.map((told) => told.labeler));
    for (const name of this.#rows.keys()) if (!names.has(name)) this.#rows.delete(name);
    const wanted = labelers.map((told) => this.#rows.get(told.labeler).element);
    const isSame = wanted.length === this.#body.children.length
      && wanted.every((element, index) => element === this.#body.children[index]);
    if (isSame) return;
    const focused = document.activeElement;
    this.#body.replaceChildren(...wanted);
    if (this.#body.contains(focused)) focused.focus();
  }
}

class Row {
  #told = null;
  #cells;
  #pause = document.createElement("button");
  #revoke = document.createElement("button");
  element = document.createElement("tr");

  constructor(verbs) {
    this.element.setAttribute("role", "row");
    this.#cells = COLUMNS.map((name) => {
      const cell = document.createElement("td");
      cell.setAttribute("role", "cell");
      if (name) cell.dataset.name = name;
      return cell;
    });
    for (const index of [1, 2]) this.#cells[index].className = "number";
    const actions = document.createElement("div");
    actions.className = "actions";
    for (const button of [this.#pause, this.#revoke]) button.type = "button";
    this.#pause.addEventListener("click", () => verbs.pause(this.#told.labeler, !this.#told.is_paused));
    this.#revoke.addEventListener("click", () => verbs.revoke(this.#told));
    this.#revoke.className = "grave";
    actions.append(this.#pause, this.#revoke);
    this.#cells[7].append(actions);
    this.element.append(...this.#cells);
  }

  write(told) {
    this.#told = told;
    const state = told.is_revoked ? "revoked" : told.is_paused ? "paused" : told.is_invited ? "invited" : "";
    this.element.dataset.labeler = told.labeler;
    this.element.dataset.state = state;
    this.#writeName(told, state);
    write(this.#cells[1], whole.format(told.answers));
    write(this.#cells[2], or(told.median_response_s, duration));
    writeInterval(this.#cells[3], told.left_share, true, "–");
    writeInterval(this.#cells[4], told.agreement, false, "–");
    writeInterval(this.#cells[5], reliability(told.reliability), true, "not estimated yet");
    write(this.#cells[6], told.last_s === null ? "–" : `${duration(told.last_s)} ago`);
    const isOut = !told.has_pages || told.is_revoked;
    this.#pause.hidden = isOut;
    this.#revoke.hidden = isOut || told.labeler === "local";
    write(this.#pause, told.is_paused ? "Go on" : "Pause");
    write(this.#revoke, "Revoke");
    this.#pause.setAttribute("aria-label", `${this.#pause.textContent}: ${told.labeler}`);
    this.#revoke.setAttribute("aria-label", `Revoke: ${told.labeler}`);
  }

  #writeName({ labeler }, state) {
    const cell = this.#cells[0];
    if (cell.dataset.said === `${labeler} ${state}`) return;
    cell.dataset.said = `${labeler} ${state}`;
    cell.title = labeler;
    const tag = document.createElement("span");
    tag.className = "tag";
    tag.textContent = state;
    cell.replaceChildren(labeler, ...(state ? [tag] : []));
  }
}

function reliability(told) {
  if (!told) return null;
  const gold = told.gold_asked ? `, ${told.gold_right} of ${told.gold_asked} gold queries right` : "";
  return { share: told.reliability, low: told.low, high: told.high, note: gold };
}

/** A share as text, and its interval as a line between 0 and 1; hasHalf: the middle is marked. */
function writeInterval(cell, told, hasHalf, none) {
  const said = told ? `${percent(told.share)}|${percent(told.low)}|${percent(told.high)}|${told.note ?? ""}` : none;
  if (cell.dataset.said === said) return;
  cell.dataset.said = said;
  if (!told) {
    cell.textContent = none;
    return;
  }
  const at = (share) => 3 + 86 * Math.max(0, Math.min(1, share));
  const marks = [svg("line", { class: "axis", x1: 1, x2: 91, y1: 10, y2: 10 })];
  if (hasHalf) marks.push(svg("line", { class: "half", x1: at(0.5), x2: at(0.5), y1: 1, y2: 19 }));
  marks.push(svg("line", { class: "range", x1: at(told.low), x2: at(told.high), y1: 10, y2: 10 }));
  marks.push(svg("circle", { class: "dot-mark", cx: at(told.share), cy: 10, r: 4.5 }));
  const label = `between ${percent(told.low)} and ${percent(told.high)}${told.note ?? ""}`;
  const box = document.createElement("div");
  box.className = "interval";
  box.title = label;
  const number = document.createElement("span");
  number.textContent = percent(told.share);
  const more = document.createElement("span");
  more.className = "unseen";
  more.textContent = `, ${label}`;
  box.append(number, svg("svg", { viewBox: "0 0 92 20", "aria-hidden": "true" }, marks), more);
  cell.replaceChildren(box);
}
