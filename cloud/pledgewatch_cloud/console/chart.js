// Drawings of numbers: the waterfall of a base, and a channel with its limits, breaches and gaps.

import { el, money, note, ratio, svg, table, time } from "./draw.js";
import { course, outline, readings, steps } from "./reckon.js";
import { named } from "./spoken.js";
import { t } from "./words.js";

/** @typedef {import("./reckon.js").Step} Step */

/** How wide a drawing is: as wide as the screen lets it be, so that its text is as large as that of the page. @param {number} most */
export const room = most => Math.min(innerWidth - 24, most);

/** @param {Step} one */
const nameOf = one => [one.word && t(one.word), one.of && (one.word ? one.of : t(`step_${one.of}`).replace(/^step /, ""))].filter(Boolean).join(" ");

/** What a step is or takes. @param {Step} one */
const sizeOf = one => one.kind === "loss" ? one.to - one.from : one.to;

/** The waterfall as bars, each with its name and amount: beside it, or above it where the screen is narrow. @param {any} base @param {string} currency */
export function waterfall(base, currency) {
  const found = steps(base), most = Math.max(1, ...found.flatMap(one => [one.from, one.to]));
  const width = room(900), narrow = width < 616, left = narrow ? 8 : 190, right = narrow ? 8 : 160, high = narrow ? 38 : 26, above = narrow ? 18 : 0;
  const x = ( /** @type {number} */ value) => left + Math.max(0, value) / most * (width - left - right);
  const rows = found.map((one, place) => {
    const top = place * high + 6, y = top + above, thick = high - above - 8, low = Math.min(one.from, one.to), wide = Math.max(1.5, x(Math.max(one.from, one.to)) - x(low));
    const name = nameOf(one), amount = money(sizeOf(one), currency), edge = x(one.to), next = found[place + 1];
    return svg("g", {},
      svg("text", narrow ? { x: left, y: top + 13 } : { x: left - 8, y: top + 13, "text-anchor": "end" }, name),
      svg("rect", { class: one.kind, x: x(low), y, width: wide, height: thick, rx: 2 }),
      next && next.kind !== "owed" && svg("path", { class: "join", d: `M${edge} ${y + thick}V${y + high}` }),
      svg("text", { class: "amount", ...(narrow ? { x: width - right, y: top + 13, "text-anchor": "end" } : { x: x(low) + wide + 6, y: top + 13 }) }, amount),
      svg("title", {}, `${name}: ${amount}`));
  });
  const label = found.map(one => `${nameOf(one)} ${money(sizeOf(one), currency)}`).join("; ");
  return svg("svg", { class: "chart", role: "img", "aria-label": `${t("waterfall")}: ${label}`, viewBox: `0 0 ${width} ${found.length * high + 6}` }, ...rows);
}

/** The same as a table. @param {any} base @param {string} currency */
export const waterfallTable = (base, currency) => el("details", {}, el("summary", {}, t("waterfall_table")),
  table("waterfall", ["step", "#amount"], steps(base).map(one => [nameOf(one), { text: money(sizeOf(one), currency), kind: "" }])));

/** @typedef {[number, number, string?, number?, number?]} Hole from when to when, of whom, and of which height: else of all @typedef {[string, string, string]} Sign class, what is drawn (line, box, dot, or a shape of a mark), its word or a text */

/**
 * A chart over time: what is shaded, with its word, values with their texts, moments, and what is drawn over these.
 * @param {string} label @param {[number, number]} span @param {[number, number]} reach of its values @param {Hole[]} holes @param {string} word
 * @param {[number, string][]} values @param {number} right what is free there @param {(x: (at: number) => number, y: (value: number) => number, across: (value: number) => string) => (Node | false)[]} draw
 */
