/** Gold pairs: an admin says of a pair that their answer is right; others are asked it too, and are not told. */
import { post } from "./api.js";

/** Marks `last`, {id, query, answer, isGold}, or unmarks it; what to say of it. `state` is its answer's in the outbox. */
export async function toggleGold(last, state, scope) {
  if (!last) return "There is no answer to mark as gold.";
  if (last.answer !== "left" && last.answer !== "right") return "Only a pair with a better side can be gold.";
  if (state !== "saved") return "That answer is not saved yet: press again in a moment.";
  try {
    const told = await post("/api/admin/gold", { query: last.query, marked: !last.isGold }, scope);
    last.isGold = told.marked;
    const pairs = told.num_gold === 1 ? "1 pair is" : `${told.num_gold} pairs are`;
    return told.marked ? `Gold: everybody will be asked that pair. ${pairs} gold.` : `No longer gold. ${pairs} gold.`;
  } catch (error) {
    return `Not marked: ${error.message}`;
  }
}
