/** What the page says and how: the words for sides and answers, keys, times and figures. Keeps nothing. */
import { keyName } from "./keys.js";
import { describe } from "./progress.js";

export const byId = (id) => document.getElementById(id);

/** The labeling page has one clip above the other, as on a phone held upright. */
export const stacked = matchMedia("(orientation: portrait) and (max-width: 760px)");

const LEGEND = [
  [["undo"], "undo"], [["pause"], "pause"], [["replay"], "replay"], [["stepBack", "stepForward"], "frame"],
  [["slower", "faster"], "speed"], [["help"], "help and keys"],
];

/** A button that nothing would come of says so, and keeps the focus: `disabled` would drop it. Its action is guarded. */
export function allow(button, isAllowed) {
  if (isAllowed) button.removeAttribute("aria-disabled");
  else button.setAttribute("aria-disabled", "true");
}

export function allowAnswers(areAllowed) {
  for (const button of document.querySelectorAll("#answers button")) allow(button, areAllowed);
}

export function say(text) {
  byId("notice").textContent = text;
}

export function cover(title, text) {
  byId("cover-title").textContent = title;
  byId("cover-text").textContent = text;
  byId("cover").hidden = false;
}

function place(side, isStacked) {
  if (isStacked) return side === "left" ? "Upper" : "Lower";
  return side === "left" ? "Left" : "Right";
}

/** isStacked: one clip is above the other on this page. */
export function spoken(answer, isStacked) {
  if (answer === "tie") return "Tie";
  return answer === "incomparable" ? "Cannot tell" : `${place(answer, isStacked)} is better`;
}

export function floorColors() {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(`--floor-${name}`).trim();
  return { dark: color("dark"), bright: color("bright"), line: color("line") };
}

/** Below each frame of the film strip, when it is; null: there is no strip. */
export function writeTimes(strip, stepS) {
  for (const times of document.querySelectorAll(".times")) {
    if (!strip && !times.firstChild) continue;
    times.replaceChildren(...(strip ?? []).map((frame) => {
      const label = document.createElement("span");
      label.textContent = `${(frame * stepS).toFixed(1)} s`;
      return label;
    }));
  }
}

export function writeProgress(latest) {
  const said = describe(latest);
  const texts = {
    labels: said.labels, due: said.due, phase: said.phase, steps: said.steps, "true-return": said.trueReturn,
    "predicted-return": said.predictedReturn, accuracy: said.accuracy,
  };
  for (const [id, text] of Object.entries(texts)) {
    if (byId(id).textContent !== text) byId(id).textContent = text;
  }
  const meter = byId("meter");
  meter.setAttribute("aria-valuenow", String(Math.round(said.share * 100)));
  meter.setAttribute("aria-valuetext", said.labels);
  byId("meter-share").style.transform = `scaleX(${said.share})`;
  byId("meter-due").style.left = `${said.dueShare * 100}%`;
  byId("meter-due").hidden = said.dueShare === 0;
}

/** The present keys, on buttons and in the legend. */
export function writeKeys(keys) {
  for (const button of document.querySelectorAll("button[data-action]")) {
    const name = keyName(keys.keyOf(button.dataset.action));
    const kbd = button.querySelector("kbd");
    if (kbd) kbd.textContent = name;
    else button.title = `${button.getAttribute("aria-label") ?? button.textContent.trim()} (${name})`;
  }
  const items = LEGEND.map(([actions, text]) => {
    const item = document.createElement("span");
    for (const action of actions) {
      const kbd = document.createElement("kbd");
      kbd.textContent = keyName(keys.keyOf(action));
      item.append(kbd, " ");
    }
    item.append(text);
    return item;
  });
  byId("legend").replaceChildren(...items);
}

/** Left and right, or upper and lower where one clip is above the other. */
export function writeSides() {
  for (const side of ["left", "right"]) {
    const where = place(side, stacked.matches);
    byId(side).querySelector("canvas").setAttribute("aria-label", `${where} clip`);
    document.querySelector(`figcaption[data-side=${side}]`).textContent = where;
    document.querySelector(`[data-say=${side}]`).textContent = spoken(side, stacked.matches);
  }
}

/** Where in the clips the stage is, and how fast they go. */
export function writeClock(stage, keys) {
  const { clock } = stage;
  const scrub = byId("scrub");
  scrub.max = String(clock.steps - 1);
  scrub.value = String(Math.round(clock.frame));
  const seconds = `${(clock.frame * clock.stepS).toFixed(1)} s`;
  scrub.setAttribute("aria-valuetext", seconds);
  byId("time").textContent = seconds;
  byId("speed").textContent = `${clock.speed}×`;
  const verb = clock.isPlaying ? "Pause" : "Play";
  byId("pause").dataset.playing = String(clock.isPlaying);
  if (byId("pause").getAttribute("aria-label") !== verb) {
    byId("pause").setAttribute("aria-label", verb);
    byId("pause").title = `${verb} (${keyName(keys.keyOf("pause"))})`;
  }
  if (!stage.strip) writeTimes(null);
}
