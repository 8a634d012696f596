/** localStorage that never throws: what it refuses (full, forbidden) is kept in memory while the page lives. */
export class Storage {
  #memory = new Map();

  /** Whether something is kept in this tab only. */
  get isVolatile() {
    return this.#memory.size > 0;
  }

  get(key) {
    if (this.#memory.has(key)) return this.#memory.get(key);
    try {
      return JSON.parse(localStorage.getItem(key));
    } catch {
      return null;
    }
  }

  set(key, value) {
    try {
      localStorage.setItem(key, JSON.stringify(value));
      this.#memory.delete(key);
    } catch {
      this.#memory.set(key, value);
    }
  }

  remove(key) {
    this.#memory.delete(key);
    try {
      localStorage.removeItem(key);
    } catch {
      // nothing was stored there
    }
  }

  /** Keys that begin with the prefix. */
  keys(prefix) {
    const found = new Set([...this.#memory.keys()].filter((key) => key.startsWith(prefix)));
    try {
      for (let index = 0; index < localStorage.length; index++) {
        const key = localStorage.key(index);
        if (key.startsWith(prefix)) found.add(key);
      }
    } catch {
      // forbidden: only memory counts
    }
    return [...found];
  }
}
