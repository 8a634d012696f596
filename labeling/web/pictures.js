/** One clip of a task that draws itself: frames of the pair's picture strip on a canvas. Stands where a World does. */

import { ApiError } from "./api.js";

const OPEN_WITHIN_MS = 5_000;
const PIXELATED_FROM = 3; // a frame that is enlarged more than this is a picture of few pixels: they keep their edges

export class Pictures {
  #canvas;
  #brush;
  #cell = document.createElement("canvas"); // one frame by itself: enlarged out of the sheet it would show its neighbours
  #clip = null;

  constructor(canvas) {
    this.#canvas = canvas;
    this.#brush = canvas.getContext("2d");
  }

  recolor() {}

  load(clip) {
    this.#clip = clip;
    Object.assign(this.#cell, { width: clip.width, height: clip.height });
  }

  resize(pixelRatio) {
    const { clientWidth, clientHeight } = this.#canvas;
    if (!clientWidth || !clientHeight) return;
    this.#canvas.width = Math.round(clientWidth * pixelRatio);
    this.#canvas.height = Math.round(clientHeight * pixelRatio);
  }

  /** The whole frame at or before `frame`: there is nothing between two pictures. */
  draw(frame) {
    this.#clear();
    this.#paint(Math.floor(frame), 0, 0, this.#canvas.width, this.#canvas.height);
  }

  /** Several frames side by side, in reading order, `columns` in a row. */
  drawStrip(frames, columns) {
    const width = this.#canvas.width / columns;
    const height = this.#canvas.height / Math.ceil(frames.length / columns);
    this.#clear();
    frames.forEach((frame, index) => {
      this.#paint(frame, (index % columns) * width, Math.floor(index / columns) * height, width, height);
    });
  }

  #clear() {
    this.#brush.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
  }

  #paint(frame, left, top, roomWidth, roomHeight) {
    const { image, columns, width, height, firstFrame, steps } = this.#clip;
    const index = firstFrame + Math.min(steps - 1, frame);
    const cell = this.#cell.getContext("2d");
    cell.globalCompositeOperation = "copy";
    cell.drawImage(
      image, (index % columns) * width, Math.floor(index / columns) * height, width, height, 0, 0, width, height,
    );
    const scale = Math.min(roomWidth / width, roomHeight / height);
    this.#brush.imageSmoothingEnabled = scale < PIXELATED_FROM;
    this.#brush.imageSmoothingQuality = "high";
    this.#brush.drawImage(
      this.#cell,
      left + (roomWidth - width * scale) / 2, top + (roomHeight - height * scale) / 2, width * scale, height * scale,
    );
  }
}

/** The image of a strip, decoded. `fetchBlob` brings what is not in the address itself. */
export async function loadStrip({ url, columns, width, height }, fetchBlob) {
  if (![columns, width, height].every((number) => Number.isInteger(number) && number > 0)) {
    throw new Error("a strip without frames");
  }
  const blob = url.startsWith("data:") ? blobOf(url) : await fetchBlob(url);
  // Not an <img> and its decode(): that may be refused while the browser is busy, and the pair would be withdrawn.
  return { image: await Promise.race([createImageBitmap(blob), late()]), columns, width, height };
}

/** A picture that does not open in time counts as no reply: the pair is asked for again, under the same token. */
function late() {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new ApiError(0, "The pictures do not open.")), OPEN_WITHIN_MS);
  });
}

function blobOf(dataUrl) {
  const [head, data] = dataUrl.split(",", 2);
  const type = head.slice("data:".length).split(";")[0];
  return new Blob([Uint8Array.from(atob(data), (character) => character.charCodeAt(0))], { type });
}
