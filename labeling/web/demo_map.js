/**
 * The learned reward as a map: a colour and a number for each cell, an arrow for what the agent thinks best there, the
 * agent, its trail and the hidden goal. Whatever colour tells, a number, a shape or a pattern tells too.
 *
 * Drawn by the browser's own clock, and between two states of the server in between: how fast those come does not matter.
 */
import { Layout, drawGoal, fit, themeColors } from "./grid.js";

const LIGHT_RAMP = ["#f4f1ea", "#bcd0f2", "#6d94de", "#1f49b3"];
const DARK_RAMP = ["#20262b", "#2d4270", "#5478c4", "#b4cbff"];
const SETTLE_S = 0.12; // a colour or the agent is then two thirds of the way to where it should be
const STILL = 1e-3;
const TURNS = [-Math.PI / 2, 0, Math.PI / 2, Math.PI]; // up, right, down, left; the fifth action is to stay
const dark = matchMedia("(prefers-color-scheme: dark)");
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

/** Rewards from 0, the lowest now, to 1, the highest; all 0.5 where they are alike. */
export function scaled(rewards) {
  const [low, high] = [Math.min(...rewards), Math.max(...rewards)];
  return rewards.map((reward) => (high - low > 1e-9 ? (reward - low) / (high - low) : 0.5));
}

export class RewardMap {
  #canvas;
  #brush;
  #grid;
  #world = null;
  #colors = themeColors();
  #ramp;
  #pattern = null;
  #shown = []; // heat of each cell, as it is on screen
  #agent = null; // place {x, y} in cells
  #isStale = true;
  #lastMs = 0;

