/** What drawings of the small world share: where its cells are on a canvas, and the marks for goal, start and agent. */

/** CSS colours of the page's theme, as they are now. */
export function themeColors() {
  const style = getComputedStyle(document.documentElement);
  const names = ["surface", "border", "edge", "ink", "muted", "accent", "good", "agent"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

/** A square of size x size cells in the middle of a canvas, in its pixels. */
export class Layout {
  constructor(canvas, size) {
    this.size = size;
    this.side = Math.min(canvas.width, canvas.height) / (size + 0.12);
    this.left = (canvas.width - this.side * size) / 2;
    this.top = (canvas.height - this.side * size) / 2;
  }

  /** The middle of a cell, or of a place between two: {x, y}. */
  middle(cell) {
    const row = Math.floor(cell / this.size);
    return { x: this.left + (cell % this.size + 0.5) * this.side, y: this.top + (row + 0.5) * this.side };
  }

  /** A path around a cell, with round corners and a gap to its neighbours. */
  outline(brush, cell, gap = 0.03) {
    const { x, y } = this.middle(cell);
    const half = this.side * (0.5 - gap);
    brush.beginPath();
    brush.roundRect(x - half, y - half, 2 * half, 2 * half, this.side * 0.12);
  }
}

/** Gives a canvas the pixels of its place on the page; whether it had others before. */
export function fit(canvas, pixelRatio) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((length) => Math.round(length * pixelRatio));
  if (!width || !height || (canvas.width === width && canvas.height === height)) return false;
  Object.assign(canvas, { width, height });
  return true;
}

/** A star: the goal, by its shape as well as by its colour. */
export function drawGoal(brush, { x, y }, radius, color, rim) {
  brush.beginPath();
  for (let point = 0; point < 10; point++) {
    const reach = point % 2 ? radius * 0.45 : radius;
    const angle = (point * Math.PI) / 5 - Math.PI / 2;
    brush.lineTo(x + reach * Math.cos(angle), y + reach * Math.sin(angle));
  }
  brush.closePath();
  brush.lineJoin = "round";
  brush.lineWidth = radius * 0.35;
  brush.strokeStyle = rim;
  brush.stroke();
  brush.fillStyle = color;
  brush.fill();
}
