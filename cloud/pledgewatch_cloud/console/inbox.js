// The alerts' inbox: what must be seen, who has taken it on, what was said of it, and what is put aside until when.

import { told } from "./alerting.js";
import { askPage, part, tell, viewer } from "./api.js";
import { all, el, link, table, time } from "./draw.js";
import { listed } from "./paging.js";
import { reasonOf, ruleOf, sentence } from "./spoken.js";
import { t } from "./words.js";

const HOURS = [1, 4, 24, 72, 168, 720], HOURS_FIRST = 24;
/** What is shown beside what is open. */
const shown = { cleared: false, silenced: false };
/** What is being written of alerts, by their ids: each has its own, and what is drawn meanwhile changes none of them. @type {Map<string, { text: string, hours: number }>} */
const drafts = new Map();
/** Those whose comments are open, also when they were away for a while. @type {Set<string>} */
const opened = new Set();
/** Why something was not said, and how what it was about stood then: it goes once that stands otherwise. */
let fault = { why: "", id: "", stood: "" };

/** @param {string} id @returns {{ text: string, hours: number }} */
const draftOf = id => drafts.get(id) ?? { text: "", hours: HOURS_FIRST };

/** @param {"cleared" | "silenced"} what @param {string} word @param {() => void} again */
const box = (what, word, again) => {
  const made = el("input", { type: "checkbox", id: what, change: () => { shown[what] = !shown[what]; again(); } });
  made.checked = shown[what];
  return el("label", {}, made, " ", word);
};

/** How one of some alerts stands, by what people can do. @param {any[]} some @param {string} id */
const stands = (some, id) => JSON.stringify(some.filter(one => one.id === id).map(one => [one.state, one.acknowledged_by, one.comments, one.silence]));

/** @param {string} why @param {string} [id] @param {any[]} [some] */
function complain(why, id = "", some = []) {
  fault = { why, id, stood: stands(some, id) };
  const line = document.getElementById("fault");
  if (line) line.textContent = why;
}

const nameOf = () => viewer.party ? viewer.user : localStorage.getItem("by") || "keeper";

/** @param {string} after @param {string} facility whose alerts; empty: all */
async function load(after, facility) {
  /** @type {Record<string, string>} */
  const of = facility ? { facility } : {}, filters = { ...of, ...(shown.cleared ? {} : { cleared: "false" }), ...(shown.silenced ? {} : { silenced: "false" }) };
  const [page, aside] = await Promise.all([askPage("alerts", after, filters), askPage("alerts", "", { ...of, silenced: "true" })]);
  return { ...page, aside: `${aside.items.length}${aside.next ? "+" : ""}` };
}

