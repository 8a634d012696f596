/**
 * The admin page: how the pool of labelers is doing, asked for every two seconds, and what steers it.
 * `document.documentElement.dataset.state` is loading, live, lost or shut.
 */
import { get, post, scopeOf } from "./api.js";
import { keepAsking, shut, signIn, write, writeFigure } from "./board.js";
import { confirmed } from "./confirm.js";
import { byId } from "./face.js";
import { duration, or, percent, whole } from "./figures.js";
import { LabelerTable } from "./labeler_table.js";

const EVERY_MS = 2_000;
const EVERYBODY = "*";
const pace = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

class Admin {
  #table = new LabelerTable(byId("labelers").tBodies[0], {
    pause: (labeler, isPaused) => this.#pause(labeler, isPaused),
    revoke: (row) => this.#revoke(row),
  });
  #askNow = () => {};
  #isPaused = false;
  #scope = "";

  async start() {
    const session = await signIn();
    if (!session) return;
    this.#scope = scopeOf(session);
    if (session.role !== "admin") {
      shut("This page is for admins", "Ask whoever runs this for an admin’s invite.");
      return;
    }
    this.#askNow = keepAsking(EVERY_MS, async () => {
      this.#write(await get("/api/admin/overview", this.#scope));
    });
    byId("pause-all").addEventListener("click", () => this.#pause(EVERYBODY, !this.#isPaused));
    byId("invite").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#invite();
    });
    byId("copy").addEventListener("click", () => this.#copy());
  }

  #write(told) {
    const { queue, excluded } = told;
    this.#isPaused = told.is_paused;
    writeFigure("labels", whole.format(queue.labels));
    write("labels-more", `${whole.format(queue.surplus)} surplus, ${whole.format(queue.retractions)} taken back`);
    writeFigure("queries", whole.format(queue.waiting), "waiting");
    write("queries-more", `${whole.format(queue.leased)} in hands, ${whole.format(queue.leases_expired)} ran out, `
      + `${whole.format(told.gold_marked)} marked gold`);
    writeFigure("pace", whole.format(told.per_minute.last_1), "this minute");
    write("pace-more", `${pace.format(told.per_minute.last_10)} a minute in the last ten`);
    const delay = told.use_delay;
    writeFigure("delay", or(delay.p50_s, duration), delay.p50_s === null ? "" : "median");
    const waits = `${whole.format(delay.waiting)} not used yet`;
    write("delay-more", delay.p95_s === null ? waits : `${duration(delay.p95_s)} at p95, ${waits}`);
    this.#writeAlarm(excluded);
    const all = byId("pause-all");
    all.disabled = false;
    write(all, this.#isPaused ? "Let everybody go on" : "Pause everybody");
    this.#table.write(told.labelers);
    byId("nobody").hidden = told.labelers.length > 0;
    this.#writeLeases(told.leases, queue.leased);
  }

  #writeAlarm(excluded) {
    const sentences = [];
    if (excluded.alarm) {
      sentences.push(
        `${percent(excluded.share)} of the answers are left out of training, ${percent(excluded.usual)} a while ago: `
          + "look at whose reliability fell.",
      );
    }
    if (this.#isPaused) sentences.push("Labeling is paused for everybody.");
    byId("alarm").hidden = sentences.length === 0;
    write("alarm", sentences.join(" "));
  }

  #writeLeases(leases, count) {
    write("num-leases", count > leases.length ? `${leases.length} of ${whole.format(count)}` : "");
    const lines = leases.map((lease) => {
      const item = document.createElement("li");
      const holder = document.createElement("b");
      holder.textContent = lease.labeler;
      const times = document.createElement("span");
      const left = lease.left_s > 0 ? `runs out in ${duration(lease.left_s)}` : "ran out";
      times.textContent = `${lease.age_s === null ? "" : `for ${duration(lease.age_s)}, `}${left}`;
      item.append(holder, times);
      return item;
    });
    if (!lines.length) {
      const none = document.createElement("li");
      none.append("No pair is out.");
      lines.push(none);
    }
    byId("leases").replaceChildren(...lines);
  }

  async #do(path, body, said) {
    try {
      const reply = await post(`/api/admin/${path}`, body, this.#scope);
      write("notice", said);
      this.#askNow();
      return reply;
    } catch (error) {
      write("notice", `Not done: ${error.message}`);
      return null;
    }
  }

  #pause(labeler, paused) {
    const who = labeler === EVERYBODY ? "Everybody" : labeler;
    const verb = labeler === EVERYBODY && !paused ? "goes on." : paused ? "is paused." : "goes on.";
    return this.#do("pauses", { labeler, paused }, `${who} ${verb}`);
  }

  async #revoke({ labeler, answers, is_invited: isInvited }) {
    const end = isInvited ? "Their link lets nobody in any more" : "Their session ends at once";
    const text = `${end}, and nobody can come in under this name. `
      + `What they labelled stays: ${whole.format(answers)} ${answers === 1 ? "label" : "labels"}.`;
    if (await confirmed(`Revoke ${labeler}?`, text, `Revoke ${labeler}`)) {
      await this.#do("revocations", { labeler }, `${labeler} is revoked.`);
    }
  }

  async #invite() {
    const body = { role: byId("invite-role").value, labeler: byId("invite-name").value.trim() };
    const made = await this.#do("invites", body, "A link is made.");
    if (!made) return;
    const page = made.role === "admin" ? "admin" : "";
    byId("link-text").value = `${location.origin}/${page}#invite=${made.invite}`;
    write("link-for", `Link for ${made.labeler}, ${made.role}`);
    byId("link").hidden = false;
    byId("invite-name").value = "";
    byId("link-text").select();
  }

  async #copy() {
    const field = byId("link-text");
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
      write("notice", "The link is copied.");
    } catch {
      write("notice", "This browser does not let pages copy: the link is selected, press Ctrl+C.");
    }
  }
}

new Admin().start();
