/** What a person does on keyboard and buttons, as actions: every button that has one says so in `data-action`. */
import { ANSWERS } from "./keys.js";

const MAY_REPEAT = /^(step|turn|faster|slower)/; // while a key is held

/** keys: which key means what. isDeaf: () => boolean. act: (action, "key", "touch" or "pointer") => void. */
export function listenToActions(keys, isDeaf, act) {
  addEventListener("keydown", (event) => {
    if (isDeaf() || event.target.closest?.("input, select, textarea")) return;
    const pressed = event.target.closest?.("button[data-action]");
    if (pressed && event.key === "Enter" && event.repeat && !MAY_REPEAT.test(pressed.dataset.action)) {
      event.preventDefault(); // the browser would press it again and again
      return;
    }
    const action = keys.actionOf(event);
    if (!action) return;
    if (event.target.closest?.("button, a") && event.key === " ") return; // a button that has the focus is pressed
    event.preventDefault();
    if (!event.repeat || MAY_REPEAT.test(action)) act(action, "key");
  });
  document.addEventListener("pointerdown", (event) => {
    // The focus stays where it was, so that Space keeps its meaning after a click.
    if (event.target.closest("button[data-action]")) event.preventDefault();
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-action]");
    if (!button) return;
    // The second press of a double click would answer the next pair, unseen.
    if (event.detail > 1 && ANSWERS.includes(button.dataset.action)) return;
    act(button.dataset.action, event.detail === 0 ? "key" : event.pointerType === "touch" ? "touch" : "pointer");
  });
}
