// A facility: its base step by step, by lot and with grounds, as of any moment and by what was known at any other.

import { ask, askOr, part, viewer } from "./api.js";
import { legend, ltv, waterfall, waterfallTable } from "./chart.js";
import { all, el, figures, link, money, note, ratio, table, time, title } from "./draw.js";
import { told as toldOf } from "./alerting.js";
import { agesTable, stepOf } from "./evidence.js";
import { milestonesOf } from "./timeline.js";
import { patch } from "./patch.js";
import { SLIDER, momentAt, read, set, stepAt, written } from "./reckon.js";
import { named, reasonOf, ruleOf, spoken } from "./spoken.js";
import { lang, t } from "./words.js";

const SETTLE_MS = 250, ROWS = 50;

/** A ground behind the name of its step. @param {any} told @param {string} english */
const groundOf = (told, english) => lang() === "zh" ? [`${stepOf(told.step)}：`, ...spoken(told, [english])] : [english];

/** @param {Node[]} some */
const points = some => some.length ? el("ul", { class: "grounds" }, ...some) : "—";

/** What steps took of each lot, with the grounds. @param {any[]} lines @param {string} currency */
const linesTable = (lines, currency) => table("lots", ["lot", "#value", "taken", "#eligible", "#lent", "grounds"], lines.map(one => {
  const taken = Object.entries(one.ineligible);
  return [link("lots", one.id), money(one.value_minor, currency),
    points(all(taken, ([name, by]) => el("li", {}, `${stepOf(name)} −${money(by, currency)}`))),
    money(one.eligible_minor, currency), money(one.advance_minor, currency),
    points(all(one.grounds, (ground, place) => el("li", {}, ...groundOf(one.told[place], ground))))];
}));

