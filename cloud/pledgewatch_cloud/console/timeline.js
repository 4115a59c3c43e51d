// Milestones in order of time: a drawing with a row for each, and the same as a table for whoever reads it.

import { ask, part, viewer } from "./api.js";
import { legend } from "./chart.js";
import { all, el, figures, link, money, note, svg, table, time, title } from "./draw.js";
import { drawn } from "./pages.js";
import { asked, named, placeInBook, spoken, when } from "./spoken.js";
import { t } from "./words.js";

const WIDTH = 960, LEFT = 190, RIGHT = 30, ROW = 26, TOP = 26, ROWS_MAX = 40;

/** @typedef {{ at: number, kind: "held" | "met" | "paid_out" | "expires", text: string }} Moment */
/** @typedef {{ name: string, moments: Moment[] }} Row */

/** @param {string} state */
const kindOf = state => ({ released: "good", met: "good", in_question: "bad", held: "warn", retracted: "bad" })[state] ?? "";
/** The state in words: what the API calls released is money paid out. @param {string} state */
export const stateOf = state => t(`milestone_${state}`).replace(/^milestone /, "");

/** When anything of a milestone was or will be, in order. @param {any} one @returns {Moment[]} */
const momentsOf = one => (/** @type {Moment[]} */ ([{ at: one.met_ms, kind: "met" }, { at: one.released_ms, kind: "paid_out" }, { at: one.expires_ms, kind: "expires" }]))
  .filter(each => each.at != null).map(each => ({ ...each, text: `${t(each.kind)} ${time(each.at)}` })).sort((a, b) => a.at - b.at);

/** In order of time: by the first moment of each; those that have none come last. @param {any[]} some @returns {any[]} */
const inOrder = some => [...some].sort((a, b) => (momentsOf(a)[0]?.at ?? Infinity) - (momentsOf(b)[0]?.at ?? Infinity) || (a.id < b.id ? -1 : 1));

/** Rows of moments over time, of which there is one at least. @param {Row[]} rows @param {string} label @param {number} now */
export function timeline(rows, label, now) {
  const shown = rows.filter(one => one.moments.length).slice(0, ROWS_MAX), every = shown.flatMap(one => one.moments.map(each => each.at));
  const from = Math.min(now, ...every), until = Math.max(now, ...every), height = TOP + ROW * shown.length + 22;
  const x = ( /** @type {number} */ at) => LEFT + (WIDTH - LEFT - RIGHT) * (until === from ? .5 : (at - from) / (until - from));
  const short = ( /** @type {string} */ name) => name.length > 26 ? `${name.slice(0, 25)}…` : name;
  const said = shown.map(one => `${one.name}: ${one.moments.map(each => each.text).join(", ")}`).join("; ");
  return svg("svg", { class: "chart timeline", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": `${label}: ${said}` },
    svg("line", { class: "limit", x1: x(now), x2: x(now), y1: TOP - 6, y2: height - 20 }), svg("text", { class: "soft", x: x(now), y: 14, "text-anchor": x(now) > WIDTH / 2 ? "end" : "start" }, t("now")),
    svg("text", { class: "soft", x: LEFT, y: height - 4 }, time(from)), svg("text", { class: "soft", x: WIDTH - RIGHT, y: height - 4, "text-anchor": "end" }, time(until)),
    ...shown.flatMap((one, place) => {
      const y = TOP + ROW * place + ROW / 2, points = one.moments.map(each => x(each.at));
      return [svg("text", { x: 8, y: y + 4 }, short(one.name)), svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y, y2: y }),
        svg("line", { class: "way", x1: points[0], x2: points[points.length - 1], y1: y, y2: y }),
        ...one.moments.map(each => each.kind === "expires" ? svg("rect", { class: "mark-expires", x: x(each.at) - 2, y: y - 8, width: 4, height: 16 }, svg("title", {}, each.text))
          : svg("circle", { class: `mark-${each.kind}`, cx: x(each.at), cy: y, r: each.kind === "held" ? 4 : 6 }, svg("title", {}, each.text)))];
    }));
}

