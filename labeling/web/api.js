/** The HTTP contract: one function for each route, errors as ApiError. */

const TIMEOUT_MS = 15_000;

/** status is that of HTTP, or 0 where no reply came. retryAfterS is what the server asked for, or null. */
export class ApiError extends Error {
  constructor(status, message, retryAfterS = null) {
    super(message);
    this.status = status;
    this.retryAfterS = retryAfterS;
  }
}

/** For whom a page was loaded, as the server is told: it may have become another run's, or another labeler's. */
export const scopeOf = ({ run, labeler }) => `${run} ${labeler}`;

/** 16 random bytes in hex: tokens of claims, ids of labels and of retractions. */
export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function request(path, options = {}, read = (response) => response.json()) {
  let response;
  try {
    response = await fetch(path, { signal: AbortSignal.timeout(TIMEOUT_MS), cache: "no-store", ...options });
  } catch {
    throw new ApiError(0, "The server cannot be reached.");
  }
  const body = await (response.ok ? read(response) : response.json()).catch(() => null);
  if (response.ok && body !== null) return body;
  const retryAfterS = Number.parseFloat(response.headers.get("Retry-After") ?? "");
  const sentence = typeof body?.error === "string" ? body.error : `The server replied ${response.status}.`;
  // A success whose body was cut off counts as no reply: what was asked is sent again, under the same id.
  throw new ApiError(response.ok ? 0 : response.status, sentence, Number.isFinite(retryAfterS) ? retryAfterS : null);
}

const scoped = (scope) => (scope ? { "X-Twoclips-Scope": scope } : {});

/** scope: see `scopeOf`. A page that is out of date by then is told so with a 421. */
export const get = (path, scope = "") => request(path, { headers: scoped(scope) });
export const getBlob = (path) => request(path, {}, (response) => response.blob());

/** keepalive: a request on its way survives the page. */
export function post(path, body, scope = "") {
  const headers = { "Content-Type": "application/json", "X-Twoclips": "1", ...scoped(scope) };
  return request(path, { method: "POST", headers, body: JSON.stringify(body), keepalive: true });
}
