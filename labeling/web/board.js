/** What admin and run page have in common: signing in, asking again and again, saying how that goes. */
import { get } from "./api.js";
import { byId } from "./face.js";
import { heedInvites, somebodySignedIn, useInvite } from "./invite.js";

const TRY_AGAIN_MS = 3_000;
const status = document.documentElement.dataset;

/** Sets an element's text, if it differs: what is the same is not announced anew, nor is a selection lost. */
export function write(id, text) {
  const element = typeof id === "string" ? byId(id) : id;
  if (element.textContent !== text) element.textContent = text;
}

/** Text of a figure: the number large, what belongs to it small. */
export function writeFigure(id, number, rest = "") {
  const element = byId(id);
  if (element.dataset.said === `${number}|${rest}`) return;
  element.dataset.said = `${number}|${rest}`;
  const small = document.createElement("small");
  small.textContent = rest;
  element.replaceChildren(number, ...(rest ? [" ", small] : []));
}

export function svg(name, attributes = {}, children = []) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  element.append(...children);
  return element;
}

/** Nothing else is to be seen than this: who may not come in is told what to do. */
export function shut(title, text) {
  status.state = "shut";
  write("cover-title", title);
  write("cover-text", text);
  byId("cover").hidden = false;
  for (const part of document.querySelectorAll("main, nav")) part.inert = true;
}

function shutOut(reason) {
  shut("You are not signed in", reason);
  somebodySignedIn().then(() => location.reload());
}

/** Asks for the session until there is one. Null where nobody is signed in: then that is on screen. */
export async function signIn() {
  heedInvites(() => location.reload());
  for (;;) {
    try {
      const trouble = await useInvite();
      try {
        const session = await get("/api/session");
        write("task", session.task);
        return session;
      } catch (error) {
        if (error.status !== 401) throw error;
        shutOut(trouble || error.message);
        return null;
      }
    } catch (error) {
      sayLive(false, error.message);
      await new Promise((resolve) => setTimeout(resolve, TRY_AGAIN_MS));
    }
  }
}

/** The reason is a tooltip, and beside it words for those who have no mouse or do not see. */
export function sayLive(isLive, reason = "") {
  byId("live").dataset.tone = isLive ? "good" : "late";
  byId("live").title = reason;
  write("live-why", reason);
  write("live-text", isLive ? "live" : "no connection");
  if (status.state !== "shut") status.state = isLive ? "live" : "lost";
}

/**
 * Calls `ask` at once and then every so often, not while the page is hidden, and never twice at a time. What fails is
 * said and tried again; a page that has become another run's is loaded anew. Returns a function that asks now.
 */
export function keepAsking(everyMs, ask) {
  let timer = 0;
  let isAsking = false;
  const now = async () => {
    if (isAsking || status.state === "shut") return;
    clearTimeout(timer);
    isAsking = true;
    try {
      await ask();
      sayLive(true);
    } catch (error) {
      if (error.status === 421) location.reload();
      else if (error.status === 401) shutOut(error.message);
      else if (error.status === 403) shut("This page is for admins", error.message);
      else if (error.status === undefined) throw error;
      else sayLive(false, error.message);
    } finally {
      isAsking = false;
      if (!document.hidden) timer = setTimeout(now, everyMs);
    }
  };
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden) now();
  });
  now();
  return now;
}
