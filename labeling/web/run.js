/**
 * The run page: figures as they come, curves from the start, and for admins where the reward model has been asked and
 * what it makes of the newest clips. `document.documentElement.dataset.state` is loading, live, lost or shut.
 */
import { get, scopeOf } from "./api.js";
import { keepAsking, signIn, write, writeFigure } from "./board.js";
import { Belief } from "./belief.js";
import { Chart } from "./chart.js";
import { byId } from "./face.js";
import { or, percent, short, signed, whole } from "./figures.js";
import { Gallery } from "./gallery.js";
import { Progress, phaseOf } from "./progress.js";

const EVERY_MS = 5_000;
const GALLERY_EVERY = 3; // of those

class Run {
  #progress = new Progress();
  #gallery = null;
  #belief = null;
  #numAsked = 0;
  #charts = [
    new Chart(byId("chart-true"), [{ name: "true_return", label: "" }]),
    new Chart(byId("chart-predicted"), [{ name: "predicted_return", label: "" }]),
    new Chart(byId("chart-labels"), [{ name: "labels", label: "" }], { isWhole: true, range: [0] }),
    new Chart(
      byId("chart-model"),
      [
        { name: "validation_accuracy", label: "right on held out labels" },
        { name: "segment_correlation", label: "follows true reward" },
      ],
      { isShare: true, range: [0, 1] },
    ),
  ];

  async start() {
    const session = await signIn();
    if (!session) return;
    const scope = scopeOf(session);
    const isAdmin = session.role === "admin";
    byId("admin-link").hidden = !isAdmin;
    this.#progress.addEventListener("change", () => this.#write(this.#progress.latest));
    this.#progress.take(session.progress);
    this.#progress.start();
    if (isAdmin) this.#belief = new Belief();
    if (isAdmin && session.drawable) await this.#openGallery();
    keepAsking(EVERY_MS, () => this.#ask(scope));
  }

  async #openGallery() {
    try {
      this.#gallery = new Gallery(await get("/api/scene"));
    } catch {
      this.#gallery = null; // without WebGL there are the curves
    }
  }

  async #ask(scope) {
    const columns = await get("/api/history", scope);
    for (const chart of this.#charts) chart.write(columns);
    const isDue = this.#numAsked % GALLERY_EVERY === 0;
    this.#numAsked += 1; // also where what follows fails, or it would be asked for at every turn
    if (!isDue) return;
    if (this.#belief?.mayBeDrawn) await this.#belief.refresh();
    await this.#gallery?.refresh();
  }

  #write(told) {
    write("phase", phaseOf(told));
    writeFigure("steps", or(told.agent_steps, short.format));
    write("steps-more", told.steps ? `of ${short.format(told.steps)}` : " ");
    writeFigure("true-return", or(told.true_return, signed.format));
    writeFigure("labels", whole.format(told.labels));
    write("labels-more", `of ${whole.format(told.wanted)}, ${whole.format(told.due)} due by now`);
    writeFigure("accuracy", or(told.validation_accuracy, percent), told.validation_accuracy === null ? "" : "right");
    write("version", told.reward_version ? `version ${whole.format(told.reward_version)}` : "not fitted yet");
  }
}

new Run().start();
