/** Where the reward model has been asked, on a plane, and what it would pay there: full discs for more, rings for less. */
import { get } from "./api.js";
import { write } from "./board.js";
import { byId } from "./face.js";
import { pay, percent, whole } from "./figures.js";
import { fit, themeColors } from "./grid.js";

const LEAST = 0.12; // of half a bin: what is paid as an average step is still seen
const dark = matchMedia("(prefers-color-scheme: dark)");

export class Belief {
  #canvas = byId("belief").querySelector("canvas");
  #plane = null;
  /** False once the server has said that this task has no plane. */
  mayBeDrawn = true;

  constructor() {
    new ResizeObserver(() => this.#fit() && this.#draw()).observe(this.#canvas);
    dark.addEventListener("change", () => this.#draw());
  }

  async refresh() {
    const { has_plane: hasPlane, plane } = await get("/api/belief");
    this.mayBeDrawn = hasPlane;
    this.#plane = plane;
    byId("belief").hidden = !plane;
    if (!plane) return;
    this.#fit();
    write("belief-note", `${whole.format(plane.clips)} clips, reward model ${whole.format(plane.reward_version)}`);
    const [across, up] = plane.axes;
    const kept = plane.kept < 1 ? ` Together they hold ${percent(plane.kept)} of how clips differ.` : "";
    write("belief-axes", `Across: ${across}. ${plane.is_grid ? "Down" : "Up"}: ${up}.${kept}`);
    this.#canvas.setAttribute("aria-label", spoken(plane));
    this.#draw();
    byId("belief").dataset.drawn = "true";
  }

  #fit() {
    return fit(this.#canvas, Math.min(2, devicePixelRatio || 1));
  }

  #draw() {
    if (!this.#plane || !this.#canvas.width) return;
    const { bins, is_grid: isGrid, x, y, paid } = this.#plane;
    const brush = this.#canvas.getContext("2d");
    const colors = themeColors();
    const side = Math.min(this.#canvas.width, this.#canvas.height) / bins;
    const most = Math.max(...paid.map(Math.abs), 1e-6);
    brush.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    brush.strokeStyle = colors.border;
    brush.lineWidth = Math.max(1, side * 0.02);
    brush.strokeRect(1, 1, side * bins - 2, side * bins - 2);
    paid.forEach((value, index) => {
      const row = isGrid ? y[index] : bins - 1 - y[index];
      const radius = side * 0.46 * (LEAST + (1 - LEAST) * Math.sqrt(Math.abs(value) / most));
      brush.beginPath();
      brush.arc((x[index] + 0.5) * side, (row + 0.5) * side, radius, 0, 2 * Math.PI);
      brush.fillStyle = colors.accent;
      brush.strokeStyle = colors.agent;
      brush.lineWidth = Math.max(1.5, side * 0.05);
      if (value >= 0) brush.fill();
      else brush.stroke();
    });
  }
}

function spoken({ x, y, paid, bins }) {
  const best = paid.indexOf(Math.max(...paid));
  const worst = paid.indexOf(Math.min(...paid));
  const place = (index) => `${pay.format(paid[index])} at ${x[index] + 1} across, ${y[index] + 1} of ${bins}`;
  return `${paid.length} places were asked about. Paid most: ${place(best)}. Paid least: ${place(worst)}.`;
}