  constructor(canvas, grid) {
    this.#canvas = canvas;
    this.#brush = canvas.getContext("2d");
    this.#grid = grid;
    this.#recolor();
    dark.addEventListener("change", () => this.#recolor());
    new ResizeObserver(() => {
      if (!fit(canvas, Math.min(2, devicePixelRatio || 1))) return;
      this.#pattern = null;
      this.#isStale = true;
      this.#draw(); // within the same frame, or it would flicker
    }).observe(canvas);
    requestAnimationFrame((nowMs) => this.#frame(nowMs));
  }

  /** world: as the server tells it. isNew: another run, to which nothing moves over. */
  write(world, isNew) {
    this.#world = { ...world, heat: scaled(world.rewards) };
    if (isNew || !this.#agent || reducedMotion.matches) this.#jump();
    this.#isStale = true;
  }

  #recolor() {
    this.#colors = themeColors();
    this.#ramp = (dark.matches ? DARK_RAMP : LIGHT_RAMP).map(channels);
    this.#pattern = null;
    this.#isStale = true;
  }

  #jump() {
    this.#shown = [...this.#world.heat];
    this.#agent = this.#placeOf(this.#world.cell);
  }

  #placeOf(cell) {
    return { x: cell % this.#grid.size, y: Math.floor(cell / this.#grid.size) };
  }

  #frame(nowMs) {
    requestAnimationFrame((laterMs) => this.#frame(laterMs));
    const passedS = Math.min(0.1, (nowMs - this.#lastMs) / 1000);
    this.#lastMs = nowMs;
    if (this.#world) this.#move(1 - Math.exp(-passedS / SETTLE_S));
    this.#draw();
  }

  /** All a part of the way to where it should be. */
  #move(part) {
    const { heat, cell } = this.#world;
    const target = this.#placeOf(cell);
    const far = [target.x - this.#agent.x, target.y - this.#agent.y];
    const most = Math.max(...far.map(Math.abs), ...heat.map((value, index) => Math.abs(value - this.#shown[index])));
    if (most === 0) return;
    if (most < STILL) this.#jump();
    else {
      this.#shown = this.#shown.map((value, index) => value + (heat[index] - value) * part);
      this.#agent = { x: this.#agent.x + far[0] * part, y: this.#agent.y + far[1] * part };
    }
    this.#isStale = true;
  }

  #draw() {
    if (!this.#isStale || !this.#world || !this.#canvas.width) return;
    this.#isStale = false;
    const brush = this.#brush;
    const layout = new Layout(this.#canvas, this.#grid.size);
    brush.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    brush.textAlign = "center";
    brush.font = `600 ${(layout.side * 0.155).toFixed(1)}px system-ui, sans-serif`;
    for (let cell = 0; cell < this.#shown.length; cell++) this.#drawCell(layout, cell);
    this.#drawTrail(layout);
    this.#drawAgent(layout);
  }

  #drawCell(layout, cell) {
    const brush = this.#brush;
    const { x, y } = layout.middle(cell);
    const { color, ink } = this.#colorOf(this.#shown[cell]);
    layout.outline(brush, cell);
    brush.fillStyle = color;
    brush.fill();
    if (!this.#world.judged[cell]) {
      this.#pattern ??= hatching(brush, layout.side, this.#colors.edge);
      brush.fillStyle = this.#pattern;
      brush.fill();
    }
    brush.strokeStyle = this.#colors.border;
    brush.lineWidth = Math.max(1, layout.side * 0.012);
    brush.stroke();
    brush.fillStyle = ink;
    brush.fillText(String(Math.round(this.#shown[cell] * 100)), x, y + layout.side * 0.4);
    this.#drawArrow(x, y - layout.side * 0.06, layout.side * 0.2, this.#world.arrows[cell], this.#world.right[cell], ink);
    if (cell !== this.#grid.goal) return;
    const corner = { x: x + layout.side * 0.31, y: y - layout.side * 0.31 };
    drawGoal(brush, corner, layout.side * 0.13, this.#colors.good, this.#colors.surface);
  }

  /** Filled where it is right by the hidden reward, an outline where it is not; a disc for staying. */
  #drawArrow(x, y, reach, action, isRight, ink) {
    const brush = this.#brush;
    brush.save();
    brush.translate(x, y);
    brush.beginPath();
    if (action < TURNS.length) {
      brush.rotate(TURNS[action]);
      const [half, stem] = [reach * 0.62, reach * 0.2];
      const corners = [
        [reach, 0], [reach * 0.1, half], [reach * 0.1, stem], [-reach, stem],
        [-reach, -stem], [reach * 0.1, -stem], [reach * 0.1, -half],
      ];
      for (const [along, across] of corners) brush.lineTo(along, across);
      brush.closePath();
    } else {
      brush.arc(0, 0, reach * 0.5, 0, 2 * Math.PI);
    }
    brush.lineJoin = "round";
    brush.lineWidth = Math.max(1.2, reach * 0.13);
    brush.strokeStyle = brush.fillStyle = ink;
    if (isRight) brush.fill();
    brush.stroke();
    brush.restore();
  }

  #drawTrail(layout) {
    const brush = this.#brush;
    const { trail } = this.#world;
    brush.strokeStyle = this.#colors.agent;
    Object.assign(brush, { lineCap: "round", lineWidth: layout.side * 0.035 });
    for (let index = 1; index < trail.length; index++) {
      const [from, to] = [layout.middle(trail[index - 1]), layout.middle(trail[index])];
      brush.globalAlpha = (0.7 * index) / trail.length;
      brush.beginPath();
      brush.moveTo(from.x, from.y);
      brush.lineTo(to.x, to.y);
      brush.stroke();
    }
    brush.globalAlpha = 1;
  }

  #drawAgent(layout) {
    const brush = this.#brush;
    const x = layout.left + (this.#agent.x + 0.5) * layout.side;
    const y = layout.top + (this.#agent.y + 0.5) * layout.side;
    for (const [color, width] of [[this.#colors.surface, 0.085], [this.#colors.agent, 0.05]]) {
      brush.beginPath();
      brush.arc(x, y, layout.side * 0.33, 0, 2 * Math.PI);
      brush.strokeStyle = color;
      brush.lineWidth = layout.side * width;
      brush.stroke();
    }
  }

  #colorOf(heat) {
    const place = Math.min(0.9999, Math.max(0, heat)) * (this.#ramp.length - 1);
    const first = Math.floor(place);
    const mixed = this.#ramp[first].map((value, at) => value + (this.#ramp[first + 1][at] - value) * (place - first));
    const luminance = (0.299 * mixed[0] + 0.587 * mixed[1] + 0.114 * mixed[2]) / 255;
    return { color: `rgb(${mixed.map(Math.round).join(" ")})`, ink: luminance > 0.5 ? "#14181c" : "#ffffff" };
  }
}

function channels(hex) {
  return [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
}

/** Thin lines aslant, for what nobody was asked about. */
function hatching(brush, side, color) {
  const size = Math.max(6, Math.round(side * 0.14));
  const tile = new OffscreenCanvas(size, size);
  const tileBrush = tile.getContext("2d");
  tileBrush.strokeStyle = color;
  tileBrush.globalAlpha = 0.5;
  tileBrush.lineWidth = Math.max(1, size * 0.1);
  for (const shift of [-size, 0, size]) {
    tileBrush.beginPath();
    tileBrush.moveTo(shift - 1, size + 1);
    tileBrush.lineTo(shift + size + 1, -1);
    tileBrush.stroke();
  }
  return brush.createPattern(tile, "repeat");
}
