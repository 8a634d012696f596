/** Clips side by side, and below each what the reward model pays for its steps, with a cursor in step with the clip. */
import { ApiError, get } from "./api.js";
import { svg, write } from "./board.js";
import { byId, floorColors } from "./face.js";
import { pay, whole } from "./figures.js";
import { decodeAlone } from "./poses.js";
import { Stage } from "./stage.js";

const NUM_CLIPS = 6;
const HEIGHT = 72;
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

export class Gallery {
  #stage;
  #cards;
  #decoded = new Map(); // clip id -> what the stage draws, or null where this browser cannot decode it
  #shown = []; // ids of the clips on the stage
  #undrawable = ""; // ids of clips that the stage could not draw

  /** scene: as the server describes it. Raises an error where the browser has no WebGL. */
  constructor(scene) {
    this.#cards = Array.from({ length: NUM_CLIPS }, () => new Card());
    byId("clips").append(...this.#cards.map((card) => card.element));
    this.#stage = new Stage(this.#cards.map((card) => card.canvas), scene, floorColors);
    this.#stage.addEventListener("tick", () => this.#tick());
    this.#stage.addEventListener("failed", () => this.#fail());
    byId("play").addEventListener("click", () => this.#stage.control("toggle"));
  }

  /** Fetches what is newest; while the clips stand still they stay, and only what is paid for them is new. A clip that
   * this browser cannot show is left out, and clips that it could not draw are tried no more. */
  async refresh() {
    const told = await get("/api/gallery");
    write("gallery-note", told.reward_version ? `reward model ${whole.format(told.reward_version)}` : "no reward model yet");
    const clips = [];
    for (const clip of told.clips.slice(0, NUM_CLIPS)) {
      const poses = await this.#poses(clip.clip_id);
      if (poses) clips.push({ ...clip, ...poses });
    }
    const ids = clips.map((clip) => clip.clip_id);
    this.#forgetAllBut([...told.clips.map((clip) => clip.clip_id), ...this.#shown]);
    byId("gallery").hidden = clips.length === 0 || ids.join(" ") === this.#undrawable;
    if (byId("gallery").hidden) return;
    const isNew = ids.join(" ") !== this.#shown.join(" ");
    const rests = this.#shown.length && !this.#stage.clock.isPlaying && !reducedMotion.matches;
    if (isNew && rests) return;
    const all = clips.flatMap((clip) => clip.rewards ?? []);
    const most = Math.max(1, ...all.map(Math.abs));
    this.#cards.forEach((card, index) => card.write(clips[index], most));
    if (!isNew) return;
    this.#shown = ids;
    this.#forgetAllBut(told.clips.map((clip) => clip.clip_id));
    this.#stage.show(clips, reducedMotion.matches, () => byId("gallery").setAttribute("data-drawn", "true"));
  }

  async #poses(clipId) {
    if (!this.#decoded.has(clipId)) {
      try {
        this.#decoded.set(clipId, await decodeAlone(await get(`/api/clips/${clipId}`), this.#stage.numGeoms));
      } catch (error) {
        if (error.status === 404) return null; // dropped meanwhile: there are newer ones
        if (error instanceof ApiError) throw error;
        this.#decoded.set(clipId, null);
      }
    }
    return this.#decoded.get(clipId);
  }

  /** Lets the memory of all others' pictures go. */
  #forgetAllBut(ids) {
    for (const [id, clip] of this.#decoded) {
      if (ids.includes(id)) continue;
      clip?.image?.close();
      this.#decoded.delete(id);
    }
  }

  #fail() {
    this.#undrawable = this.#shown.join(" ");
    this.#shown = [];
    byId("gallery").hidden = true;
  }

  #tick() {
    const { clock } = this.#stage;
    for (const card of this.#cards) card.move(clock.steps > 1 ? clock.frame / (clock.steps - 1) : 0);
    write("play", clock.isPlaying ? "Pause" : "Play");
  }
}

class Card {
  #line = svg("path", { class: "series series-1" });
  #cursor = svg("line", { class: "cursor", y1: 0, y2: HEIGHT });
  #dot = svg("circle", { class: "end-mark series-1", r: 4.5 });
  #middle = svg("line", { class: "grid", x1: 0, y1: HEIGHT / 2, y2: HEIGHT / 2 });
  #plot = svg("svg", { height: HEIGHT, role: "img" });
  #caption = document.createElement("figcaption");
  #rewards = [];
  #most = 1;
  #width = 0;
  #share = 0;
  element = document.createElement("figure");
  canvas = document.createElement("canvas");

  constructor() {
    this.element.className = "panel clip";
    this.canvas.setAttribute("role", "img");
    this.#plot.append(this.#middle, this.#line, this.#cursor, this.#dot);
    const strip = document.createElement("div");
    strip.className = "strip";
    strip.append(this.#plot);
    this.element.append(this.canvas, strip, this.#caption);
    new ResizeObserver(([entry]) => {
      this.#width = entry.contentRect.width;
      this.#draw();
    }).observe(strip);
  }

  /** clip: with its rewards, or undefined. most: the pay at the upper edge, alike for all clips. */
  write(clip, most) {
    this.element.hidden = !clip;
    if (!clip) return;
    const { rewards } = clip;
    this.#rewards = rewards ?? [];
    this.#most = most;
    this.#draw();
    const policy = `policy ${whole.format(clip.policy_version)}`;
    this.canvas.setAttribute("aria-label", `Clip of ${policy}`);
    for (const mark of [this.#cursor, this.#dot]) mark.style.display = rewards ? "" : "none";
    if (!rewards) {
      this.#plot.setAttribute("aria-label", "No reward model yet");
      write(this.#caption, policy);
      return;
    }
    const mean = rewards.reduce((sum, reward) => sum + reward, 0) / rewards.length;
    const [low, high] = [Math.min(...rewards), Math.max(...rewards)].map((reward) => pay.format(reward));
    const spoken = `Predicted reward of ${rewards.length} steps, against an average one: between ${low} and ${high}, ${pay.format(mean)} in the mean`;
    this.#plot.setAttribute("aria-label", spoken);
    write(this.#caption, `${policy}, ${pay.format(mean)} a step`);
  }

  /** share of the clip that has been shown. */
  move(share) {
    this.#share = share;
    const at = share * (this.#rewards.length - 1);
    const [first, second] = [this.#rewards[Math.floor(at)], this.#rewards[Math.ceil(at)]];
    this.#cursor.setAttribute("x1", share * this.#width);
    this.#cursor.setAttribute("x2", share * this.#width);
    if (second === undefined) return;
    this.#dot.setAttribute("cx", share * this.#width);
    this.#dot.setAttribute("cy", this.#y(first + (second - first) * (at - Math.floor(at))));
  }

  #y(reward) {
    return HEIGHT / 2 - (reward / this.#most) * (HEIGHT / 2 - 6);
  }

  #draw() {
    const last = Math.max(1, this.#rewards.length - 1);
    const place = (reward, index) => `${index ? "L" : "M"}${(index / last) * this.#width} ${this.#y(reward)}`;
    this.#line.setAttribute("d", this.#rewards.map(place).join(""));
    this.#plot.setAttribute("width", this.#width);
    this.#middle.setAttribute("x2", this.#width);
    this.move(this.#share);
  }
}
