/** Which key does what. Kept in the browser; every action has one key, and no key has two. */

const STORED = "twoclips.keys";

export const ANSWERS = ["left", "right", "tie", "incomparable"];

/** In the order in which the help lists them: [action, key, what it does]. */
export const ACTIONS = [
  ["left", "ArrowLeft", "The left clip is better"],
  ["right", "ArrowRight", "The right clip is better"],
  ["tie", "ArrowUp", "Tie: both are equally good"],
  ["incomparable", "ArrowDown", "Cannot tell"],
  ["undo", "z", "Take the last answer back"],
  ["pause", " ", "Pause or play"],
  ["replay", "r", "Replay from the start"],
  ["stepBack", ",", "One frame back"],
  ["stepForward", ".", "One frame on"],
  ["slower", "-", "Slower"],
  ["faster", "+", "Faster"],
  ["turnLeft", "[", "Turn the view left"],
  ["turnRight", "]", "Turn the view right"],
  ["resetView", "0", "Reset the view"],
  ["gold", "g", "Mark the pair just answered as gold, or no longer (admins)"],
  ["help", "?", "Help"],
];

const NAMES = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", " ": "Space", "-": "−" };
const UNUSABLE = new Set([
  ...["Tab", "Escape", "Enter", "Shift", "Control", "Alt", "AltGraph", "Meta", "CapsLock", "NumLock", "ScrollLock"],
  ...["ContextMenu", "Dead", "Process", "Unidentified", "F5", "F11", "F12"],
]);

export const keyName = (key) => NAMES[key] ?? (key.length === 1 ? key.toUpperCase() : key);

const normal = (key) => (key.length === 1 ? key.toLowerCase() : key);

export class Keys {
  #storage;
  #keys;

  constructor(storage) {
    this.#storage = storage;
    this.reset(storage.get(STORED));
  }

  keyOf(action) {
    return this.#keys[action];
  }

  /** The action of a key press; undefined where the press is none of ours. */
  actionOf(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return undefined;
    return Object.keys(this.#keys).find((action) => this.#keys[action] === normal(event.key));
  }

  /** Give an action another key; whoever had that key gets the old one. False where the browser needs the key. */
  remap(action, pressed) {
    if (UNUSABLE.has(pressed)) return false;
    const key = normal(pressed);
    const other = Object.keys(this.#keys).find((candidate) => this.#keys[candidate] === key);
    if (other) this.#keys[other] = this.#keys[action];
    this.#keys[action] = key;
    this.#storage.set(STORED, this.#keys);
    return true;
  }

  /** The keys as they come, with those of `chosen` where it has any. */
  reset(chosen = null) {
    const keys = ACTIONS.map(([action, key]) => [action, typeof chosen?.[action] === "string" ? chosen[action] : key]);
    this.#keys = Object.fromEntries(keys);
    if (!chosen) this.#storage.remove(STORED);
  }
}
