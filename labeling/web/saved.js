/**
 * The chip that says whether every answer is stored: "saved", or how many still wait, and where they are kept. A sentence
 * apart tells of those that wait here under other names.
 */
import { write } from "./board.js";
import { byId } from "./face.js";
import { LOCAL } from "./signed_in.js";

const SAY_WAITING_AFTER_MS = 400; // an answer that is saved sooner does not make the page flicker

export class SavedChip {
  #unsentSince = 0;

  /** `document.documentElement.dataset.saved` tells the same at once. */
  write({ waiting, isVolatile, trouble, othersWaiting }) {
    document.documentElement.dataset.saved = String(waiting);
    if (!waiting) this.#unsentSince = 0;
    else this.#unsentSince ||= Date.now();
    const isLate = waiting > 0 && Date.now() - this.#unsentSince > SAY_WAITING_AFTER_MS;
    const where = isVolatile ? "in this tab only" : "in this browser";
    const chip = byId("saved");
    chip.dataset.tone = isLate ? "late" : "good";
    const waits = `${trouble || "Answers are on their way."} They are kept ${where}.`;
    chip.title = isLate ? waits : "Every answer under this name is stored.";
    write("saved-why", isLate ? waits : "");
    write("saved-text", isLate ? `${waiting} waiting${isVolatile ? `, ${where}` : ""}` : "saved");
    write("others", othersWaiting.map(told).join(" "));
    byId("others").hidden = !othersWaiting.length;
  }
}

function told([labeler, count]) {
  const [answers, wait] = count === 1 ? ["answer", "waits"] : ["answers", "wait"];
  if (labeler === LOCAL) return `${count} ${answers} given without an invite ${wait} here: sign out to send what waits.`;
  return `${count} ${answers} of ${labeler} ${wait} here: ask for an invite under that name.`;
}
