// One asset with its way and its temperatures, one receipt with its acts.

import { ask, askOr, book, part } from "./api.js";
import { channel, legend } from "./chart.js";
import { el, figures, link, list, table, thousandths, time, words } from "./draw.js";
import { makeMap } from "./map.js";
import { drawn } from "./pages.js";
import { patch } from "./patch.js";
import { nearest, trail } from "./reckon.js";
import { condition, marks, placeOf, signal } from "./standing.js";
import { t } from "./words.js";

const POINTS_MAX = 2_000, TABLE_MAX = 50, CHANNEL = "temperature_mc";

/** @type {import("./pages.js").Page} */
export const asset = {
  async load(id) {
    const series = ( /** @type {string} */ name) => askOr(`assets/${part(id)}/series/${name}?limit=${POINTS_MAX}`, { points: [], seen: [] });
    const [found, known, north, east, warm] = await Promise.all([ask(`assets/${part(id)}`), book(), series("latitude_e7"), series("longitude_e7"), series(CHANNEL)]);
    const legs = known.voyages.filter(( /** @type {any} */ one) => one.asset === id).flatMap(( /** @type {any} */ one) => one.legs).filter(( /** @type {any} */ leg) => leg.signal === "dark");
    const lots = known.lots.filter(( /** @type {any} */ one) => found.properties.lots.includes(one.id));
    const limits = lots.flatMap(( /** @type {any} */ one) => one.limits ?? []).filter(( /** @type {any} */ one) => one.channel === CHANNEL);
    return {
      found, fences: known.fences, points: warm.points, seen: warm.seen,
      limits: limits.map(( /** @type {any} */ one) => ({ low: one.low ?? null, high: one.high ?? null })),
      pieces: trail(north.points, east.points, legs.map(( /** @type {any} */ leg) => ({ from: Date.parse(leg.from), until: Date.parse(leg.until) })), north.seen),
    };
  },
  make(id) {
    const top = el("div"), host = el("div", { class: "map" }), rest = el("div");
    /** @type {ReturnType<typeof makeMap> | undefined} */
    let map;
    return {
      nodes: [el("h1", {}, `${t("asset")} ${id}`), top, host,
        legend([["stroke", "line", t("trail")], ["way-dark", "line", t("planned_dark")], ["way-gap", "line", t("unplanned")]]), rest],
      show({ found, fences, points, seen, limits, pieces }) {
        map ??= makeMap(host, `${t("map")}: ${id}`, () => {});
        map.setFences(fences);
        map.setTrail(pieces);
        const end = pieces.at(-1)?.way.at(-1), shown = marks([found]);
        // A way that crosses the 180th meridian goes on beyond it, and so does what is at its end.
        for (const one of shown) if (end) one.at = [nearest(one.at[0], end[0]), one.at[1]];
        map.setMarks(shown);
        map.fit([...pieces.flatMap(( /** @type {any} */ one) => one.way), ...shown.map(one => one.at)]);
        const one = found.properties;
        patch(top, [figures([[t("measured"), time(one.newest_ms)], [t("fix_at"), time(one.measured_at_ms)], [t("place"), placeOf(found)], [t("inside"), one.fences.join(", ") || "—"],
          [t("condition"), condition(found)], [t("signal"), signal(found)], [t("lots"), { text: one.lots.length ? list(one.lots.map(( /** @type {string} */ lot) => link("lots", lot))) : "—", kind: "" }]])]);
        patch(rest, [el("h2", {}, `${t("temperature")}, °C`), channel(points, limits, t("temperature"), "°C", seen),
          legend([["stroke", "line", t("temperature")], ["limit", "line", t("limit")], ["breach", "dot", t("breaches")], ["doubt", "dot", t("doubtful")], ["hole", "box", t("gap")]]),
          el("details", {}, el("summary", {}, t("temperature_table")), table(t("temperature"), [t("measured"), "#°C", t("state")], points.slice(-TABLE_MAX).reverse().map(( /** @type {any} */ point) => [time(point[0]), (point[1] / 1_000).toFixed(2), words(point[2])]))),
          el("h2", {}, t("signal")), table(t("signal"), [t("device"), t("state"), t("when")], one.sources.map(( /** @type {any} */ source) => [source.channel ? `${source.device} ${source.channel}` : source.device, words(source.state), time(source.at_ms)]))]);
      },
      close: () => map?.close(),
    };
  },
};

/** What a compact JWS says, as text; its signature is for `verify`, not for a page. @param {string} jws */
function saidIn(jws) {
  try {
    const bytes = Uint8Array.from(atob(jws.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")), one => one.charCodeAt(0));
    return JSON.stringify(JSON.parse(new TextDecoder().decode(bytes)), null, 1);
  } catch { return jws; }
}

export const receipt = drawn(async id => {
  const found = await ask(`receipts/${part(id)}`), acts = [];
  for (let after = 0; ;) {
    const page = await ask(`receipts/${part(id)}/acts?limit=1000&after_entry=${after}`);
    acts.push(...page.acts);
    if (!page.acts.length || page.next_after_entry <= after) return { found, acts };
    after = page.next_after_entry;
  }
}, ({ found, acts }) => [el("h1", {}, `${t("receipt")} ${found.id}`),
  figures([[t("state"), words(found.state)], [t("warehouse"), found.warehouse], [t("holder"), found.holder], [t("pledgee"), found.pledgee || "—"],
    [t("controller"), found.controller || "—"], [t("issued"), time(found.issued)], [t("until"), time(found.until)]]),
  el("h2", {}, t("goods")), table(t("goods"), [t("sku"), t("place"), `#${t("quantity")}`, `#${t("let_out")}`, `#${t("delivered")}`], found.goods.map(( /** @type {any} */ one) => [
    one.sku ?? "—", [one.warehouse, one.bin].filter(Boolean).join(" ") || "—", one.quantity_milli == null ? "—" : thousandths(one.quantity_milli), thousandths(one.released_milli), thousandths(one.delivered_milli)])),
  el("h2", {}, t("acts")), el("ol", { class: "trail" }, ...acts.map(( /** @type {any} */ one) => {
    const { entry, recorded, event, at, text, ...facts } = one;
    return el("li", {}, el("strong", {}, words(String(facts.act || event))), ` ${time(at)} · ${t("entry")} ${entry} · `,
      el("span", { class: "quiet" }, Object.entries(facts).filter(([name, value]) => name !== "act" && value !== "").map(([name, value]) => `${words(name)} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ")),
      text && el("details", {}, el("summary", {}, t("act_text")), el("pre", { class: "scroll", tabindex: "0" }, saidIn(text))));
  }))]);
