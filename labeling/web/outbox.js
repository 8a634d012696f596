/**
 * Answers and retractions on their way to the server. Each has a key of its own in storage, under the id that the
 * server knows it by: tabs never overwrite each other's, and what two tabs send twice counts once.
 *
 * Events: "change", whenever `waiting` or `history` may differ; "sent" with the server's reply; "refused"; "trouble" with
 * the ApiError for which an entry has to wait; "caughtUp" when nothing is behind any more.
 */
import { ApiError, newId, post } from "./api.js";

const PREFIX = "twoclips.outbox.";
const REFUSED_PREFIX = "twoclips.refused.";
const ADOPT_AFTER_MS = 5_000; // another tab's entry that old was left behind, or waits as we would
const MAX_PAUSE_MS = 20_000;
const MAX_HISTORY = 20;
const MAX_WAITED_S = 604_800; // as the server takes it: nobody's lease is known for longer
// Sending the same again cannot help. Not so what a proxy or server that is set wrongly says, as 403 or 404: it waits.
const FINAL = new Set([400, 409, 410, 413, 415, 422]);

export class Outbox extends EventTarget {
  #storage;
  #owner;
  #isDraining = false;
  #failures = 0;
  #retry = 0;
  #lastAt = 0;
  #life = new AbortController();
  #timer;

  /** The newest answers first: {id, answer, at, state: waiting | saved | late | refused | undone, note}. */
  history = [];
  trouble = "";
  /** Something failed, or was left by a page before this one. By now its lease may be over, and its pair free again. */
  isBehind;

  /** `scope`: see `scopeOf`. Runs served in turn on one port share a browser's storage, but no answers. */
  constructor(storage, scope) {
    super();
    this.#storage = storage;
    this.scope = scope;
    this.#owner = tabId();
    this.isBehind = this.waiting > 0;
    this.history = newestRefused(storage).filter((line) => line.scope === scope);
    const { signal } = this.#life;
    const comeOnline = () => {
      this.#failures = 0;
      this.drain();
    };
    addEventListener("online", comeOnline, { signal });
    addEventListener("storage", (event) => event.key?.startsWith(PREFIX) && this.#heard(), { signal });
    this.#timer = setInterval(() => this.#retry || this.drain(), ADOPT_AFTER_MS);
  }

  /** Nothing is sent from here on, and nothing that waits is lost: another outbox of this scope takes it over. */
  close() {
    this.#life.abort();
    clearInterval(this.#timer);
    clearTimeout(this.#retry);
  }

  /** Closes, and drops what is stored of this scope: for a run that is gone, and can be told nothing any more. */
  abandon() {
    this.close();
    for (const prefix of [PREFIX, REFUSED_PREFIX]) {
      const mine = this.#storage.keys(prefix).filter((key) => this.#storage.get(key)?.scope === this.scope);
      for (const key of mine) this.#storage.remove(key);
    }
    this.#changed();
  }

  /** How many are not known to have arrived, of all tabs. */
  get waiting() {
    return this.#entries().length;
  }

  /** The same of other labelers of this run, whose names they go out under, and no other: [[labeler, how many], ...]. */
  get othersWaiting() {
    const [run] = this.scope.split(" ");
    const counts = new Map();
    for (const { scope } of this.#everybodys()) {
      const [itsRun, labeler] = scope.split(" ");
      if (itsRun === run && scope !== this.scope) counts.set(labeler, (counts.get(labeler) ?? 0) + 1);
    }
    return [...counts];
  }

  get isVolatile() {
    return this.#storage.isVolatile;
  }

  /** What became of an answer, as `history` tells it; undefined where it is not of the last few of this page. */
  stateOf(id) {
    return this.history.find((line) => line.id === id)?.state;
  }

  /** Takes an answer in; it is stored before this returns. */
  answer(body) {
    const id = newId();
    this.#remember({ id, answer: body.answer, at: Date.now(), state: "waiting", note: "" });
    this.#put("answer", id, { label_id: id, ...body });
    return id;
  }

  /** Takes an answer back. True: it had not been sent, and never will be. False: a retraction follows it. */
  undo(id) {
    const entry = this.#storage.get(PREFIX + id);
    // Once it was sent it may have arrived, though no reply came; and another tab may be about to send an old one.
    const isOurs = Date.now() - (entry?.at ?? 0) < ADOPT_AFTER_MS;
    this.#mark(id, "undone");
    if (entry && entry.attempts === 0 && isOurs) {
      this.#storage.remove(PREFIX + id);
      if (!this.waiting) this.#catchUp();
      this.#changed();
      return true;
    }
    const retractionId = newId();
    this.#put("retraction", retractionId, { retraction_id: retractionId, label_id: id });
    return false;
  }

  /**
   * Sends what waits, in order, until something has to wait longer. Also where the browser says that it is offline: it
   * means the network's interfaces, and the server may be on this machine.
   */
  async drain() {
    if (this.#isDraining) return;
    clearTimeout(this.#retry);
    this.#retry = 0;
    this.#isDraining = true;
    try {
      for (let entry = this.#next(); entry; entry = this.#next()) {
        const pauseMs = await this.#send(entry);
        if (pauseMs === null) continue;
        this.isBehind = true;
        this.#retry = setTimeout(() => this.drain(), pauseMs);
        return;
      }
      this.#catchUp();
    } finally {
      this.#isDraining = false;
      this.#reconcile(); // what was heard of other tabs meanwhile
      this.#changed();
    }
  }

  /** Null: done with, one way or another. A number: milliseconds to wait before it is sent again. */
  async #send(entry) {
    entry.attempts += 1;
    this.#storage.set(PREFIX + entry.id, entry);
    try {
      const path = entry.kind === "answer" ? "/api/answers" : "/api/retractions";
      const reply = await post(path, entry.kind === "answer" ? aged(entry) : entry.body, entry.scope);
      this.#failures = 0;
      this.trouble = "";
      this.#storage.remove(PREFIX + entry.id);
      if (entry.kind === "answer") this.#mark(entry.id, "saved", reply.surplus ? "kept, not counted" : "");
      this.dispatchEvent(new CustomEvent("sent", { detail: reply }));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (this.#life.signal.aborted) return null;
      if (!FINAL.has(error.status)) {
        this.trouble = error.message;
        this.dispatchEvent(new CustomEvent("trouble", { detail: error }));
        const pauseMs = Math.min(MAX_PAUSE_MS, 500 * 2 ** this.#failures++) * (0.75 + Math.random() / 2);
        return Math.max(pauseMs, (error.retryAfterS ?? 0) * 1000);
      }
      this.#refuse(entry, error);
    }
    this.#changed();
    return null;
  }

  #catchUp() {
    if (!this.isBehind) return;
    this.isBehind = false;
    this.dispatchEvent(new Event("caughtUp"));
  }

  #refuse(entry, error) {
    this.#storage.remove(PREFIX + entry.id);
    // A retraction of what never arrived has nothing to do.
    if (entry.kind === "retraction" && error.status === 410) return;
    const state = error.status === 410 ? "late" : "refused";
    const line = this.#mark(entry.body.label_id, state, error.message) ?? {
      id: entry.id, answer: entry.body.answer ?? "undo", at: entry.at, state, note: error.message,
    };
    this.#remember(line);
    this.#storage.set(REFUSED_PREFIX + entry.id, { ...line, scope: entry.scope, body: entry.body });
    this.dispatchEvent(new CustomEvent("refused", { detail: { status: error.status, message: error.message } }));
  }

  #put(kind, id, body) {
    this.#lastAt = Math.max(Date.now(), this.#lastAt + 1); // the order of one tab's entries is strict
    const entry = { id, kind, body, scope: this.scope, owner: this.#owner, at: this.#lastAt, attempts: 0 };
    this.#storage.set(PREFIX + id, entry);
    this.#changed();
    this.drain();
  }

  #everybodys() {
    return this.#storage.keys(PREFIX).map((key) => this.#storage.get(key)).filter((entry) => entry?.scope);
  }

  #entries() {
    return this.#everybodys().filter((entry) => entry.scope === this.scope).sort((a, b) => a.at - b.at);
  }

  #next() {
    if (this.#life.signal.aborted) return undefined;
    const now = Date.now();
    // one from the future was left behind, too: the clock was ahead, and has been set right since
    const isOld = (entry) => entry.at < now - ADOPT_AFTER_MS || entry.at > now;
    return this.#entries().find((entry) => entry.owner === this.#owner || isOld(entry));
  }

  #remember(line) {
    this.history = [line, ...this.history.filter((other) => other.id !== line.id)].slice(0, MAX_HISTORY);
  }

