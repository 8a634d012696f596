/** The way in: an invite stands behind the # of the link, where no server logs it; it is used once. */
import { newId, post } from "./api.js";

const FINAL = new Set([400, 401]);
const JOINING = "twoclips.joining";

/** Uses the invite up, if the address has one. What is wrong with it in one sentence, or "". */
export async function useInvite() {
  const invite = new URLSearchParams(location.hash.slice(1)).get("invite");
  if (!invite) return "";
  let trouble = "";
  try {
    await post("/api/sessions", { invite, join_id: joinId() });
  } catch (error) {
    if (!FINAL.has(error.status)) throw error;
    trouble = error.message; // whoever has a session already does not need it
  }
  history.replaceState(null, "", location.pathname);
  return trouble;
}

let madeHere = "";

/** The same whenever this tab asks, also after a reload: where the reply was lost the invite has been used up by it. */
function joinId() {
  madeHere ||= newId();
  try {
    madeHere = sessionStorage.getItem(JOINING) ?? madeHere;
    sessionStorage.setItem(JOINING, madeHere);
  } catch {
    // it lasts as long as the page
  }
  return madeHere;
}
