// A facility: its base step by step, by lot and with grounds, as of any moment and by what was known at any other.

import { ask, askOr, part, viewer } from "./api.js";
import { legend, ltv, waterfall } from "./chart.js";
import { el, figures, link, money, ratio, table, time, words } from "./draw.js";
import { told as toldOf } from "./alerting.js";
import { agesTable, stepOf } from "./evidence.js";
import { milestonesOf } from "./timeline.js";
import { t } from "./words.js";

const STEPS = 1_000, SETTLE_MS = 250, ROWS = 50;

/** What steps took of each lot, with the grounds. @param {any[]} lines @param {string} currency */
export const linesTable = (lines, currency) => table(t("lots"), [t("lot"), `#${t("value")}`, t("taken"), `#${t("eligible")}`, `#${t("lent")}`, t("grounds")], lines.map(one => {
  const taken = Object.entries(one.ineligible);
  return [link("lots", one.id), money(one.value_minor, currency),
    taken.length ? el("ul", { class: "grounds" }, ...taken.map(([name, by]) => el("li", {}, `${stepOf(name)} −${money(/** @type {number} */ (by), currency)}`))) : "—",
    money(one.eligible_minor, currency), money(one.advance_minor, currency),
    one.grounds.length ? el("ul", { class: "grounds" }, ...one.grounds.map(( /** @type {string} */ ground) => el("li", {}, ground))) : "—"];
}));

