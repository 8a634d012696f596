/**
 * Pointers on the stage. A mouse or pen that drags turns the view of both clips; a finger that swipes answers, two
 * fingers turn the view; a double click resets it. A swipe says what it will do while it lasts, and going back cancels.
 */

const SWIPE_PX = 64;

/** Side by side a swipe goes towards the better clip; so it does where one clip is above the other. */
const BESIDE = { left: "left", right: "right", up: "tie", down: "incomparable" };
const STACKED = { up: "left", down: "right", left: "tie", right: "incomparable" };

/** on: {turn(degrees, degrees), reset(), hint(answer or null), answer(answer)}; isStacked: () => boolean. */
export function listen(element, isStacked, on) {
  const fingers = new Map();
  let wasTwo = false;

  const answerOf = (finger) => {
    const [x, y] = [finger.x - finger.fromX, finger.y - finger.fromY];
    if (wasTwo || Math.max(Math.abs(x), Math.abs(y)) < SWIPE_PX) return null;
    const direction = Math.abs(x) > Math.abs(y) ? (x < 0 ? "left" : "right") : y < 0 ? "up" : "down";
    return (isStacked() ? STACKED : BESIDE)[direction];
  };

  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.target.closest("button")) return;
    element.setPointerCapture(event.pointerId);
    if (!fingers.size) wasTwo = false;
    const { clientX: x, clientY: y } = event;
    fingers.set(event.pointerId, { x, y, fromX: x, fromY: y });
    if (fingers.size > 1) wasTwo = true;
  });

  element.addEventListener("pointermove", (event) => {
    const finger = fingers.get(event.pointerId);
    if (!finger) return;
    const [byX, byY] = [event.clientX - finger.x, event.clientY - finger.y];
    Object.assign(finger, { x: event.clientX, y: event.clientY });
    if (event.pointerType !== "touch" || wasTwo) on.turn(-byX * 0.35, -byY * 0.25);
    on.hint(event.pointerType === "touch" ? answerOf(finger) : null);
  });

  const lift = (event) => {
    const finger = fingers.get(event.pointerId);
    fingers.delete(event.pointerId);
    on.hint(null);
    if (!finger || event.type === "pointercancel" || event.pointerType !== "touch") return;
    const answer = answerOf(finger);
    if (answer) on.answer(answer);
  };
  element.addEventListener("pointerup", lift);
  element.addEventListener("pointercancel", lift);
  element.addEventListener("dblclick", () => on.reset());
}
