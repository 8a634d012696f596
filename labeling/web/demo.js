/**
 * The page of the small world: puts its parts together. The server plays; the page says what it wants and draws what it
 * is told. `document.documentElement.dataset` tells: state (loading, live, lost), playing, query (of the pair that waits
 * for the person), saved (answers not yet sent).
 */
import { get, post } from "./api.js";
import { sayLive, write } from "./board.js";
import { Chart } from "./chart.js";
import { confirmed } from "./confirm.js";
import { Ask } from "./demo_ask.js";
import { RewardMap } from "./demo_map.js";
import { brief, writeFigures, writeGridTable, writeLog } from "./demo_words.js";
import { byId } from "./face.js";
import { whole } from "./figures.js";
import { Keys } from "./keys.js";
import { Storage } from "./storage.js";

const TABLE_EVERY_MS = 1_000;
const REOPEN_MS = 2_000;
const SHORTCUTS = { p: "play", n: "one-step", x: "reset" };
const PRESETS = {
  oracle: "A synthetic oracle answers at once. It sees the hidden reward: how near the star every step was.",
  person: "The agent walks, then waits for you: pick the path that ends nearer the star. Ten answers already show.",
  offline: "300 questions about the agent’s first steps, then none: it drifts into cells that nobody told it about. " +
    "Switch online queries on, below, and the map comes right.",
};
const status = document.documentElement.dataset;

