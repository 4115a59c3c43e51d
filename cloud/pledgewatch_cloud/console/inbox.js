// The alerts' inbox: what must be seen, who has taken it on, what was said of it, and what is put aside until when.

import { ask, part, tell, viewer } from "./api.js";
import { el, link, list, table, time, words } from "./draw.js";
import { drawn } from "./pages.js";
import { t } from "./words.js";

const HOURS = [1, 4, 24, 72, 168, 720], HOUR_MS = 3_600_000;
/** What is shown beside what is open. */
const shown = { cleared: false, silenced: false };
/** The alert whose form is open, and what is in it: a page that is drawn again keeps both. */
const form = { id: "", text: "", hours: 24 };

/** @param {string} id of the box @param {"cleared" | "silenced"} what @param {string} word @param {() => void} again */
const box = (id, what, word, again) => {
  const made = /** @type {HTMLInputElement} */ (el("input", { type: "checkbox", id, change: () => { shown[what] = !shown[what]; again(); } }));
  made.checked = shown[what];
  return el("label", {}, made, " ", word);
};

export const alerts = drawn(() => ask("alerts"), (data, _, again) => {
  const silenced = data.filter(( /** @type {any} */ one) => one.silence);
  const rows = data.filter(( /** @type {any} */ one) => (shown.cleared || one.state !== "cleared") && (shown.silenced || !one.silence));
  const asksName = viewer.role === "keeper" && viewer.may_write;
  const name = /** @type {HTMLInputElement} */ (el("input", { id: "by", maxlength: 200, autocomplete: "name", change: () => localStorage.setItem("by", name.value) }));
  name.value = localStorage.getItem("by") ?? (viewer.user || "keeper");
  const said = el("p", { role: "alert" });
  const say = async ( /** @type {string} */ id, /** @type {string} */ what, /** @type {Record<string, any>} */ more = {}) => {
    try {
      await tell(`alerts/${part(id)}/${what}`, { by: name.value || viewer.user || "keeper", ...more });
      form.text = "";
      again();
    } catch (error) { said.textContent = String(/** @type {Error} */ (error).message); }
  };

  /** What is said of an alert, and a form to say more. @param {any} one */
  function notes(one) {
    const text = /** @type {HTMLTextAreaElement} */ (el("textarea", { id: `text-${one.id}`, rows: 2, maxlength: 2_000, input: () => { form.text = text.value; } }));
    const hours = /** @type {HTMLSelectElement} */ (el("select", { id: `hours-${one.id}`, change: () => { form.hours = Number(hours.value); } },
      ...HOURS.map(many => el("option", { value: many }, many < 48 ? `${many} ${t("hours")}` : `${many / 24} ${t("days")}`))));
    if (form.id === one.id) text.value = form.text;
    hours.value = String(form.hours);
    const asked = ( /** @type {() => void} */ then) => () => { if (text.value.trim()) then(); else { said.textContent = t("say_why"); text.focus(); } };
    const button = ( /** @type {string} */ word, /** @type {() => void} */ then) => el("button", { type: "button", id: `${word}-${one.id}`, "aria-label": `${t(word)} ${one.id}`, click: asked(then) }, t(word));
    const until = () => new Date(Date.now() + form.hours * HOUR_MS - 1_000).toISOString().replace("Z", "+00:00");
    const isLive = ["open", "acknowledged", "escalated"].includes(one.state);
    const more = el("details", { toggle: () => { if (more.open) { if (form.id !== one.id) form.text = text.value; form.id = one.id; } else if (form.id === one.id) form.id = ""; } },
      el("summary", { id: `notes-${one.id}` }, `${t("comments")} (${one.comments.length})${one.silence ? ` · ${t("silenced_until")} ${time(one.silence.until_ms)}` : ""}`),
      one.silence && el("p", {}, `${t("silenced_until")} ${time(one.silence.until_ms)}: ${one.silence.why} (${one.silence.by})`),
      el("ul", { class: "grounds" }, ...one.comments.map(( /** @type {any} */ each) => el("li", {}, `${time(each.at_ms)} ${[each.by, each.party].filter(Boolean).join(" · ")}: ${each.text}`))),
      ...(viewer.may_write && !["auditor", "insurer"].includes(viewer.role) ? [el("label", { for: text.id }, t("text")), text, el("div", { class: "filter" }, button("comment", () => void say(one.id, "comments", { text: text.value })),
        ...(isLive ? [el("label", { for: hours.id }, t("for_how_long")), hours, button("silence", () => void say(one.id, "silence", { why: text.value, until: until() }))] : []),
        ...(one.silence ? [button("lift", () => void say(one.id, "silence", { why: text.value }))] : []))] : []));
    /** @type {HTMLDetailsElement} */ (more).open = form.id === one.id;
    return more;
  }

  return [el("h1", {}, t("alerts")),
    el("div", { class: "filter" }, box("cleared", "cleared", t("with_cleared"), again), box("silenced", "silenced", `${t("with_silenced")} (${silenced.length})`, again),
      ...(asksName ? [el("label", { for: "by" }, t("by_whom")), name] : [])), said,
    table(t("alerts"), [t("alert"), t("rule"), t("severity"), t("state"), t("since"), t("assets"), t("who"), t("comments")], rows.map(( /** @type {any} */ one) => [
      one.id, words(one.rule), { text: one.severity, kind: one.severity === "critical" ? "bad" : one.severity === "warning" ? "warn" : "" },
      { text: one.state, kind: one.state === "cleared" ? "good" : one.state === "open" || one.state === "escalated" ? "bad" : "" }, time(one.since_ms),
      { text: one.assets.length ? list(one.assets.map(( /** @type {string} */ id) => link("assets", id))) : "—", kind: "" },
      one.acknowledged_by || (viewer.may_write && ["open", "escalated"].includes(one.state)
        ? el("button", { type: "button", id: `take-${one.id}`, "aria-label": `${t("acknowledge")} ${one.id}`, click: () => void say(one.id, "acknowledgement") }, t("acknowledge")) : "—"),
      notes(one)]))];
});
