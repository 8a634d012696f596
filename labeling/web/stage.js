/**
 * All clips on screen, in step: one clock, one animation frame, and for each a world, a path, or a row of pictures. Draws
 * only when something moved. A machine without a graphics card is given fewer pixels until it keeps up.
 *
 * Events: "tick" whenever the clock's state may differ; "failed" with the error when the clips cannot be drawn.
 */
import { Clock } from "./clock.js";
import { Paths } from "./paths.js";
import { Pictures } from "./pictures.js";
import { World, hasGraphicsCard } from "./world.js";

const STRIP_FRAMES = 6;
const STRIP_COLUMNS = 3;
const SLOW_S = 0.045;
const LEAST_QUALITY = 0.5;

export class Stage extends EventTarget {
  #worlds;
  #drawn = []; // those that have a clip
  #isStale = false;
  #hasPair = false;
  #onFirstFrame = null;
  #lastMs = 0;
  #slowness = 0;
  #quality = 1;
  #isStrip = false;
  #arePaths;

  clock = new Clock();
  numGeoms;
  orbit = { turn: 0, tilt: 0 };

  /** canvases: one for each clip that there may be. Raises an error where the browser has no WebGL. */
  constructor(canvases, description, colors) {
    super();
    this.numGeoms = description.geoms.length;
    this.#arePaths = Boolean(description.grid);
    if (description.camera) {
      const isSmooth = hasGraphicsCard();
      this.#worlds = canvases.map((canvas) => new World(canvas, description, colors(), isSmooth));
    } else if (description.grid) {
      this.#worlds = canvases.map((canvas) => new Paths(canvas, description.grid));
    } else {
      this.#worlds = canvases.map((canvas) => new Pictures(canvas));
    }
    const observer = new ResizeObserver(() => this.#resize());
    for (const canvas of canvases) {
      observer.observe(canvas);
      canvas.addEventListener("webglcontextrestored", () => this.#stale());
    }
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      for (const world of this.#worlds) world.recolor(colors());
      this.#stale();
    });
    requestAnimationFrame((nowMs) => this.#frame(nowMs));
  }

  /** Frames of the film strip that is on screen instead of moving clips, or null. */
  get strip() {
    if (!this.#isStrip || !this.#hasPair) return null;
    const last = this.clock.steps - 1;
    return Array.from({ length: STRIP_FRAMES }, (_, index) => Math.round((index * last) / (STRIP_FRAMES - 1)));
  }

  /**
   * Show clips of equal length from their beginning, at most one for each canvas; `onFirstFrame` runs when all have been
   * drawn. asStrip: stand still; a path then shows all of itself, and needs no film strip.
   */
  show(clips, asStrip, onFirstFrame = () => {}) {
    this.#drawn = this.#worlds.slice(0, clips.length);
    this.#drawn.forEach((world, index) => world.load(clips[index]));
    this.#isStrip = asStrip && !this.#arePaths;
    this.clock.load(clips[0].steps, clips[0].stepS, !asStrip);
    if (asStrip && this.#arePaths) this.clock.seek(clips[0].steps - 1);
    this.#hasPair = true;
    this.#onFirstFrame = onFirstFrame;
    this.#stale();
  }

  /** Nothing is shown. */
  clear() {
    this.#hasPair = false;
    this.clock.isPlaying = false;
    this.#onFirstFrame = null;
    this.#stale();
  }

  /** Any of the clock's verbs. Whatever moves it ends the film strip. */
  control(verb, ...args) {
    if (!this.#hasPair) return;
    if (verb !== "faster") this.#isStrip = false;
    this.clock[verb](...args);
    this.#stale();
  }

  /** What a person's action means here; nothing where it is none of the stage's. */
  act(action) {
    const verbs = {
      pause: () => this.control("toggle"),
      replay: () => this.control("replay"),
      stepBack: () => this.control("step", -1),
      stepForward: () => this.control("step", 1),
      slower: () => this.control("faster", -1),
      faster: () => this.control("faster", 1),
      turnLeft: () => this.turn(15, 0),
      turnRight: () => this.turn(-15, 0),
      resetView: () => this.resetView(),
    };
    verbs[action]?.();
  }

  turn(turn, tilt) {
    this.orbit.turn += turn;
    this.orbit.tilt = Math.max(-80, Math.min(60, this.orbit.tilt + tilt));
    this.#stale();
  }

  resetView() {
    this.orbit = { turn: 0, tilt: 0 };
    this.#stale();
  }

  #stale() {
    this.#isStale = true;
    this.dispatchEvent(new Event("tick"));
  }

  #resize() {
    const ratio = Math.min(2, devicePixelRatio || 1) * this.#quality;
    for (const world of this.#worlds) world.resize(ratio);
    this.#isStale = true;
    this.#draw(); // resizing clears a canvas: within the same frame, or it would flicker
  }

  #frame(nowMs) {
    requestAnimationFrame((laterMs) => this.#frame(laterMs));
    const passedS = this.#lastMs ? (nowMs - this.#lastMs) / 1000 : 0;
    this.#lastMs = nowMs;
    if (!this.#hasPair) return;
    // The time that it took to draw a pair's first frame is no part of its clips.
    if (!this.#onFirstFrame && this.clock.tick(passedS)) {
      this.#isStale = true;
      this.dispatchEvent(new Event("tick"));
      this.#keepUp(passedS);
    }
    this.#draw();
  }

  #keepUp(passedS) {
    this.#slowness = 0.9 * this.#slowness + 0.1 * Math.min(0.2, passedS);
    if (this.#arePaths || this.#slowness < SLOW_S || this.#quality <= LEAST_QUALITY) return; // paths cost little
    this.#slowness = 0;
    this.#quality = Math.max(LEAST_QUALITY, this.#quality * 0.8);
    this.#resize();
  }

  #draw() {
    if (!this.#isStale || !this.#hasPair) return;
    this.#isStale = false;
    try {
      const strip = this.strip;
      for (const world of this.#drawn) {
        if (strip) world.drawStrip(strip, STRIP_COLUMNS, this.orbit);
        else world.draw(this.clock.frame, this.orbit);
      }
    } catch (error) {
      this.clear();
      this.dispatchEvent(new CustomEvent("failed", { detail: error }));
      return;
    }
    const report = this.#onFirstFrame;
    this.#onFirstFrame = null;
    report?.();
  }
}