  #mark(id, state, note = "") {
    const line = this.history.find((other) => other.id === id);
    if (line && line.state !== "undone") Object.assign(line, { state, note });
    return line;
  }

  #heard() {
    if (!this.#isDraining) this.#reconcile();
    this.#changed();
  }

  /** Learns from storage what another tab has done with our answers. */
  #reconcile() {
    for (const line of this.history) {
      if (line.state !== "waiting" || this.#storage.get(PREFIX + line.id)) continue;
      const refused = this.#storage.get(REFUSED_PREFIX + line.id);
      Object.assign(line, refused ? { state: refused.state, note: refused.note } : { state: "saved" });
      if (!refused) continue;
      const detail = { status: refused.state === "late" ? 410 : 400, message: refused.note };
      this.dispatchEvent(new CustomEvent("refused", { detail }));
    }
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** An answer's body that says how long it has waited here. */
function aged({ at, body }) {
  const waitedS = Math.min(MAX_WAITED_S, Math.max(0, Date.now() - at) / 1000); // clocks are set right, also backwards
  return { ...body, evidence: { ...body.evidence, waited_s: waitedS } };
}

/** What was refused, the newest first, whoever gave it; what is older than the last few is forgotten. */
function newestRefused(storage) {
  const found = storage.keys(REFUSED_PREFIX).map((key) => ({ at: 0, ...storage.get(key), key }));
  found.sort((a, b) => b.at - a.at);
  for (const { key } of found.splice(MAX_HISTORY)) storage.remove(key);
  return found;
}

/** The same after a reload, so that what this tab left behind goes out at once. */
function tabId() {
  try {
    const id = sessionStorage.getItem("twoclips.tab") ?? newId();
    sessionStorage.setItem("twoclips.tab", id);
    return id;
  } catch {
    return newId();
  }
}
