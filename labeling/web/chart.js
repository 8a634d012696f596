/** A line chart: one panel, one or two series against agent steps. Drawn anew when figures or width change. */
import { svg, write } from "./board.js";
import { percent, short, signed, whole } from "./figures.js";

const HEIGHT = 190;
const MARGIN = { top: 10, right: 12, bottom: 26, left: 52 };
const TABLE_ROWS = 12;

/** Round numbers from `low` to `high`, about `count` of them. */
function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * size).find((candidate) => candidate >= rough);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first) + 1 }, (_, index) => (first + index) * step);
}

export class Chart {
  #figure;
  #title;
  #series;
  #format;
  #range;
  #columns = { agent_steps: [] };
  #pointed = null; // index of the point that is looked at

  /** series: [{name, label}], names as in the history. range: [low, high] that is always shown. isShare: in percent. */
  constructor(figure, series, { range = null, isShare = false, isWhole = false } = {}) {
    this.#figure = figure;
    this.#title = figure.querySelector("h2").textContent;
    this.#series = series;
    this.#range = range;
    this.#format = isShare ? percent : (value) => (isWhole ? whole : signed).format(value);
    const plot = figure.querySelector(".plot");
    new ResizeObserver(() => this.#draw()).observe(plot);
    plot.addEventListener("pointermove", (event) => this.#point(event));
    plot.addEventListener("pointerleave", () => {
      this.#pointed = null;
      this.#draw();
    });
  }

  /** columns: as the history tells them. */
  write(columns) {
    const isSame = columns.agent_steps.length === this.#columns.agent_steps.length
      && columns.agent_steps.at(-1) === this.#columns.agent_steps.at(-1);
    this.#columns = columns;
    if (!isSame) this.#pointed = null;
    this.#draw();
    this.#writeTable();
  }

  #known(name) {
    const at = this.#columns.agent_steps;
    return (this.#columns[name] ?? []).flatMap((y, index) => (y === null ? [] : [{ x: at[index], y, index }]));
  }

  #scales(width, lines) {
    const ys = lines.flatMap((line) => line.points.map((point) => point.y));
    let [low, high] = [Math.min(...ys, ...(this.#range ?? [])), Math.max(...ys, ...(this.#range ?? []))];
    if (!(high > low)) [low, high] = [low - 0.5, high + 0.5];
    const pad = this.#range ? 0 : (high - low) * 0.06;
    const right = Math.max(this.#columns.agent_steps.at(-1) ?? 1, 1);
    const inner = { width: width - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - MARGIN.bottom };
    return {
      low: low - pad,
      high: high + pad,
      right,
      x: (steps) => MARGIN.left + (steps / right) * inner.width,
      y: (value) => MARGIN.top + (1 - (value - low + pad) / (high - low + 2 * pad)) * inner.height,
    };
  }

  #draw() {
    const plot = this.#figure.querySelector(".plot");
    const width = plot.clientWidth;
    if (!width) return;
    const lines = this.#series.map((one) => ({ ...one, points: this.#known(one.name) }));
    this.#writeReadout(lines);
    if (!lines.some((line) => line.points.length)) {
      plot.replaceChildren(Object.assign(document.createElement("p"), { textContent: "Nothing to draw yet." }));
      return;
    }
    const scales = this.#scales(width, lines);
    const parts = [...this.#grid(scales, width)];
    lines.forEach((line, index) => parts.push(...this.#line(line, index, scales)));
    if (this.#pointed !== null) {
      const x = scales.x(this.#columns.agent_steps[this.#pointed]);
      parts.push(svg("line", { class: "pointer", x1: x, x2: x, y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }));
    }
    const box = { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": this.#spoken(lines) };
    plot.replaceChildren(svg("svg", box, parts));
  }

  *#grid({ low, high, right, x, y }, width) {
    for (const value of ticks(low, high, 4)) {
      yield svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value) });
      const label = this.#format(value);
      yield svg("text", { class: "tick", x: MARGIN.left - 8, y: y(value) + 4, "text-anchor": "end" }, [label]);
    }
    for (const value of ticks(0, right, width < 420 ? 3 : 5)) {
      const anchor = value === 0 ? "start" : x(value) > width - 30 ? "end" : "middle";
      yield svg("text", { class: "tick", x: x(value), y: HEIGHT - 8, "text-anchor": anchor }, [short.format(value)]);
    }
  }

  *#line({ points }, index, { x, y }) {
    if (!points.length) return;
    const path = points.map((point, at) => `${at ? "L" : "M"}${x(point.x).toFixed(1)} ${y(point.y).toFixed(1)}`);
    yield svg("path", { class: `series series-${index + 1}`, d: path.join("") });
    const shown = points.find((point) => point.index === this.#pointed) ?? points.at(-1);
    yield svg("circle", { class: `end-mark series-${index + 1}`, cx: x(shown.x), cy: y(shown.y), r: 4 });
  }

  /** The latest figures, or those of the point that is looked at. */
  #writeReadout(lines) {
    const readout = this.#figure.querySelector(".readout");
    const parts = lines.flatMap((line, index) => {
      const shown = line.points.find((point) => point.index === this.#pointed) ?? line.points.at(-1);
      if (!shown) return [];
      const key = svg("svg", { viewBox: "0 0 22 10", "aria-hidden": "true" }, [
        svg("line", { class: `series series-${index + 1}`, x1: 1, x2: 21, y1: 5, y2: 5 }),
      ]);
      const text = `${line.label ? `${line.label} ` : ""}${this.#format(shown.y)}`;
      const item = document.createElement("span");
      item.append(...(lines.length > 1 ? [key] : []), text);
      return [item];
    });
    if (this.#pointed !== null) parts.push(`at ${short.format(this.#columns.agent_steps[this.#pointed])}`);
    readout.replaceChildren(...parts);
  }

  #spoken(lines) {
    const sentences = lines.filter((line) => line.points.length).map(({ label, points }) => {
      const [first, last] = [points[0], points.at(-1)];
      const most = points.reduce((best, point) => (point.y > best.y ? point : best));
      const at = (point) => `${this.#format(point.y)} at ${whole.format(point.x)} agent steps`;
      return `${label || this.#title}: from ${at(first)} to ${at(last)}; the highest is ${at(most)}.`;
    });
    return `${this.#title} against agent steps. ${sentences.join(" ")}`;
  }

  #point(event) {
    const plot = this.#figure.querySelector(".plot");
    const at = this.#columns.agent_steps;
    if (at.length < 2) return;
    const box = plot.getBoundingClientRect();
    const share = (event.clientX - box.left - MARGIN.left) / (box.width - MARGIN.left - MARGIN.right);
    const steps = share * at.at(-1);
    const nearest = at.reduce((best, x, index) => (Math.abs(x - steps) < Math.abs(at[best] - steps) ? index : best), 0);
    if (nearest === this.#pointed) return;
    this.#pointed = nearest;
    this.#draw();
  }

  #writeTable() {
    const table = this.#figure.querySelector("table");
    const at = this.#columns.agent_steps;
    const rows = Math.min(TABLE_ROWS, at.length);
    const indices = Array.from({ length: rows }, (_, row) => Math.round((row * (at.length - 1)) / Math.max(1, rows - 1)));
    const key = indices.map((index) => at[index]).join(" ");
    if (table.dataset.said === key) return;
    table.dataset.said = key;
    const row = (tag, texts) => {
      const element = document.createElement("tr");
      element.append(...texts.map((text) => {
        const cell = document.createElement(tag);
        if (tag === "th") cell.scope = "col";
        write(cell, text);
        return cell;
      }));
      return element;
    };
    const names = this.#series.map((one) => one.label || this.#title);
    table.tHead.replaceChildren(row("th", ["Agent steps", ...names]));
    table.tBodies[0].replaceChildren(...indices.map((index) => {
      const figures = this.#series.map(({ name }) => this.#columns[name]?.[index] ?? null);
      return row("td", [whole.format(at[index]), ...figures.map((y) => (y === null ? "–" : this.#format(y)))]);
    }));
  }
}
