// Milestones in order of time: a drawing with a row for each, and the same as a table for whoever reads it.

import { ask, part, viewer } from "./api.js";
import { legend, room } from "./chart.js";
import { all, el, figures, link, money, svg, table, time, title } from "./draw.js";
import { drawn } from "./pages.js";
import { asked, named, placeInBook, spoken, when } from "./spoken.js";
import { lang, t } from "./words.js";

const SIDE = 12, ROW = 40, TOP = 24, ROWS_MAX = 40;

/** @typedef {{ at: number, kind: "held" | "met" | "paid_out" | "expires", text: string }} Moment */
/** @typedef {{ name: string, said: string, isOpen: boolean, moments: Moment[] }} Row open: what it waits for has not come, which is a ring at now */

/** @param {string} state */
const kindOf = state => ({ released: "good", met: "good", in_question: "bad", held: "warn", retracted: "bad" })[state] ?? "";
/** The state in words: what the API calls released is money paid out. @param {string} state */
export const stateOf = state => t(`milestone_${state}`).replace(/^milestone /, "");

/** When anything of a milestone was or will be, in order. @param {any} one @returns {Moment[]} */
const momentsOf = one => (/** @type {Moment[]} */ ([{ at: one.met_ms, kind: "met" }, { at: one.released_ms, kind: "paid_out" }, { at: one.expires_ms, kind: "expires" }]))
  .filter(each => each.at != null).map(each => ({ ...each, text: `${t(each.kind)} ${time(each.at)}` })).sort((a, b) => a.at - b.at);

