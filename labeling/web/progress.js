/** How far labeling and learning are, from the server's events. Not listened to while the page is hidden. */
import { or, short, signed, whole } from "./figures.js";

const REOPEN_MS = 5_000;

export class Progress extends EventTarget {
  #source = null;
  #timer = 0;
  latest = null;
  /** No pairs are given to this labeler now. */
  isPaused = false;

  start() {
    this.#open();
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#close() : this.#open()));
  }

  take(progress) {
    if (!progress) return;
    this.latest = progress;
    this.dispatchEvent(new Event("change"));
  }

  /** Event "paused" when it begins and when it ends. */
  pause(isPaused) {
    if (isPaused === this.isPaused) return;
    this.isPaused = isPaused;
    this.dispatchEvent(new Event("paused"));
  }

  #open() {
    this.#close();
    this.#source = new EventSource("/api/events");
    this.#source.addEventListener("progress", (event) => this.take(JSON.parse(event.data)));
    this.#source.addEventListener("paused", (event) => this.pause(JSON.parse(event.data)));
    this.#source.addEventListener("error", () => {
      // The browser tries again by itself, unless the reply was an error.
      if (this.#source?.readyState === EventSource.CLOSED) this.#timer = setTimeout(() => this.#open(), REOPEN_MS);
    });
  }

  #close() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }
}

/** What the page says about progress, by element id; a dash where the run has not said. */
export function describe(progress) {
  const { labels, due, wanted } = progress;
  const left = Math.max(0, Math.min(due, wanted) - labels);
  const goal = wanted > labels || progress.updated_s !== null ? ` of ${whole.format(wanted)}` : "";
  return {
    labels: `${whole.format(labels)}${goal} labels`,
    due: left > 0 ? `${whole.format(left)} due now` : "none due now",
    share: wanted ? Math.min(1, labels / wanted) : 0,
    dueShare: wanted ? Math.min(1, due / wanted) : 0,
    steps: or(progress.agent_steps, (value) => short.format(value) + ofSteps(progress.steps)),
    trueReturn: or(progress.true_return, (value) => signed.format(value)),
    predictedReturn: or(progress.predicted_return, (value) => signed.format(value)),
    accuracy: or(progress.validation_accuracy, (value) => `${Math.round(value * 100)} %`),
    phase: phaseOf(progress),
  };
}

/** What the run is doing. */
export function phaseOf(progress) {
  return progress.updated_s === null ? "not at work now" : (progress.phase ?? "at work");
}

function ofSteps(steps) {
  return steps ? ` of ${short.format(steps)}` : "";
}
