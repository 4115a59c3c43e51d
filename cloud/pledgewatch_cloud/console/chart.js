// Drawings of numbers: the waterfall of a base, and a channel with its limits, breaches and gaps.

import { el, money, note, ratio, svg, table, time } from "./draw.js";
import { course, readings, steps } from "./reckon.js";
import { named } from "./spoken.js";
import { t } from "./words.js";

/** @typedef {import("./reckon.js").Step} Step */

/** @param {Step} one */
const nameOf = one => [one.word && t(one.word), one.of && (one.word ? one.of : t(`step_${one.of}`).replace(/^step /, ""))].filter(Boolean).join(" ");

/** What a step is or takes. @param {Step} one */
const sizeOf = one => one.kind === "loss" ? one.to - one.from : one.to;

/** The waterfall as bars, each with its name and amount: beside it, or above it where the screen is narrow. @param {any} base @param {string} currency */
export function waterfall(base, currency) {
  const found = steps(base), most = Math.max(1, ...found.flatMap(one => [one.from, one.to]));
  const narrow = innerWidth < 640, width = narrow ? 340 : 900, left = narrow ? 8 : 190, right = narrow ? 8 : 160, high = narrow ? 38 : 26, above = narrow ? 18 : 0;
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

/**
 * A channel over time. Values beyond a limit are dots, doubtful ones rings beside the line, gaps are left open.
 * @param {[number, number, string][]} points moment, value in thousandths, quality @param {{ low: number | null, high: number | null }[]} limits in thousandths
 * @param {string} name @param {string} unit @param {import("./reckon.js").Seen} seen
 */
export function channel(points, limits, name, unit, seen) {
  if (!points.length) return note("none");
  const bounds = limits.flatMap(one => [one.low, one.high]).filter(one => one != null);
  const values = [...points.map(one => one[1]), .../** @type {number[]} */ (bounds)];
  const from = points[0][0], until = Math.max(points[points.length - 1][0], from + 60_000);
  const low = Math.min(...values) - 500, high = Math.max(...values) + 500;
  const width = innerWidth < 640 ? 380 : 900, height = 240, left = 46, bottom = 26;
  const x = ( /** @type {number} */ at) => left + (at - from) / (until - from) * (width - left - 10);
  const y = ( /** @type {number} */ value) => 10 + (high - value) / (high - low) * (height - bottom - 10);
  const { runs, beyond, doubtful, holes } = readings(points, limits, seen);
  const line = runs.map(run => run.map(([at, value], place) => `${place ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join("")).join("");
  const ticks = [0, 1, 2, 3, 4].map(one => low + (high - low) * (one + .5) / 5), moments = width < 640 ? [from, until] : [0, 1 / 3, 2 / 3, 1].map(one => from + one * (until - from));
  const label = `${name}: ${points.length}, ${(Math.min(...points.map(one => one[1])) / 1_000).toFixed(1)} – ${(Math.max(...points.map(one => one[1])) / 1_000).toFixed(1)} ${unit}; ${beyond.length} ${t("breaches")}; ${doubtful.length} × ${t("doubtful")}; ${holes.length} × ${t("gap")}`;
  return svg("svg", { class: "chart", role: "img", "aria-label": label, viewBox: `0 0 ${width} ${height}` },
    ...holes.map(([since, to]) => svg("rect", { class: "hole", x: x(since), y: 10, width: Math.max(1, x(to) - x(since)), height: height - bottom - 10 }, svg("title", {}, `${t("gap")} ${time(since)} – ${time(to)}`))),
    ...ticks.flatMap(one => [svg("path", { class: "grid", d: `M${left} ${y(one)}H${width - 10}` }), svg("text", { class: "soft", x: left - 6, y: y(one) + 4, "text-anchor": "end" }, (one / 1_000).toFixed(1))]),
    ...moments.map((one, place) => svg("text", { class: "soft", x: x(one), y: height - 8, "text-anchor": place ? place === moments.length - 1 ? "end" : "middle" : "start" }, time(one))),
    ...bounds.map(one => svg("path", { class: "limit", d: `M${left} ${y(/** @type {number} */ (one))}H${width - 10}` })),
    svg("path", { class: "stroke", d: line }),
    ...beyond.map(([at, value]) => svg("circle", { class: "breach", cx: x(at), cy: y(value), r: 3 }, svg("title", {}, `${time(at)} ${value / 1_000} ${unit}`))),
    ...doubtful.map(([at, value, why]) => svg("circle", { class: "doubt", cx: x(at), cy: y(value), r: 3 }, svg("title", {}, `${time(at)} ${value / 1_000} ${unit}, ${named(why, "doubt")}`))));
}

/**
 * A facility's loan to value: each base holds until it is over; where there was no ratio the line is open and the gap is shaded,
 * where the facility was another's there is nothing.
 * @param {{ bases: any[], calls: any[], levels: Record<string, number | null>, until_ms: number, currency: string }} told
 */
export function ltv(told) {
  const { bases, calls, until_ms: until } = told;
  if (!bases.length) return note("none");
  const narrow = innerWidth < 640, width = narrow ? 380 : 900, height = 240, left = 52, right = narrow ? 10 : 110, bottom = 26;
  const from = bases[0].at_ms, levels = Object.entries(told.levels).filter(([, bp]) => bp != null);
  const known = bases.filter(one => one.ltv_bp != null).map(one => one.ltv_bp);
  const most = 1.1 * Math.max(1, ...known, ...levels.map(([, bp]) => /** @type {number} */ (bp)));
  const x = ( /** @type {number} */ at) => left + (at - from) / Math.max(1, until - from) * (width - left - right);
  const y = ( /** @type {number} */ bp) => 10 + (1 - bp / most) * (height - 10 - bottom);
  const { runs, holes } = course(bases);
  const line = runs.map(run => run.map(([since, end, bp], place) => `${place ? "L" : "M"}${x(since).toFixed(1)} ${y(bp).toFixed(1)}H${x(end).toFixed(1)}`).join("")).join("");
  const moments = narrow ? [from, until] : [0, .5, 1].map(one => from + one * (until - from));
  const at = ( /** @type {number} */ moment) => bases.findLast(one => one.at_ms <= moment)?.ltv_bp ?? 0;
  const last = bases[bases.length - 1].ltv_bp, least = known.length ? `${ratio(Math.min(...known))} – ${ratio(Math.max(...known))}` : t("no_ratio");
  const label = `${t("ltv_over_time")}: ${bases.length}, ${least}; ${t("now")} ${last == null ? t("no_ratio") : ratio(last)}; ${calls.length} × ${t("called")}; ${holes.length} × ${t("no_ratio")}`;
  return svg("svg", { class: "chart", role: "img", "aria-label": label, viewBox: `0 0 ${width} ${height}` },
    ...holes.map(([since, to]) => svg("rect", { class: "hole", x: x(since), y: 10, width: Math.max(1, x(to) - x(since)), height: height - bottom - 10 }, svg("title", {}, `${t("no_ratio")} ${time(since)} – ${time(to)}`))),
    ...[0, .25, .5, .75].map(one => one * most).flatMap(one => [svg("path", { class: "grid", d: `M${left} ${y(one)}H${width - right}` }), svg("text", { class: "soft", x: left - 6, y: y(one) + 4, "text-anchor": "end" }, `${(one / 100).toFixed(0)} %`)]),
    ...moments.map((one, place) => svg("text", { class: "soft", x: x(one), y: height - 8, "text-anchor": place ? place === moments.length - 1 ? "end" : "middle" : "start" }, time(one))),
    ...levels.flatMap(([name, bp]) => [svg("path", { class: "limit", d: `M${left} ${y(/** @type {number} */ (bp))}H${width - right}` }, svg("title", {}, `${t(name.replace("_bp", "_level"))} ${ratio(/** @type {number} */ (bp))}`)),
      !narrow && svg("text", { class: "soft", x: width - right + 4, y: y(/** @type {number} */ (bp)) + 4 }, t(name.replace("_bp", "_level")))]),
    svg("path", { class: "stroke", d: line }),
    ...calls.filter(one => one.at_ms >= from).map(one => svg("circle", { class: "breach", cx: x(one.at_ms), cy: y(at(one.at_ms)), r: 4 }, svg("title", {}, `${t("called")} ${time(one.at_ms)} ${money(one.call_minor, told.currency)}`))));
}

/** What signs mean. @param {[string, string, string][]} signs class, what is drawn (line, dot, box), its word or a text */
export const legend = signs => el("ul", { class: "legend" }, ...signs.map(([kind, form, word]) => el("li", {},
  svg("svg", { viewBox: "0 0 32 16", "aria-hidden": "true" },
    form === "dot" ? svg("circle", { class: kind, cx: 16, cy: 8, r: 6 }) : form === "box" ? svg("rect", { class: kind, x: 2, y: 1, width: 28, height: 14 }) : svg("path", { class: kind, d: "M2 8H30" })), t(word))));