class Demo {
  #state = null;
  #maps = [];
  #ask;
  #keys = new Keys(new Storage()); // as they were chosen on the labeling page
  #trouble = "";
  #series = { match: series("match"), optimal: series("optimal"), loss: series("loss") };
  #charts = {
    match: new Chart(byId("chart-match"), this.#series.match, { isShare: true, range: [0, 1] }),
    optimal: new Chart(byId("chart-optimal"), this.#series.optimal, { isShare: true, range: [0, 1] }),
    loss: new Chart(byId("chart-loss"), this.#series.loss, { range: [0, 0.7] }),
  };
  #source = null;
  #tableAt = 0;
  #sending = Promise.resolve();

  async start() {
    const state = await this.#first();
    this.#maps = [0, 1].map((index) => new RewardMap(byId(`world-${index}`).querySelector(".map"), state.grid));
    this.#ask = new Ask(state.grid, this.#keys);
    const { seed, members } = state.worlds[0].config; // as the command was given them
    byId("seed").value = String(seed);
    byId("members").value = String(members);
    this.#listen();
    this.#take(state);
    this.#takeCurves(await get("/api/demo/curves"));
    this.#open();
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#source.close() : this.#open()));
  }

  async #first() {
    for (;;) {
      try {
        return await get("/api/demo/state");
      } catch (error) {
        sayLive(false, error.message);
        await new Promise((resolve) => setTimeout(resolve, REOPEN_MS));
      }
    }
  }

  #open() {
    this.#source?.close();
    const source = new EventSource("/api/demo/events");
    this.#source = source;
    source.addEventListener("open", () => sayLive(true));
    source.addEventListener("state", (event) => this.#take(JSON.parse(event.data)));
    source.addEventListener("curves", (event) => this.#takeCurves(JSON.parse(event.data)));
    source.addEventListener("error", () => {
      sayLive(false, "The demo does not answer.");
      if (source.readyState === EventSource.CLOSED && !document.hidden) setTimeout(() => this.#open(), REOPEN_MS);
    });
  }

  // ---- what the server tells

  #take(state) {
    const isOfSamePlayer = this.#state?.player === state.player;
    if (isOfSamePlayer && state.version < this.#state.version) return; // overtaken on its way
    const isNew = this.#state?.run !== state.run;
    this.#state = state;
    const [world] = state.worlds;
    document.body.dataset.worlds = String(state.worlds.length);
    byId("world-1").hidden = state.worlds.length < 2;
    state.worlds.forEach((one, index) => {
      this.#maps[index].write(one, isNew);
      write(byId(`world-${index}`).querySelector(".brief"), brief(one));
    });
    const mover = world.config.algorithm === "ppo" ? ", moved by PPO" : "";
    const title = state.worlds.length > 1 ? "Asked by disagreement" : `What the agent believes${mover}`;
    write(byId("world-0").querySelector("h2"), title);
    writeFigures(state.worlds);
    this.#writeTables(isNew);
    this.#writeControls(world);
    this.#ask.write(state).catch((error) => this.#say(error.message, true));
  }

  #takeCurves(told) {
    const [first, second] = told.worlds;
    const columns = { ...first.columns };
    const points = Math.min(...told.worlds.map((world) => world.columns.agent_steps.length));
    for (const name of Object.keys(this.#series)) columns[`${name}_random`] = second?.columns[name] ?? [];
    for (const name of Object.keys(columns)) columns[name] = columns[name].slice(0, points);
    for (const [name, [ours, other]] of Object.entries(this.#series)) {
      ours.label = second ? "by disagreement" : "";
      other.label = second ? "at random" : "";
      this.#charts[name].write(columns);
    }
    writeLog(told.worlds);
  }

  /** Words for a screen reader need not be written twelve times a second. */
  #writeTables(isNew) {
    if (!isNew && this.#state.playing && performance.now() - this.#tableAt < TABLE_EVERY_MS) return;
    this.#tableAt = performance.now();
    this.#state.worlds.forEach((world, index) => {
      writeGridTable(byId(`world-${index}`).querySelector("table"), world, this.#state.grid);
    });
  }

  #writeControls({ config, labeler, online }) {
    const { playing, trouble } = this.#state;
    status.playing = String(playing);
    write(byId("play").querySelector("span"), playing ? "Pause" : "Play");
    for (const button of presetButtons()) {
      button.setAttribute("aria-pressed", String(button.dataset.preset === config.preset));
    }
    write("preset-text", PRESETS[config.preset]);
    const { selection, error_rate: errorRate } = config;
    const controls = { online, mine: labeler === "person", selection, "error-rate": String(errorRate) };
    for (const [id, value] of Object.entries(controls)) {
      const control = byId(id);
      if (control === document.activeElement && control.tagName === "SELECT") continue;
      if (control.type === "checkbox") control.checked = value;
      else control.value = value;
    }
    const areTwo = this.#state.worlds.length > 1;
    byId("side-by-side").checked = areTwo;
    byId("mine").disabled = byId("selection").disabled = areTwo;
    if (trouble) this.#say(trouble, true);
    else if (this.#trouble && byId("notice").textContent === this.#trouble) this.#say("");
    this.#trouble = trouble;
  }

  // ---- what the person wants

  #listen() {
    byId("play").addEventListener("click", () => this.#play(!this.#state.playing));
    byId("one-step").addEventListener("click", () => this.#send("step", {}, ""));
    byId("reset").addEventListener("click", () => this.#reset(this.#preset));
    byId("speed").addEventListener("change", () => this.#play(this.#state.playing));
    for (const button of presetButtons()) {
      button.addEventListener("click", () => this.#reset(button.dataset.preset));
    }
    byId("members").addEventListener("change", () => this.#say("The next reset makes that ensemble."));
    byId("seed").addEventListener("change", () => this.#say("The next reset begins with that seed."));
    byId("side-by-side").addEventListener("change", () => this.#reset(this.#preset));
    byId("online").addEventListener("change", ({ target }) => {
      const said = target.checked ? "Online queries are on: somebody is asked again." : "Online queries are off.";
      this.#send("change", { online: target.checked }, said);
    });
    byId("mine").addEventListener("change", ({ target }) => {
      const said = target.checked ? "You answer now." : "The oracle answers now.";
      this.#send("change", { labeler: target.checked ? "person" : "oracle" }, said);
    });
    byId("selection").addEventListener("change", ({ target }) => this.#send("change", { selection: target.value }, ""));
    byId("error-rate").addEventListener("change", ({ target }) => {
      this.#send("change", { error_rate: Number(target.value) }, "");
    });
    for (const [key, id] of Object.entries(SHORTCUTS)) {
      if (!this.#keys.actionOf({ key })) continue;
      byId(id).removeAttribute("aria-keyshortcuts");
      byId(id).querySelector("kbd").remove();
    }
    addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
      // A single letter does something only from nowhere, or from the buttons that it stands for, and their neighbours.
      if (byId("confirm").open || !event.target.matches?.("body, .controls button")) return;
      const id = SHORTCUTS[event.key.toLowerCase()];
      if (id && !this.#keys.actionOf(event)) byId(id).click();
    });
  }

  #play(playing) {
    const wanted = { playing, steps_per_second: Number(byId("speed").value) };
    return this.#send("play", wanted, playing ? "Playing." : "Paused.");
  }

  get #preset() {
    return this.#state.worlds[0].config.preset;
  }

  /** Whether a person has given answers that a reset would forget, and wants to keep them. */
  async #keepsAnswers() {
    const { config, labeler, labels } = this.#state.worlds[0];
    if (!labels || (config.preset !== "person" && labeler !== "person")) return false;
    const answers = labels === 1 ? "1 answer is" : `${whole.format(labels)} answers are`;
    return !(await confirmed("Begin anew?", `What the agent learned is forgotten: ${answers} lost.`, "Begin anew"));
  }

  async #reset(preset) {
    if (await this.#keepsAnswers()) return this.#writeControls(this.#state.worlds[0]);
    if (preset === "person") byId("side-by-side").checked = false;
    const { config } = this.#state.worlds[0];
    const seed = Math.max(0, Math.min(2 ** 31 - 1, Math.trunc(Number(byId("seed").value) || 0)));
    byId("seed").value = String(seed);
    const wanted = {
      preset,
      seed,
      selection: byId("side-by-side").checked ? "disagreement" : byId("selection").value,
      error_rate: Number(byId("error-rate").value || config.error_rate), // the command may give another than are listed
      members: Number(byId("members").value),
      side_by_side: byId("side-by-side").checked,
    };
    await this.#send("reset", wanted, `Begun anew with seed ${seed}.`);
    if (preset === "offline") byId("more").open = true;
    if (preset === "person" && !this.#state.playing) await this.#play(true);
    return undefined;
  }

  async #send(what, body, said) {
    const before = this.#sending; // one after the other: two on their way at once may arrive the other way round
    let isSent = () => {};
    this.#sending = new Promise((resolve) => (isSent = resolve));
    await before;
    try {
      this.#take(await post(`/api/demo/${what}`, body));
      if (said) this.#say(said);
    } catch (error) {
      this.#say(error.message, true);
    } finally {
      isSent();
    }
  }

  #say(text, isTrouble = false) {
    byId("notice").dataset.tone = isTrouble ? "late" : "";
    write("notice", text);
  }
}

function presetButtons() {
  return document.querySelectorAll("button[data-preset]");
}

function series(name) {
  return [{ name, label: "" }, { name: `${name}_random`, label: "" }];
}

new Demo().start();
