/** One clip of the small world: its way over the grid, on a canvas. Stands where a World does. */
import { Layout, drawGoal, fit, themeColors } from "./grid.js";

export class Paths {
  #canvas;
  #brush;
  #grid;
  #colors = themeColors();
  #ground = null; // grid and goal, which every frame has: painted once
  #cells = [0];

  /** grid: as the server describes it. */
  constructor(canvas, grid) {
    this.#canvas = canvas;
    this.#brush = canvas.getContext("2d");
    this.#grid = grid;
  }

  recolor() {
    this.#colors = themeColors();
    this.#ground = null;
  }

  load({ cells }) {
    this.#cells = cells;
  }

  resize(pixelRatio) {
    if (fit(this.#canvas, pixelRatio)) this.#ground = null;
  }

  /** The way up to `frame`, which may lie between two cells, and the agent at its end. */
  draw(frame) {
    this.#brush.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    this.#paint(frame);
  }

  #paint(frame) {
    const [brush, colors] = [this.#brush, this.#colors];
    const layout = new Layout(this.#canvas, this.#grid.size);
    this.#ground ??= this.#paintGround(layout);
    brush.drawImage(this.#ground, 0, 0);
    const places = this.#places(layout, frame);
    const end = places.at(-1);
    brush.beginPath();
    places.forEach(({ x, y }) => brush.lineTo(x, y));
    Object.assign(brush, { lineCap: "round", lineJoin: "round", lineWidth: layout.side * 0.12 });
    brush.strokeStyle = colors.accent;
    brush.globalAlpha = 0.55;
    brush.stroke();
    brush.globalAlpha = 1;
    brush.beginPath();
    brush.arc(places[0].x, places[0].y, layout.side * 0.11, 0, 2 * Math.PI);
    brush.fillStyle = colors.surface;
    brush.fill();
    brush.lineWidth = layout.side * 0.05;
    brush.stroke();
    brush.beginPath();
    brush.arc(end.x, end.y, layout.side * 0.21, 0, 2 * Math.PI);
    brush.fillStyle = colors.accent;
    brush.fill();
    brush.strokeStyle = colors.surface;
    brush.stroke();
  }

  #paintGround(layout) {
    const ground = new OffscreenCanvas(this.#canvas.width, this.#canvas.height);
    const brush = ground.getContext("2d");
    for (let cell = 0; cell < this.#grid.size ** 2; cell++) {
      layout.outline(brush, cell, 0.025);
      brush.fillStyle = this.#colors.surface;
      brush.fill();
      brush.strokeStyle = this.#colors.border;
      brush.lineWidth = Math.max(1, layout.side * 0.02);
      brush.stroke();
    }
    drawGoal(brush, layout.middle(this.#grid.goal), layout.side * 0.3, this.#colors.good, this.#colors.surface);
    return ground;
  }

  /** Middles of the cells up to `frame`, each a little aside when it comes again, so that steps back are seen. */
  #places(layout, frame) {
    const whole = Math.floor(frame);
    const aside = (index) => (index - (this.#cells.length - 1) / 2) * layout.side * 0.035;
    const place = (index) => {
      const { x, y } = layout.middle(this.#cells[index]);
      return { x: x + aside(index), y: y + aside(index) };
    };
    const places = Array.from({ length: whole + 1 }, (_, index) => place(index));
    if (frame > whole && whole + 1 < this.#cells.length) {
      const [from, to, part] = [place(whole), place(whole + 1), frame - whole];
      places.push({ x: from.x + (to.x - from.x) * part, y: from.y + (to.y - from.y) * part });
    }
    return places;
  }
}