/** @type {import("./pages.js").Page} */
export const facility = {
  async load(id) {
    const [found, evidence, alerts, base, first, told] = await Promise.all([ask(`facilities/${part(id)}`), ask(`facilities/${part(id)}/evidence`), ask(`alerts?${new URLSearchParams({ facility: id, limit: String(ROWS) })}`), viewer.sees_money ? askOr(`facilities/${part(id)}/base`, null) : null, askOr("events?limit=1", { events: [] }),
      viewer.sees_money ? askOr(`facilities/${part(id)}/ltv`, null) : null]);
    return { found, evidence, alerts, told, until: base ? Date.parse(base.known_at) : 0, from: first.events[0]?.at_ms ?? 0 };
  },
  make(id) {
    const top = el("div"), course = el("div"), drawing = el("div"), lots = el("div"), rest = el("div"), said = el("p", { class: "quiet", role: "status" });
    /** @type {any} */
    let data = null;
    let timer = 0, turn = 0;
    const clock = ( /** @type {string} */ name) => {
      const range = /** @type {HTMLInputElement} */ (el("input", { id: name, type: "range", min: 0, max: STEPS, step: 1, value: STEPS, input: () => moved(range) }));
      const output = el("output", { for: name });
      return { range, output };
    };
    const asOf = clock("as_of"), knownAt = clock("known_at");
    const moment = ( /** @type {HTMLInputElement} */ range) => data.from + (data.until - data.from) * Number(range.value) / STEPS;
    const isNow = () => Number(asOf.range.value) === STEPS && Number(knownAt.range.value) === STEPS;
    const written = ( /** @type {HTMLInputElement} */ range) => new Date(Math.round(moment(range))).toISOString().replace("Z", "+00:00");

    /** Nobody knows at a moment what was only after it, so one clock takes the other along. @param {HTMLInputElement} by */
    function moved(by) {
      if (Number(asOf.range.value) > Number(knownAt.range.value)) {
        if (by === asOf.range) knownAt.range.value = asOf.range.value;
        else asOf.range.value = knownAt.range.value;
      }
      tell();
      clearTimeout(timer);
      timer = setTimeout(() => void then(), SETTLE_MS);
    }

    function tell() {
      for (const { range, output } of [asOf, knownAt]) {
        const text = Number(range.value) === STEPS ? `${t("now")} (${time(data.until)})` : time(moment(range));
        output.textContent = text;
        range.setAttribute("aria-valuetext", text);
      }
    }

    async function then() {
      const mine = ++turn;
      if (isNow()) { said.textContent = ""; draw(data.found.base, data.found.lines, data.found.currency); return; }
      const query = new URLSearchParams();
      if (Number(asOf.range.value) !== STEPS) query.set("as_of", written(asOf.range));
      if (Number(knownAt.range.value) !== STEPS) query.set("known_at", written(knownAt.range));
      try {
        const found = await ask(`facilities/${part(id)}/base?${query}`);
        if (mine !== turn) return;
        said.textContent = `${t("as_of")} ${time(found.as_of)}, ${t("known_at")} ${time(found.known_at)}: ${t("base")} ${money(found.base.base_minor, found.currency)}, ${t("headroom")} ${money(found.base.headroom_minor, found.currency)}`;
        draw(found.base, found.lines, found.currency);
      } catch (error) { if (mine === turn) { said.textContent = String(/** @type {Error} */ (error).message); draw(null, [], ""); } }
    }

    /** @param {any} base @param {any[]} lines @param {string} currency */
    function draw(base, lines, currency) {
      drawing.replaceChildren(base ? waterfall(base, currency) : el("p", { class: "quiet" }, t("none")));
      lots.replaceChildren(linesTable(lines, currency));
    }

    const reset = () => { asOf.range.value = knownAt.range.value = String(STEPS); tell(); void then(); };
    const amounts = [el("h2", {}, t("ltv_over_time")), course, el("h2", {}, t("waterfall")), drawing, el("h2", {}, t("clocks")),
      el("div", { class: "clocks" }, ...[asOf, knownAt].map(({ range, output }) => el("div", {}, el("label", { for: range.id }, t(range.id)), range, output))),
      el("p", {}, el("button", { type: "button", click: reset }, t("now"))), said, el("h2", {}, t("lots")), lots];
    return {
      nodes: [el("h1", {}, `${t("facility")} ${id}`), top, ...(viewer.sees_money ? amounts : [el("p", { class: "quiet" }, t("not_yours"))]), rest],
      show(now) {
        data = now;
        const one = now.found, base = one.base;
        top.replaceChildren(el("p", {}, `${t("lender")}: ${one.lender} · ${t("borrower")}: ${one.borrower}`), ...(viewer.sees_money && base ? [figures([
          [t("base"), money(base.base_minor, one.currency)], [t("outstanding"), money(base.outstanding_minor, one.currency)],
          [t("headroom"), { text: money(base.headroom_minor, one.currency), kind: base.headroom_minor < 0 ? "bad" : "good" }],
          [t("ltv"), ratio(base.ltv_bp)], [t("cover"), { text: `${words(one.cover)} ${ratio(base.cover_bp)}`, kind: "" }],
          [t("call"), one.call_minor ? { text: money(one.call_minor, one.currency), kind: "bad" } : { text: t("no_call"), kind: "good" }], [t("cure"), time(one.cure_by_ms)]])] : []));
        if (now.told) {
          const { told } = now, state = ( /** @type {any} */ base) => base.ltv_bp == null ? t("no_ratio") : ratio(base.ltv_bp);
          course.replaceChildren(ltv(told), legend([["stroke", "line", t("ltv")], ["limit", "line", Object.entries(told.levels).filter(([, bp]) => bp != null).map(([name, bp]) => `${t(name.replace("_bp", "_level"))} ${ratio(/** @type {number} */ (bp))}`).join(", ") || t("none")], ["breach", "dot", t("called")], ["hole", "box", t("no_ratio")]]),
            el("details", {}, el("summary", {}, t("ltv_table")), table(t("ltv_table"), [t("when"), `#${t("ltv")}`, `#${t("outstanding")}`, `#${t("base")}`, `#${t("headroom")}`], told.bases.slice(-ROWS).reverse().map(( /** @type {any} */ base) => [
              time(base.at_ms), state(base), money(base.outstanding_minor, told.currency), money(base.base_minor, told.currency), money(base.headroom_minor, told.currency)]))));
        }
        if (viewer.sees_money) { tell(); if (isNow()) void then(); }
        const open = now.alerts.filter(( /** @type {any} */ alert) => alert.state !== "pending");
        rest.replaceChildren(
          ...(viewer.sees_money ? [] : [el("h2", {}, t("lots")), table(t("lots"), [t("lot"), t("asset"), t("sku")], one.lots.map(( /** @type {any} */ lot) => [link("lots", lot.id), lot.asset ? link("assets", lot.asset) : "—", lot.sku]))]),
          el("h2", {}, t("ages")), agesTable(now.evidence, one.lines, one.currency),
          el("h2", {}, t("milestones")), ...milestonesOf(one.milestones, () => one.currency, now.until || Date.now()),
          el("h2", {}, t("alerts")), ...(open.length ? [el("p", {}, link("alerts", id, t("to_the_inbox")))] : []), table(t("alerts"), [t("alert"), t("state"), t("said_of_it")], open.map(( /** @type {any} */ alert) => [
            `${words(alert.rule)} ${alert.id}`, { text: t(`alert_${alert.state}`), kind: alert.state === "cleared" ? "good" : "bad" }, toldOf(alert)])));
      },
      close: () => { clearTimeout(timer); turn += 1; },
    };
  },
};
