/**
 * Pairs of clips in this tab's hands: claimed and decoded ahead of need, kept by heartbeats, dropped when the lease is
 * over. Nothing to label is no error: it asks again, every two seconds, until there is. Answers that are behind go first:
 * until the outbox has caught up nothing is claimed, or a pair might come back that has its answer.
 *
 * A browser that cannot draw says so of the pair, and after a few in a row claims no more: then it is not the pairs.
 *
 * Events: "ready" when a pair came in; "lost" when the shown pair's lease is over; "trouble" with an ApiError;
 * "undrawable" when nothing is claimed any more.
 */
import { ApiError, newId, post } from "./api.js";
import { decodePair } from "./poses.js";

const AHEAD = 3;
const ASK_AGAIN_MS = 2_000;
const MAX_PAUSE_MS = 15_000;
const MAX_UNDRAWN = 3; // in a row
const MARGIN_MS = 1_500; // a lease that ends sooner is not worth showing
const KEPT = "twoclips.leases.";
const AWAY_AFTER_MS = 180_000; // who has done nothing for so long lets others label

export class Pairs extends EventTarget {
  #numGeoms;
  #leaseMs;
  #outbox;
  #ready = [];
  #token = "";
  #isClaiming = false;
  #failures = 0;
  #numUndrawn = 0; // since one was drawn
  #timer = 0;
  #activeAt = Date.now();
  #kept;
  #life = new AbortController();
  #heart;

  shown = null;
  /** The last claim found nothing. */
  isDry = false;
  /** It found nothing because this labeler holds as many pairs as one may. */
  holdsMost = false;
  /** The last claim got no reply, or a refusal. */
  isTroubled = false;
  /** Nothing is claimed and no lease is held on to. */
  isResting = false;

