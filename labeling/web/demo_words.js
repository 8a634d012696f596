/** What the demo's page says: figures, the grid in words for who cannot see it, the log. */
import { write, writeFigure } from "./board.js";
import { scaled } from "./demo_map.js";
import { byId } from "./face.js";
import { percent, whole } from "./figures.js";

const ACTIONS = ["up", "right", "down", "left", "stay"];
const MOST_LINES = 40;

/** The figures of the world, or of both where there are two. */
export function writeFigures(worlds) {
  const [world, other] = worlds;
  const also = (text) => (other ? `random ${text(other)}` : "");
  writeFigure("match", percent(world.match), also((one) => percent(one.match)));
  writeFigure("optimal", percent(world.optimal), also((one) => percent(one.optimal)));
  writeFigure("loss", world.loss.toFixed(2), also((one) => one.loss.toFixed(2)));
  const labels = `${whole.format(world.labels)} ${world.labels === 1 ? "label" : "labels"}`;
  writeFigure("step", whole.format(world.step), labels);
}

/** One line below a map. */
export function brief(world) {
  return `Reward match ${percent(world.match)}, optimal policy ${percent(world.optimal)}`;
}

/** The grid as a table, for screen readers: number, arrow, what is wrong or unknown, in every cell. */
export function writeGridTable(table, world, grid) {
  const heat = scaled(world.rewards);
  while (table.tBodies[0].rows.length < grid.size) {
    const row = table.tBodies[0].insertRow();
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = `Row ${table.tBodies[0].rows.length}`;
    row.append(head);
    for (let column = 0; column < grid.size; column++) row.insertCell();
  }
  heat.forEach((value, cell) => {
    const parts = [String(Math.round(value * 100)), ACTIONS[world.arrows[cell]]];
    if (!world.right[cell]) parts.push("not the best way");
    if (!world.judged[cell]) parts.push("never asked about");
    if (cell === grid.goal) parts.push("goal");
    if (cell === world.cell) parts.push("agent");
    write(table.tBodies[0].rows[Math.floor(cell / grid.size)].cells[1 + (cell % grid.size)], parts.join(", "));
  });
}

/** The newest lines of the log first. */
export function writeLog(logs) {
  const lines = logs.flatMap(({ events }, index) => events.map((event) => ({ ...event, index })));
  lines.sort((a, b) => b.step - a.step || b.number - a.number);
  const key = lines.length ? `${lines[0].step} ${lines[0].number} ${lines.length}` : "";
  const list = byId("log");
  if (list.dataset.said === key) return;
  list.dataset.said = key;
  list.replaceChildren(...lines.slice(0, MOST_LINES).map(({ step, text, index }) => {
    const line = document.createElement("li");
    const [what, when] = [document.createElement("b"), document.createElement("span")];
    what.textContent = logs.length > 1 ? `${index ? "Random" : "Disagreement"}: ${text}` : text;
    when.textContent = `step ${whole.format(step)}`;
    line.append(what, when);
    return line;
  }));
}
