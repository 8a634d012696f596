/** The help dialog: what to do, the keys and how to change them, and what became of the last answers. */
import { byId } from "./face.js";
import { ACTIONS, keyName } from "./keys.js";

const STATES = { waiting: "waiting", saved: "saved", late: "too late", refused: "refused", undone: "taken back" };
const ANSWERS = { left: "Left", right: "Right", tie: "Tie", incomparable: "Cannot tell", undo: "Undo" };

export class Help {
  #keys;
  #dialog = byId("help");
  #changing = null;

  /** onKeys: the keys have changed. history: () => lines of the outbox. */
  constructor(keys, history, onKeys, onPractise) {
    this.#keys = keys;
    this.history = history;
    this.onKeys = onKeys;
    byId("help-close").addEventListener("click", () => this.#dialog.close());
    byId("key-reset").addEventListener("click", () => {
      keys.reset();
      this.#redraw("All keys are as they came.");
    });
    byId("practise").addEventListener("click", () => {
      this.#dialog.close();
      onPractise();
    });
    this.#dialog.addEventListener("click", (event) => event.target === this.#dialog && this.#dialog.close());
    this.#dialog.addEventListener("cancel", (event) => this.#changing && event.preventDefault());
    this.#dialog.addEventListener("keydown", (event) => this.#press(event));
  }

  get isOpen() {
    return this.#dialog.open;
  }

  open() {
    if (this.isOpen) return;
    this.#changing = null;
    this.#redraw("");
    this.#dialog.showModal();
  }

  #press(event) {
    if (!this.#changing) return;
    if (event.key === "Tab") {
      this.#changing = null;
      this.#redraw("");
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    const action = this.#changing;
    if (event.key === "Escape") {
      this.#changing = null;
      this.#redraw("Nothing changed.", action);
    } else if (this.#keys.remap(action, event.key)) {
      this.#changing = null;
      this.#redraw(`Now ${keyName(event.key)}.`, action);
    } else {
      byId("key-status").textContent = "That key is needed by the browser: press another one.";
    }
  }

  #redraw(status, focused = null) {
    byId("key-status").textContent = status;
    const rows = ACTIONS.map(([action, , text]) => {
      const key = make("kbd", keyName(this.#keys.keyOf(action)));
      const button = make("button", this.#changing === action ? "Press a key" : "Change");
      button.type = "button";
      button.setAttribute("aria-label", `Change the key for: ${text}`);
      button.addEventListener("click", () => {
        this.#changing = action;
        this.#redraw("Press the new key, or Escape.", action);
      });
      if (action === focused) queueMicrotask(() => button.focus());
      const cell = make("td");
      cell.append(key, button);
      const row = make("tr");
      row.append(make("td", text), cell);
      return row;
    });
    byId("key-table").tBodies[0].replaceChildren(...rows);
    const lines = this.history().map((line) => {
      const at = new Date(line.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
      const note = line.note ? ` (${line.note})` : "";
      return make("li", `${at}  ${ANSWERS[line.answer] ?? line.answer}: ${STATES[line.state]}${note}`);
    });
    byId("history").replaceChildren(...(lines.length ? lines : [make("li", "None yet.")]));
    this.onKeys();
  }
}

function make(tag, text = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}
