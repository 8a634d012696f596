/** Clips as they come from the server: decoded once, refused when they do not fit the scene. */
import { getBlob } from "./api.js";
import { loadStrip } from "./pictures.js";

/**
 * A clip: steps, stepS; and positions [steps, G, 3], rotations [steps, G, 4] as w x y z, focus [steps, 3]; or cells
 * [steps], where it is a path on a grid; or, where the pair has a strip, what loadStrip gives and firstFrame, the clip's
 * first in it.
 */
function decodeClip(packed, numGeoms, strip) {
  const { steps, step_s: stepS, first_frame: firstFrame, cells } = packed;
  if (!Number.isInteger(steps) || steps < 1 || !(stepS > 0)) throw new Error("a clip without steps");
  if (cells) {
    const areCells = cells.length === steps && cells.every((cell) => Number.isInteger(cell) && cell >= 0);
    if (!areCells) throw new Error("a path that is not of cells");
    return { steps, stepS, cells };
  }
  if (strip) {
    const rows = strip.image.height / strip.height;
    const isWithin = Number.isInteger(firstFrame) && firstFrame >= 0 && firstFrame + steps <= strip.columns * rows;
    if (!isWithin) throw new Error("a clip outside its strip");
    return { steps, stepS, firstFrame, ...strip };
  }
  return {
    steps,
    stepS,
    positions: decodeFloats(packed.positions, steps * numGeoms * 3),
    rotations: decodeFloats(packed.rotations, steps * numGeoms * 4),
    focus: decodeFloats(packed.focus, steps * 3),
  };
}

/** The two clips of a pair; they have the same length. An ApiError where their strip did not come. */
export async function decodePair(pair, numGeoms) {
  const strip = pair.strip ? await loadStrip(pair.strip, getBlob) : null;
  const left = decodeClip(pair.left, numGeoms, strip);
  const right = decodeClip(pair.right, numGeoms, strip);
  if (left.steps !== right.steps || left.stepS !== right.stepS) throw new Error("clips of unequal length");
  return { left, right };
}

/** A clip alone, as `/api/clips` tells it. */
export async function decodeAlone(shown, numGeoms) {
  return decodeClip(shown.clip, numGeoms, shown.strip ? await loadStrip(shown.strip, getBlob) : null);
}

/** Lets the memory of a pair's pictures go at once; it can be shown no more. */
export function closePair({ left, right }) {
  for (const clip of [left, right]) clip.image?.close();
}

function decodeFloats(text, count) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  if (bytes.length !== count * 4) throw new Error(`${bytes.length} bytes of poses where ${count * 4} belong`);
  const view = new DataView(bytes.buffer);
  const floats = Float32Array.from({ length: count }, (_, index) => view.getFloat32(index * 4, true));
  if (!floats.every(Number.isFinite)) throw new Error("poses that are not finite");
  return floats;
}