function plot(label, [from, until], [low, high], holes, word, values, right, draw) {
  const width = room(900), left = 52, edge = width - right, tall = 204, moments = width < 616 ? [0, 1] : [0, 1 / 3, 2 / 3, 1];
  const x = ( /** @type {number} */ at) => left + (at - from) / Math.max(1, until - from) * (edge - left);
  const y = ( /** @type {number} */ value) => 10 + (high - value) / (high - low) * tall;
  const across = ( /** @type {number} */ value) => `M${left} ${y(value)}H${edge}`;
  return svg("svg", { class: "chart", role: "img", "aria-label": label, viewBox: `0 0 ${width} 240` },
    ...holes.map(([since, to, of = "", least = low, most = high]) => svg("rect", { class: "hole", x: x(since), y: y(most), width: Math.max(1, x(to) - x(since)), height: y(least) - y(most) }, svg("title", {}, `${of}${t(word)} ${time(since)} – ${time(to)}`))),
    ...values.flatMap(([one, text]) => [svg("path", { class: "grid", d: across(one) }), svg("text", { class: "soft", x: left - 6, y: y(one) + 4, "text-anchor": "end" }, text)]),
    ...moments.map(one => svg("text", { class: "soft", x: left + one * (edge - left), y: 232, "text-anchor": one ? one < 1 ? "middle" : "end" : "start" }, time(from + one * (until - from)))),
    ...draw(x, y, across));
}

/** The class of a device's line where there are several: of twenty no two have the same colour and dashes. @param {number} place */
export const lineOf = place => `stroke ink-${place % 5} dash-${place % 4}`;

/**
 * A channel over time, a line for each device. Values beyond a limit are dots, doubtful ones rings beside the line, gaps are left
 * open: of one device all of its time is shaded, of several only where the line would be, for the others have read meanwhile.
 * @param {import("./reckon.js").Line[]} lines values in thousandths @param {{ low: number | null, high: number | null }[]} limits in thousandths
 * @param {string} name @param {string} unit @param {import("./reckon.js").Seen} [seen]
 */
