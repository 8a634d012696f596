/** The way in: an invite stands behind the # of the link, where no server logs it; it is used once. */
import { get, newId, post } from "./api.js";

const FINAL = new Set([400, 401]);
const JOINING = "twoclips.joining";
const ASK_AGAIN_MS = 3_000;

const inviteHere = () => new URLSearchParams(location.hash.slice(1)).get("invite");

/** Uses the invite up, if the address has one. What is wrong with it in one sentence, or "". */
export async function useInvite() {
  const invite = inviteHere();
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

/** Calls `reload` when an invite's link is opened in this tab: only the fragment changes, and the page would stay. */
export function heedInvites(reload) {
  addEventListener("hashchange", () => inviteHere() && reload());
}

/** Returns once somebody is signed in, in this tab or another; asks every few seconds. */
export async function somebodySignedIn() {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
    if (await get("/api/session").catch(() => null)) return;
  }
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