  /** What is claimed is claimed for the outbox's scope. */
  constructor(numGeoms, leaseS, outbox) {
    super();
    this.#numGeoms = numGeoms;
    this.#leaseMs = leaseS * 1000;
    this.#outbox = outbox;
    this.#kept = takeKept(outbox.scope);
    const { signal } = this.#life;
    outbox.addEventListener("caughtUp", () => this.fill(), { signal });
    this.#heart = setInterval(() => this.#heartbeat(), Math.max(1_000, Math.min(20_000, this.#leaseMs / 3)));
    document.addEventListener("visibilitychange", () => document.hidden || this.noteActivity(), { signal });
    addEventListener("online", () => this.fill(), { signal });
    // also what is claimed just now: its reply may come too late for this page
    const keepAll = () => {
      const tokens = this.#held().map((pair) => pair.token);
      keep(outbox.scope, [...tokens, ...(this.#token ? [this.#token] : []), ...this.#kept]);
    };
    addEventListener("pagehide", keepAll, { signal });
    addEventListener("pageshow", (event) => event.persisted && takeKept(outbox.scope), { signal });
  }

  /** As `rest`, for good. */
  close() {
    this.rest();
    this.#life.abort();
    clearInterval(this.#heart);
    clearTimeout(this.#timer);
  }

  /** Nothing is claimed until the outbox has caught up. */
  get isHeld() {
    return this.#outbox.isBehind;
  }

  /** Makes the next pair the shown one; null when there is none yet. */
  next() {
    this.#ready = this.#ready.filter((pair) => pair.endsAt > Date.now() + MARGIN_MS);
    this.shown = this.#ready.shift() ?? null;
    this.fill();
    return this.shown;
  }

  /** Puts a pair whose answer was never sent before all others; false when its lease is over. */
  putBack(pair) {
    if (pair.endsAt <= Date.now() + MARGIN_MS) return false;
    this.#ready = [pair, ...(this.shown ? [this.shown] : []), ...this.#ready];
    return true;
  }

  /** This browser has drawn a pair. */
  noteDrawn() {
    this.#numUndrawn = 0;
  }

  /** No pair is shown for now: the one that was comes next. */
  setAside() {
    if (this.shown) this.#ready.unshift(this.shown);
    this.shown = null;
  }

  /** The shown pair cannot be drawn: others may be asked. */
  async withdraw(pair, reason) {
    if (this.shown === pair) this.shown = null;
    await this.#withdraw(pair.token, reason);
  }

  /** The person is here: leases are worth extending. */
  noteActivity() {
    const wasAway = Date.now() - this.#activeAt > this.#leaseMs / 3;
    this.#activeAt = Date.now();
    if (wasAway) this.#heartbeat();
  }

  /** Lets all pairs go to others, and claims no more until `wake`; those still free then come first. */
  rest() {
    this.isResting = true;
    this.#kept = [...this.#held().map((pair) => pair.token), ...this.#kept];
    this.shown = null;
    this.#ready = [];
  }

  wake() {
    this.isResting = false;
    this.fill();
  }

  /** Claims until enough pairs are ready. */
  async fill() {
    if (this.#isClaiming || this.isResting) return;
    clearTimeout(this.#timer);
    this.#isClaiming = true;
    try {
      while (this.#ready.length < AHEAD && !this.isResting && !this.isHeld) {
        const pauseMs = await this.#claim();
        if (pauseMs) {
          this.#timer = setTimeout(() => this.fill(), pauseMs);
          break;
        }
      }
    } finally {
      this.#isClaiming = false;
    }
  }

  /** Milliseconds to wait before the next claim. */
  async #claim() {
    // Kept until a pair came: repeated after a lost reply, or after a reload, it gives the same pair.
    this.#token ||= this.#kept.shift() ?? newId();
    let pair, holdsMost;
    try {
      ({ pair, holds_most: holdsMost } = await post("/api/claims", { token: this.#token }, this.#outbox.scope));
      if (pair) {
        const endsAt = Date.now() + pair.deadline_s * 1000;
        const clips = await decodePair(pair, this.#numGeoms);
        // Only now: while the pictures came, `next` may have put another list in its place.
        this.#ready.push({ token: pair.token, query: pair.query, endsAt, ...clips });
      }
      this.#failures = 0;
      this.isTroubled = false;
    } catch (error) {
      if (pair && !(error instanceof ApiError)) {
        this.#token = "";
        await this.#withdraw(pair.token, String(error?.message ?? error)); // it cannot be drawn
        return 100;
      }
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 410) this.#token = "";
      this.isTroubled = true;
      this.#tell(error);
      const pauseMs = Math.min(MAX_PAUSE_MS, 500 * 2 ** this.#failures++);
      return Math.max(pauseMs, (error.retryAfterS ?? 0) * 1000);
    }
    this.isDry = !pair;
    this.holdsMost = Boolean(holdsMost);
    if (!pair) {
      this.dispatchEvent(new Event("dry"));
      return ASK_AGAIN_MS;
    }
    this.#token = "";
    this.dispatchEvent(new Event("ready"));
    return 0;
  }

  async #withdraw(token, reason) {
    this.#numUndrawn += 1;
    if (this.#numUndrawn >= MAX_UNDRAWN) {
      this.rest();
      this.dispatchEvent(new Event("undrawable"));
      return; // its lease runs out, for somebody who can
    }
    const body = { token, reason: reason.slice(0, 500) };
    await post("/api/withdrawals", body, this.#outbox.scope).catch(() => {}); // else its lease runs out
  }

  #tell(error) {
    this.dispatchEvent(new CustomEvent("trouble", { detail: error }));
  }

  #held() {
    return [...(this.shown ? [this.shown] : []), ...this.#ready];
  }

  async #heartbeat() {
    const held = this.#held().slice(0, 8);
    if (!held.length || Date.now() - this.#activeAt > AWAY_AFTER_MS) return;
    const tokens = held.map((pair) => pair.token);
    const { deadlines } = await post("/api/heartbeats", { tokens }, this.#outbox.scope).catch((error) => {
      if (error.status === 421) this.#tell(error); // any other trouble the next heartbeat, or the next claim, gets over
      return {};
    });
    if (!deadlines) return;
    for (const pair of held) {
      const leftS = deadlines[pair.token];
      pair.endsAt = typeof leftS === "number" ? Date.now() + leftS * 1000 : 0;
    }
    this.#ready = this.#ready.filter((pair) => pair.endsAt > 0);
    if (this.shown?.endsAt === 0) {
      this.shown = null;
      this.dispatchEvent(new Event("lost"));
    }
    this.fill();
  }
}

/** Leases outlive a reload, for this tab alone: they are taken out at once, so that a copy of the tab finds none. */
function keep(scope, tokens) {
  try {
    sessionStorage.setItem(KEPT + scope, JSON.stringify(tokens));
  } catch {
    // they run out by themselves
  }
}

function takeKept(scope) {
  try {
    const tokens = JSON.parse(sessionStorage.getItem(KEPT + scope) ?? "[]");
    sessionStorage.removeItem(KEPT + scope);
    return tokens.filter((token) => /^[0-9a-f]{32}$/.test(token));
  } catch {
    return [];
  }
}
