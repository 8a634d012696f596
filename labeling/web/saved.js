/** The chip that says whether every answer is stored: "saved", or how many still wait, and where they are kept. */
import { byId } from "./face.js";

const SAY_WAITING_AFTER_MS = 400; // an answer that is saved sooner does not make the page flicker

export class SavedChip {
  #unsentSince = 0;

  /** `document.documentElement.dataset.saved` tells the same at once. */
  write({ waiting, isVolatile, trouble }) {
    document.documentElement.dataset.saved = String(waiting);
    if (!waiting) this.#unsentSince = 0;
    else this.#unsentSince ||= Date.now();
    const isLate = waiting > 0 && Date.now() - this.#unsentSince > SAY_WAITING_AFTER_MS;
    const text = isLate ? `${waiting} waiting` : "saved";
    const chip = byId("saved");
    chip.dataset.tone = isLate ? "late" : "good";
    const where = isVolatile ? "in this tab only" : "in this browser";
    const waits = `${trouble || "Answers are on their way."} They are kept ${where}.`;
    chip.title = isLate ? waits : "Every answer is stored.";
    if (byId("saved-text").textContent !== text) byId("saved-text").textContent = text;
  }
}