/** @type {import("./pages.js").Page} */
export const facility = {
  async load(id) {
    const at = `facilities/${part(id)}`;
    const [found, evidence, alerts, first, told] = await Promise.all([ask(at), ask(`${at}/evidence`), ask(`alerts?${new URLSearchParams({ facility: id, limit: String(ROWS) })}`), askOr("events?limit=1", { events: [] }),
      viewer.sees_money ? askOr(`${at}/ltv`, null) : null]);
    return { found, evidence, alerts, told, until: told?.until_ms ?? 0, from: first.events[0]?.at_ms ?? 0 };
  },
  make(id) {
    const top = el("div"), course = el("div"), drawing = el("div"), lots = el("div"), rest = el("div"), said = el("p", { class: "quiet", role: "status" });
    /** @type {any} */
    let data = null;
    let timer = 0, turn = 0, asked = new AbortController();
    /** The moments that are chosen, whatever a slider can show of them. @type {import("./reckon.js").Clocks} */
    let chosen = { as_of: null, known_at: null };
    const clock = ( /** @type {"as_of" | "known_at"} */ name) => ({
      name, output: el("output", { for: name }),
      range: el("input", { id: name, type: "range", min: 0, max: SLIDER, step: 1, value: SLIDER, input: ( /** @type {any} */ event) => moved(name, momentAt(Number(event.target.value), data)) }),
      field: el("input", { id: `${name}_moment`, type: "datetime-local", step: 1, max: "9999-12-31T23:59:59", "aria-label": `${t(name)}: ${t("moment")}`, change: ( /** @type {any} */ event) => moved(name, read(event.target.value)) }),
    });
    const clocks = [clock("as_of"), clock("known_at")];
    const isNow = () => chosen.as_of == null && chosen.known_at == null;

    /** @param {"as_of" | "known_at"} name @param {number | null} moment */
    function moved(name, moment) {
      chosen = set(chosen, name, moment);
      tell();
      clearTimeout(timer);
      timer = setTimeout(() => void then(), SETTLE_MS);
    }

    /** What is chosen, on both sliders and in both fields. */
    function tell() {
      for (const { name, range, field, output } of clocks) {
        const moment = chosen[name], text = moment == null ? `${t("now")} (${time(data.until)})` : time(moment);
        range.value = String(stepAt(moment, data));
        if (document.activeElement !== field) field.value = written(moment);
        output.textContent = text;
        range.setAttribute("aria-valuetext", text);
      }
    }

    async function then() {
      const mine = ++turn;
      asked.abort();
      asked = new AbortController();
      if (isNow()) { said.textContent = ""; draw(data.found.base, data.found.lines, data.found.currency); return; }
      const query = new URLSearchParams();
      for (const [name, moment] of Object.entries(chosen)) if (moment != null) query.set(name, new Date(moment).toISOString());
      try {
        const found = await ask(`facilities/${part(id)}/base?${query}`, { signal: asked.signal });
        if (mine !== turn) return;
        said.textContent = `${t("as_of")} ${time(found.as_of)}, ${t("known_at")} ${time(found.known_at)}: ${t("base")} ${money(found.base.base_minor, found.currency)}, ${t("headroom")} ${money(found.base.headroom_minor, found.currency)}`;
        draw(found.base, found.lines, found.currency);
      } catch (error) { if (mine === turn) { said.textContent = reasonOf(error); draw(null, [], ""); } }
    }

    /** @param {any} base @param {any[]} lines @param {string} currency */
    function draw(base, lines, currency) {
      patch(drawing, [base ? waterfall(base, currency) : note("none"), ...(base ? [waterfallTable(base, currency)] : [])]);
      patch(lots, [linesTable(lines, currency)]);
    }

    const reset = () => { chosen = { as_of: null, known_at: null }; tell(); void then(); };
    const amounts = [title("ltv_over_time"), course, title("waterfall"), drawing, title("clocks"),
      el("div", { class: "clocks" }, ...clocks.map(({ name, range, field, output }) => el("div", {}, el("label", { for: name }, t(name)), range, el("div", { class: "filter" }, output, el("span", { class: "quiet" }, t("moment")), field)))),
      el("p", {}, el("button", { type: "button", click: reset }, t("now"))), said, title("lots"), lots];
    return {
      nodes: [el("h1", {}, `${t("facility")} ${id}`), top, ...(viewer.sees_money ? amounts : [note("not_yours")]), rest],
      show(now) {
        data = now;
        const one = now.found, base = one.base;
        patch(top, [el("p", {}, `${t("lender")}: ${one.lender} · ${t("borrower")}: ${one.borrower}`), ...(viewer.sees_money && base ? [figures([
          ["base", money(base.base_minor, one.currency)], ["outstanding", money(base.outstanding_minor, one.currency)],
          ["headroom", { text: money(base.headroom_minor, one.currency), kind: base.headroom_minor < 0 ? "bad" : "good" }],
          ["ltv", ratio(base.ltv_bp)], ["cover", { text: `${named(one.cover)} ${ratio(base.cover_bp)}`, kind: "" }],
          ["call", one.call_minor ? { text: money(one.call_minor, one.currency), kind: "bad" } : { text: t("no_call"), kind: "good" }], ["cure", time(one.cure_by_ms)]])] : [])]);
        if (now.told) {
          const { told } = now;
          patch(course, [ltv(told), legend([["stroke", "line", "ltv"], ["limit", "line", all(Object.entries(told.levels).filter(([, bp]) => bp != null), ([name, bp]) => `${t(name.replace("_bp", "_level"))} ${ratio(bp)}`).join(", ") || t("none")], ["breach", "dot", "called"], ["hole", "box", "no_ratio"]]),
            el("details", {}, el("summary", {}, t("ltv_table")), table("ltv_table", ["when", "#ltv", "#outstanding", "#base", "#headroom"], all(told.bases.slice(-ROWS).reverse(), base => [
              time(base.at_ms), base.ltv_bp == null ? t("no_ratio") : ratio(base.ltv_bp), money(base.outstanding_minor, told.currency), money(base.base_minor, told.currency), money(base.headroom_minor, told.currency)])))]);
        }
        if (viewer.sees_money) { tell(); if (isNow()) void then(); }
        const open = now.alerts.filter(( /** @type {any} */ alert) => alert.state !== "pending");
        patch(rest, [
          ...(viewer.sees_money ? [] : [title("lots"), table("lots", ["lot", "asset", "sku"], all(one.lots, lot => [link("lots", lot.id), lot.asset ? link("assets", lot.asset) : "—", lot.sku]))]),
          title("ages"), agesTable(now.evidence, one.lines, one.currency),
          title("milestones"), ...milestonesOf(one.milestones, () => one.currency, now.until || Date.now()),
          title("alerts"), ...(open.length ? [el("p", {}, link("alerts", id, t("to_the_inbox")))] : []), table("alerts", ["alert", "state", "said_of_it"], all(open, alert => [
            `${ruleOf(alert.rule, alert.told[0]?.kind)} ${alert.id}`, { text: t(`alert_${alert.state}`), kind: alert.state === "cleared" ? "good" : "bad" }, toldOf(alert)]))]);
      },
      close: () => { clearTimeout(timer); turn += 1; asked.abort(); },
    };
  },
};
