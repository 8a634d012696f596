/** As whom this browser is signed in, and the way out again. */
import { post } from "./api.js";
import { byId, say } from "./face.js";

export const LOCAL = "local"; // who comes without an invite has no session that could end

/** outbox: what waits in it could be sent under no other name. */
export function writeSignedIn({ labeler }, outbox) {
  byId("signed-in").hidden = labeler === LOCAL;
  byId("labeler").textContent = labeler;
  byId("sign-out").addEventListener("click", () => signOut(outbox));
}

async function signOut(outbox) {
  if (outbox.waiting) {
    say("Your answers are still on their way: sign out when they are saved.");
    return;
  }
  try {
    await post("/api/sessions/end", {}, outbox.scope);
  } catch (error) {
    if (error.status !== 401 && error.status !== 421) {
      say(`Not signed out: ${error.message}`);
      return;
    }
  }
  location.reload();
}