export function channel(lines, limits, name, unit, seen) {
  const points = lines.flatMap(one => one.points), read = points.map(one => one[1]), moments = points.map(one => one[0]), many = lines.length > 1;
  if (!points.length) return note("none");
  const bounds = /** @type {number[]} */ (limits.flatMap(one => [one.low, one.high]).filter(one => one != null));
  const from = Math.min(...moments), until = Math.max(...moments, from + 60_000);
  const low = Math.min(...read, ...bounds) - 500, high = Math.max(...read, ...bounds) + 500, pad = (high - low) / 30, written = ( /** @type {number} */ value) => (value / 1_000).toFixed(1);
  const told = lines.map((one, place) => ({ ...one, ...readings(one.points, limits, seen, one.most_ms), of: many ? `${one.device}: ` : "", kind: many ? lineOf(place) : "stroke" }));
  const label = told.map(one => {
    const values = one.points.map(point => point[1]);
    return `${one.of}${values.length}, ${written(Math.min(...values))} – ${written(Math.max(...values))} ${unit}; ${one.beyond.length} ${t("breaches")}; ${one.doubtful.length} × ${t("doubtful")}; ${one.holes.length} × ${t("gap")}`;
  });
  const holes = told.flatMap(one => one.holes.map(([since, to]) => {
    const ends = many ? one.runs.flat().filter(([at]) => at === since || at === to).map(point => point[1]) : [];
    return /** @type {Hole} */ ([since, to, one.of, ...(many ? [Math.max(low, Math.min(...ends) - pad), Math.min(high, Math.max(...ends) + pad)] : [])]);
  }));
  return plot(`${name}: ${label.join("; ")}`, [from, until], [low, high], holes, "gap", [.1, .3, .5, .7, .9].map(one => low + (high - low) * one).map(one => [one, written(one)]), 10, (x, y, across) => {
    const dot = ( /** @type {string} */ kind, /** @type {string} */ of) => ( /** @type {import("./reckon.js").Point} */ [at, value, why]) => svg("circle", { class: kind, cx: x(at), cy: y(value), r: 3 }, svg("title", {}, `${of}${time(at)} ${value / 1_000} ${unit}${why === "good" ? "" : `, ${named(why, "doubt")}`}`));
    return [...bounds.map(one => svg("path", { class: "limit", d: across(one) })), ...told.flatMap(one => [
      // A reading alone is a stroke of hardly any length, which has round ends.
      svg("path", { class: one.kind, d: one.runs.map(run => run.map(([at, value], place) => `${place ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join("") + (run.length > 1 ? "" : "h.1")).join("") }, many && svg("title", {}, one.device)),
      ...one.beyond.map(dot("breach", one.of)), ...one.doubtful.map(dot("doubt", one.of))])];
  });
}

/**
 * A facility's loan to value: each base holds until it is over; where there was no ratio the line is open and the gap is shaded,
 * where the facility was another's there is nothing.
 * @param {{ bases: any[], calls: any[], levels: Record<string, number | null>, until_ms: number, currency: string }} told
 */
export function ltv({ bases, calls, levels: all, until_ms: until, currency }) {
  if (!bases.length) return note("none");
  const narrow = room(900) < 616, from = bases[0].at_ms, levels = /** @type {[string, number][]} */ (Object.entries(all).filter(([, bp]) => bp != null));
  const known = bases.filter(one => one.ltv_bp != null).map(one => one.ltv_bp), most = 1.1 * Math.max(1, ...known, ...levels.map(([, bp]) => bp));
  const { runs, holes } = course(bases), named = ( /** @type {string} */ level) => t(level.replace("_bp", "_level"));
  const at = ( /** @type {number} */ moment) => bases.findLast(one => one.at_ms <= moment)?.ltv_bp;
  const last = bases[bases.length - 1].ltv_bp, least = known.length ? `${ratio(Math.min(...known))} – ${ratio(Math.max(...known))}` : t("no_ratio");
  const label = `${t("ltv_over_time")}: ${bases.length}, ${least}; ${t("now")} ${last == null ? t("no_ratio") : ratio(last)}; ${calls.length} × ${t("called")}; ${holes.length} × ${t("no_ratio")}`;
  return plot(label, [from, until], [0, most], holes, "no_ratio", [0, .25, .5, .75].map(one => [one * most, `${(one * most / 100).toFixed(0)} %`]), narrow ? 10 : 110, (x, y, across) => [
    ...levels.flatMap(([name, bp]) => [svg("path", { class: "limit", d: across(bp) }, svg("title", {}, `${named(name)} ${ratio(bp)}`)),
      !narrow && svg("text", { class: "soft", x: x(until) + 4, y: y(bp) + 4 }, named(name))]),
    svg("path", { class: "stroke", d: runs.map(run => run.map(([since, end, bp], place) => `${place ? "L" : "M"}${x(since).toFixed(1)} ${y(bp).toFixed(1)}H${x(end).toFixed(1)}`).join("")).join("") }),
    // Without a ratio there is nothing worse: at the upper edge.
    ...calls.filter(one => one.at_ms >= from).map(({ at_ms: when, call_minor }) => svg("circle", { class: "breach", cx: x(when), cy: y(at(when) ?? most), r: 4 }, svg("title", {}, `${t("called")} ${time(when)} ${money(call_minor, currency)}${at(when) == null ? `, ${t("no_ratio")}` : ""}`)))]);
}

/** What signs mean. @param {Sign[]} signs */
export const legend = signs => el("ul", { class: "legend" }, ...signs.map(([kind, form, word]) => el("li", {},
  svg("svg", { viewBox: "0 0 32 16", "aria-hidden": "true" },
    form === "box" ? svg("rect", { class: kind, x: 2, y: 1, width: 28, height: 14 }) : svg("path", { class: kind, d: form === "line" ? "M2 8H30" : outline(form, 16, 8, 5.5) })), t(word))));
