/** A question before what cannot be undone. Escape, and whatever else is not the button, means no. */
import { byId } from "./face.js";

/** Whether the person presses `verb`. */
export function confirmed(title, text, verb) {
  const dialog = byId("confirm");
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-yes").textContent = verb;
  return new Promise((resolve) => {
    dialog.returnValue = "";
    byId("confirm-yes").onclick = () => dialog.close("yes");
    byId("confirm-no").onclick = () => dialog.close("");
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    dialog.showModal();
    byId("confirm-no").focus();
  });
}
