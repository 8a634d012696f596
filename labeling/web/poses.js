/** Clips as they come from the server: decoded once, refused when they do not fit the scene. */

/** A clip: steps, stepS, positions [steps, G, 3], rotations [steps, G, 4] as w x y z, focus [steps, 3]. */
export function decodeClip(packed, numGeoms) {
  const { steps, step_s: stepS } = packed;
  if (!Number.isInteger(steps) || steps < 1 || !(stepS > 0)) throw new Error("a clip without steps");
  return {
    steps,
    stepS,
    positions: decodeFloats(packed.positions, steps * numGeoms * 3),
    rotations: decodeFloats(packed.rotations, steps * numGeoms * 4),
    focus: decodeFloats(packed.focus, steps * 3),
  };
}

/** The two clips of a pair; they have the same length. */
export function decodePair(pair, numGeoms) {
  const left = decodeClip(pair.left, numGeoms);
  const right = decodeClip(pair.right, numGeoms);
  if (left.steps !== right.steps || left.stepS !== right.stepS) throw new Error("clips of unequal length");
  return { left, right };
}

function decodeFloats(text, count) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  if (bytes.length !== count * 4) throw new Error(`${bytes.length} bytes of poses where ${count * 4} belong`);
  const view = new DataView(bytes.buffer);
  const floats = Float32Array.from({ length: count }, (_, index) => view.getFloat32(index * 4, true));
  if (!floats.every(Number.isFinite)) throw new Error("poses that are not finite");
  return floats;
}
