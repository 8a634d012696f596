/** The way in: an invite stands behind the # of the link, where no server logs it; it is used once. */
import { post } from "./api.js";

const FINAL = new Set([400, 401]);

/** Uses the invite up, if the address has one. What is wrong with it in one sentence, or "". */
export async function useInvite() {
  const invite = new URLSearchParams(location.hash.slice(1)).get("invite");
  if (!invite) return "";
  let trouble = "";
  try {
    await post("/api/sessions", { invite });
  } catch (error) {
    if (!FINAL.has(error.status)) throw error;
    trouble = error.message; // whoever has a session already does not need it
  }
  history.replaceState(null, "", location.pathname);
  return trouble;
}