export const alerts = listed(load, (data, again, anew, facility) => {
  const asksName = viewer.role === "keeper" && !viewer.party && viewer.may_write;
  const name = el("input", { id: "by", maxlength: 200, autocomplete: "name", value: nameOf(), input: ( /** @type {any} */ event) => localStorage.setItem("by", event.target.value) });
  const say = async ( /** @type {string} */ id, /** @type {string} */ what, /** @type {Record<string, any>} */ more = {}) => {
    try {
      await tell(`alerts/${part(id)}/${what}`, { by: nameOf(), ...more });
      const text = /** @type {HTMLTextAreaElement | null} */ (document.getElementById(`text-${id}`));
      if (text && what !== "acknowledgement") { text.value = ""; drafts.delete(id); }
      complain("");
      again();
    } catch (error) { complain(reasonOf(error), id, data.items); }
  };
  /** What a click does; the second of a double click does nothing. @param {() => void} act */
  const once = act => ( /** @type {MouseEvent} */ event) => { if (event.detail < 2) act(); };
  if (stands(data.items, fault.id) !== fault.stood) complain("");

  /** What is said of an alert, and a form to say more. @param {any} one */
  function notes(one) {
    const keep = ( /** @type {Partial<{ text: string, hours: number }>} */ more) => drafts.set(one.id, { ...draftOf(one.id), ...more });
    const text = el("textarea", { id: `text-${one.id}`, rows: 2, maxlength: 2_000, input: ( /** @type {any} */ event) => keep({ text: event.target.value }) });
    const hours = el("select", { id: `hours-${one.id}`, change: ( /** @type {any} */ event) => keep({ hours: Number(event.target.value) }) },
      ...HOURS.map(many => el("option", { value: many }, many < 48 ? `${many} ${t("hours")}` : `${many / 24} ${t("days")}`)));
    text.value = draftOf(one.id).text;
    hours.value = String(draftOf(one.id).hours);
    const button = ( /** @type {string} */ word, /** @type {string} */ what, /** @type {(draft: { text: string, hours: number }) => Record<string, any>} */ body) => el("button", {
      type: "button", id: `${word}-${one.id}`, "aria-label": `${t(word)} ${one.id}`,
      click: once(() => {
        const draft = draftOf(one.id);
        if (draft.text.trim()) { void say(one.id, what, body(draft)); return; }
        complain(t("say_why"), one.id, data.items);
        document.getElementById(`text-${one.id}`)?.focus();
      }),
    }, t(word));
    const isLive = ["open", "acknowledged", "escalated"].includes(one.state), mayWrite = viewer.may_write && one.is_own;
    return el("details", { open: opened.has(one.id) ? "" : null, toggle: ( /** @type {any} */ event) => { if (event.target.open) opened.add(one.id); else opened.delete(one.id); } },
      el("summary", { id: `notes-${one.id}` }, `${t("comments")} (${one.comments.length})${one.silence ? ` · ${t("silenced_until")} ${time(one.silence.until_ms)}` : ""}`),
      one.silence && el("p", {}, `${t("silenced_until")} ${time(one.silence.until_ms)}: ${one.silence.why} (${one.silence.by})`),
      el("ul", { class: "grounds" }, ...all(one.comments, each => el("li", {}, `${time(each.at_ms)} ${[each.by, each.party].filter(Boolean).join(" · ")}: ${each.text}`))),
      ...(mayWrite ? [el("label", { for: text.id }, t("text")), text, el("div", { class: "filter" }, button("comment", "comments", draft => ({ text: draft.text })),
        ...(isLive ? [el("span", { class: "pair" }, el("label", { for: hours.id }, t("for_how_long")), hours), button("silence", "silence", draft => ({ why: draft.text, for_s: draft.hours * 3_600 }))] : []),
        one.silence && button("lift", "silence", draft => ({ why: draft.text })))] : []));
  }

  return [el("h1", {}, t("alerts")),
    ...(facility ? [el("p", {}, ...sentence("only_of", { facility: link("facilities", facility) }), " ", el("a", { href: "#/alerts" }, t("all_alerts")))] : []),
    el("div", { class: "filter" }, box("cleared", t("with_cleared"), anew), box("silenced", `${t("with_silenced")} (${data.aside})`, anew),
      ...(asksName ? [el("span", { class: "pair" }, el("label", { for: "by" }, t("by_whom")), name)] : [])), el("p", { role: "alert", id: "fault" }, fault.why),
    table("alerts", ["alert", "rule", "severity", "state", "since", "said_of_it", "who", "comments"], all(data.items, one => [
      one.id, ruleOf(one.rule, one.told[0]?.kind), { text: one.severity ? t(`severity_${one.severity}`) : "—", kind: one.severity === "critical" ? "bad" : one.severity === "warning" ? "warn" : "" },
      { text: t(`alert_${one.state}`), kind: one.state === "cleared" ? "good" : one.state === "open" || one.state === "escalated" ? "bad" : "" }, time(one.since_ms),
      told(one),
      one.acknowledged_by || (viewer.may_write && one.is_own && ["open", "escalated"].includes(one.state)
        ? el("button", { type: "button", id: `take-${one.id}`, "aria-label": `${t("acknowledge")} ${one.id}`, click: once(() => void say(one.id, "acknowledgement")) }, t("acknowledge"))
        : !one.is_own && one.hands.length ? { text: sentence("in_hands", { hands: one.hands.join(", ") }), kind: "quiet" } : "—"),
      notes(one)]))];
}, () => complain(""));