/** The drawing with its legend, or that there is nothing to draw. @param {Row[]} rows @param {number} now @returns {Node[]} */
const drawing = (rows, now) => rows.some(one => one.moments.length)
  ? [timeline(rows, t("timeline"), now), legend([["mark-held", "dot", "holds"], ["mark-met", "dot", "met"], ["mark-paid_out", "dot", "paid_out"], ["mark-expires", "box", "expires"], ["limit", "line", "now"]])] : [note("no_moment")];

/** @param {any[]} some @param {(one: any) => string} currency */
const milestonesTable = (some, currency) => table("milestones", ["milestone", "facility", "lot", "payee", ...(viewer.sees_money ? ["#amount"] : []), "state", "met", "paid_out", "expires"],
  inOrder(some).map(one => [link("milestones", one.id), link("facilities", one.facility), one.lot ? link("lots", one.lot) : one.shipment || "—", one.payee,
    ...(viewer.sees_money ? [one.amount_minor > 0 ? money(one.amount_minor, currency(one)) : "—"] : []), { text: stateOf(one.state), kind: kindOf(one.state) }, time(one.met_ms), time(one.released_ms), time(one.expires_ms)]));

/** Milestones drawn and listed. @param {any[]} some @param {(one: any) => string} currency @param {number} now @returns {Node[]} */
export const milestonesOf = (some, currency, now) => [...(some.length ? drawing(inOrder(some).map(one => ({ name: one.id, moments: momentsOf(one) })), now) : []), milestonesTable(some, currency)];

export const milestones = drawn(() => Promise.all([ask("milestones"), ask("facilities")]), ([some, facilities]) => {
  const currencies = new Map(all(facilities, one => [one.id, one.currency]));
  return [el("h1", {}, t("milestones")), ...milestonesOf(some, one => String(currencies.get(one.facility) ?? ""), Date.now())];
});

const NOUNS = /** @type {Record<string, string>} */ ({ event: "events", notice: "notices", receipt: "receipts", milestone: "milestones" });

/** What shows a fact, with a link to it. @param {any} one */
function proof({ kind, id, at_ms: at, grade }) {
  return el("li", {}, `${t(`proof_${kind}`)} `, kind in NOUNS ? link(NOUNS[kind], id) : placeInBook(String(id ?? "")), grade ? `, ${named(grade)}` : "", at == null ? "" : `, ${time(at)}`);
}

/** A milestone's moments and those of its facts, in order. @param {any} one @returns {Row[]} */
const rowsOf = one => [{ name: one.id, moments: momentsOf(one) }, ...all(one.facts, fact => ({
  name: asked(fact), moments: /** @type {Moment[]} */ (fact.holds && fact.since_ms > -1e15 ? [{ at: fact.since_ms, kind: "held", text: `${t("holds")} ${when(fact.since_ms, null)}` }] : []),
})).sort(( /** @type {Row} */ a, /** @type {Row} */ b) => (a.moments[0]?.at ?? Infinity) - (b.moments[0]?.at ?? Infinity))];

export const milestone = drawn(id => ask(`milestones/${part(id)}`), one => [el("h1", {}, `${t("milestone")} ${one.id}`),
  figures([["state", { text: stateOf(one.state), kind: kindOf(one.state) }], viewer.sees_money && ["amount", money(one.amount_minor < 0 ? null : one.amount_minor, one.currency)],
    ["facility", link("facilities", one.facility)], ["lot", one.lot ? link("lots", one.lot) : "—"], ["met", time(one.met_ms)], ["paid_out", time(one.released_ms)], ["expires", time(one.expires_ms)]]),
  title("timeline"), ...drawing(rowsOf(one), one.as_of_ms), title("facts"),
  table("facts", ["fact", "state", "since", "proofs", "if_lost"], all(one.facts, fact => [
    asked(fact), fact.holds ? { text: t("holds"), kind: "good" } : { text: t(fact.may_hold ? "may_hold" : "lacks"), kind: fact.may_hold ? "warn" : "bad" }, fact.since_ms == null || fact.since_ms < -1e15 ? "—" : time(fact.since_ms),
    fact.proofs.length ? el("ul", { class: "grounds" }, ...fact.proofs.map(proof)) : { text: spoken(fact.missing_told, [fact.missing || "—"]), kind: "" }, { text: spoken(fact.if_lost_told, [fact.if_lost || "—"]), kind: "" }]))]);
