/**
 * The learned reward as a map: a colour and a number for each cell, an arrow for what the agent thinks best there, the
 * agent, its trail and the hidden goal. Whatever colour tells, a number, a shape or a pattern tells too.
 *
 * The map is drawn when something that it shows has changed, a dozen times a second at most. The agent is an element above
 * it, which the browser moves by itself, as smoothly as it can: a processor that draws has no time to paint all of it
 * anew sixty times a second.
 */
import { Layout, drawGoal, fit, themeColors } from "./grid.js";

const LIGHT_RAMP = ["#f4f1ea", "#bcd0f2", "#6d94de", "#1f49b3"];
const DARK_RAMP = ["#20262b", "#2d4270", "#5478c4", "#b4cbff"];
const TURNS = [-Math.PI / 2, 0, Math.PI / 2, Math.PI]; // up, right, down, left; the fifth action is to stay
const dark = matchMedia("(prefers-color-scheme: dark)");

/** Rewards from 0, the lowest now, to 1, the highest; all 0.5 where they are alike. */
export function scaled(rewards) {
  const [low, high] = [Math.min(...rewards), Math.max(...rewards)];
  return rewards.map((reward) => (high - low > 1e-9 ? (reward - low) / (high - low) : 0.5));
}

export class RewardMap {
  #canvas;
  #agent;
  #brush;
  #grid;
  #world = null;
  #colors;
  #ramp;
  #pattern = null;
  #drawn = ""; // what is on screen

  /** plot: the element that holds the canvas and the agent. */
  constructor(plot, grid) {
    this.#canvas = plot.querySelector("canvas");
    this.#agent = plot.querySelector(".agent");
    this.#brush = this.#canvas.getContext("2d");
    this.#grid = grid;
    this.#recolor();
    dark.addEventListener("change", () => this.#recolor());
    new ResizeObserver(() => {
      if (fit(this.#canvas, Math.min(2, devicePixelRatio || 1))) this.#anew();
    }).observe(this.#canvas);
  }

  /** world: as the server tells it. isNew: another run, to which nothing moves over. */
  write(world, isNew) {
    this.#world = { ...world, heat: scaled(world.rewards).map((heat) => Math.round(heat * 100) / 100) };
    this.#draw();
    this.#place(isNew);
  }

  #recolor() {
    this.#colors = themeColors();
    this.#ramp = (dark.matches ? DARK_RAMP : LIGHT_RAMP).map(channels);
    this.#anew();
  }

  #anew() {
    this.#pattern = null;
    this.#drawn = "";
    this.#draw();
    this.#place(true);
  }

  /** The ring around the agent's cell; `atOnce`: without the way there. */
  #place(atOnce) {
    if (!this.#world || !this.#canvas.width) return;
    const ratio = this.#canvas.clientWidth / this.#canvas.width;
    const layout = new Layout(this.#canvas, this.#grid.size);
    const { x, y } = layout.middle(this.#world.cell);
    const style = this.#agent.style;
    style.width = style.height = `${layout.side * 0.7 * ratio}px`;
    style.transitionDuration = atOnce ? "0s" : "";
    style.transform = `translate(${x * ratio}px, ${y * ratio}px) translate(-50%, -50%)`;
  }

  #draw() {
    if (!this.#world || !this.#canvas.width) return;
    const { heat, arrows, right, judged, trail } = this.#world;
    const key = [heat, arrows, right, judged.map(Boolean), trail].join("|");
    if (key === this.#drawn) return;
    this.#drawn = key;
    const brush = this.#brush;
    const layout = new Layout(this.#canvas, this.#grid.size);
    brush.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    brush.textAlign = "center";
    brush.font = `600 ${(layout.side * 0.155).toFixed(1)}px system-ui, sans-serif`;
    for (let cell = 0; cell < heat.length; cell++) this.#drawCell(layout, cell);
    this.#drawTrail(layout);
  }

  #drawCell(layout, cell) {
    const brush = this.#brush;
    const { x, y } = layout.middle(cell);
    const { color, ink } = this.#colorOf(this.#world.heat[cell]);
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
    brush.fillText(String(Math.round(this.#world.heat[cell] * 100)), x, y + layout.side * 0.4);
    const { arrows, right } = this.#world;
    this.#drawArrow(x, y - layout.side * 0.06, layout.side * 0.2, arrows[cell], right[cell], ink);
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