/** Rows over time, each with its name above it. @param {Row[]} rows @param {number} now */
function timeline(rows, now) {
  const every = [now, ...rows.flatMap(one => one.moments.map(each => each.at))];
  const from = Math.min(...every), until = Math.max(...every), width = room(960), right = width - SIDE, height = TOP + ROW * rows.length + 22;
  const x = ( /** @type {number} */ at) => SIDE + (right - SIDE) * (until === from ? 1 : (at - from) / (until - from));
  const most = width / (lang() === "zh" ? 12 : 7.5), short = ( /** @type {Row} */ { name, said }) => `${name.length + said.length > most ? `${name.slice(0, most - said.length - 4)}…` : name} · ${said}`;
  const label = rows.map(one => `${one.name}: ${[...all(one.moments, each => each.text), one.said].join(", ")}`).join("; ");
  return svg("svg", { class: "chart timeline", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${t("timeline")}: ${label}` },
    svg("line", { class: "limit", x1: x(now), x2: x(now), y1: TOP - 6, y2: height - 20 }), svg("text", { class: "soft", x: x(now), y: 14, "text-anchor": x(now) > width / 2 ? "end" : "start" }, t("now")),
    from < until && svg("text", { class: "soft", x: SIDE, y: height - 4 }, time(from)), svg("text", { class: "soft", x: right, y: height - 4, "text-anchor": "end" }, time(until)),
    ...rows.flatMap((one, place) => {
      const y = TOP + ROW * (place + .7), points = one.moments.map(each => x(each.at));
      return [svg("text", { x: SIDE, y: y - 12 }, short(one)), svg("line", { class: "grid", x1: SIDE, x2: right, y1: y, y2: y }),
        points.length && svg("line", { class: "way", x1: points[0], x2: points[points.length - 1], y1: y, y2: y }),
        ...[...one.moments, ...(one.isOpen ? [{ at: now, kind: "open", text: one.said }] : [])].map(({ at, kind, text }) => kind === "expires" ? svg("rect", { class: "mark-expires", x: x(at) - 2, y: y - 8, width: 4, height: 16 }, svg("title", {}, text))
          : svg("circle", { class: `mark-${kind}`, cx: x(at), cy: y, r: kind === "held" ? 4 : 6 }, svg("title", {}, text)))];
    }));
}

/** The drawing with its legend. @param {Row[]} rows @param {number} now @returns {Node[]} */
const drawing = (rows, now) => [timeline(rows, now),
  legend([["mark-open", "dot", "not_met"], ["mark-held", "dot", "holds"], ["mark-met", "dot", "met"], ["mark-paid_out", "dot", "paid_out"], ["mark-expires", "box", "expires"], ["limit", "line", "now"]])];

/** A milestone's row. @param {any} one @returns {Row} */
const rowOf = one => ({ name: one.id, said: stateOf(one.state), isOpen: one.met_ms == null && !["waived", "expired"].includes(one.state), moments: momentsOf(one) });

/** When anything of it was first; never where nothing was or will be. @param {Row} row */
const first = ({ moments }) => moments[0]?.at ?? Infinity;

/** In order of time: by the first moment of each; those that have none come last. @param {any[]} some @returns {any[]} */
const inOrder = some => [...some].sort((a, b) => first(rowOf(a)) - first(rowOf(b)) || (a.id < b.id ? -1 : 1));

/** @param {any[]} some @param {(one: any) => string} currency */
const milestonesTable = (some, currency) => table("milestones", ["milestone", "facility", "lot", "payee", ...(viewer.sees_money ? ["#amount"] : []), "state", "met", "paid_out", "expires"],
  inOrder(some).map(one => [link("milestones", one.id), link("facilities", one.facility), one.lot ? link("lots", one.lot) : one.shipment || "—", one.payee,
    ...(viewer.sees_money ? [one.amount_minor > 0 ? money(one.amount_minor, currency(one)) : "—"] : []), { text: stateOf(one.state), kind: kindOf(one.state) }, time(one.met_ms), time(one.released_ms), time(one.expires_ms)]));

/** Milestones drawn and listed. @param {any[]} some @param {(one: any) => string} currency @param {number} now @returns {Node[]} */
export const milestonesOf = (some, currency, now) => [...(some.length ? drawing(inOrder(some).slice(-ROWS_MAX).map(rowOf), now) : []), milestonesTable(some, currency)];

export const milestones = drawn(() => Promise.all([ask("milestones"), ask("facilities")]), ([some, facilities]) => {
  const currencies = new Map(all(facilities, one => [one.id, one.currency]));
  return [el("h1", {}, t("milestones")), ...milestonesOf(some, one => String(currencies.get(one.facility) ?? ""), some[0]?.as_of_ms)];
});

const NOUNS = /** @type {Record<string, string>} */ ({ event: "events", notice: "notices", receipt: "receipts", milestone: "milestones" });

/** What shows a fact, with a link to it. @param {any} one */
function proof({ kind, id, at_ms: at, grade }) {
  return el("li", {}, `${t(`proof_${kind}`)} `, kind in NOUNS ? link(NOUNS[kind], id) : placeInBook(String(id ?? "")), grade ? `, ${named(grade)}` : "", at == null ? "" : `, ${time(at)}`);
}

/** How a fact stands, in a word. @param {any} fact */
const factState = fact => t(fact.holds ? "holds" : fact.may_hold ? "may_hold" : "lacks");

/** A milestone's row and those of its facts, in order. @param {any} one @returns {Row[]} */
const rowsOf = one => [rowOf(one), ...all(one.facts, fact => ({
  name: asked(fact), said: factState(fact), isOpen: !fact.holds,
  moments: /** @type {Moment[]} */ (fact.holds && fact.since_ms > -1e15 ? [{ at: fact.since_ms, kind: "held", text: `${t("holds")} ${when(fact.since_ms, null)}` }] : []),
})).sort((a, b) => first(a) - first(b) || 0)];

export const milestone = drawn(id => ask(`milestones/${part(id)}`), one => [el("h1", {}, `${t("milestone")} ${one.id}`),
  figures([["state", { text: stateOf(one.state), kind: kindOf(one.state) }], viewer.sees_money && ["amount", money(one.amount_minor < 0 ? null : one.amount_minor, one.currency)],
    ["facility", link("facilities", one.facility)], ["lot", one.lot ? link("lots", one.lot) : "—"], ["met", time(one.met_ms)], ["paid_out", time(one.released_ms)], ["expires", time(one.expires_ms)]]),
  title("timeline"), ...drawing(rowsOf(one), one.as_of_ms), title("facts"),
  table("facts", ["fact", "state", "since", "proofs", "if_lost"], all(one.facts, fact => [
    asked(fact), { text: factState(fact), kind: fact.holds ? "good" : fact.may_hold ? "warn" : "bad" }, fact.since_ms == null || fact.since_ms < -1e15 ? "—" : time(fact.since_ms),
    fact.proofs.length ? el("ul", { class: "grounds" }, ...fact.proofs.map(proof)) : { text: spoken(fact.missing_told, [fact.missing || "—"]), kind: "" }, { text: spoken(fact.if_lost_told, [fact.if_lost || "—"]), kind: "" }]))]);
