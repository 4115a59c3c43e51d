// One asset with its way and its temperatures, one receipt with its acts.

import { ask, askOr, book, part } from "./api.js";
import { channel, legend, lineOf } from "./chart.js";
import { all, el, figures, link, list, table, thousandths, time, title } from "./draw.js";
import { makeMap } from "./map.js";
import { drawn } from "./pages.js";
import { patch } from "./patch.js";
import { apart, nearest, trail } from "./reckon.js";
import { channelOf, eventOf, factOf, named, valueOf } from "./spoken.js";
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
      found, fences: known.fences, warm, lines: apart(warm, found.properties.sources),
      limits: all(limits, one => ({ low: one.low ?? null, high: one.high ?? null })),
      pieces: trail(north.points, east.points, all(legs, leg => ({ from: Date.parse(leg.from), until: Date.parse(leg.until) })), north.seen),
    };
  },
  make(id) {
    const top = el("div"), host = el("div", { class: "map" }), rest = el("div");
    /** @type {ReturnType<typeof makeMap> | undefined} */
    let map;
    return {
      nodes: [el("h1", {}, `${t("asset")} ${id}`), top, host,
        legend([["stroke", "line", "trail"], ["way-dark", "line", "planned_dark"], ["way-gap", "line", "unplanned"]]), rest],
      show({ found, fences, warm, lines, limits, pieces }) {
        map ??= makeMap(host, `${t("map")}: ${id}`, () => {});
        map.setFences(fences);
        map.setTrail(pieces);
        const end = pieces.at(-1)?.way.at(-1), shown = marks([found]);
        // A way that crosses the 180th meridian goes on beyond it, and so does what is at its end.
        for (const one of shown) if (end) one.at = [nearest(one.at[0], end[0]), one.at[1]];
        map.setMarks(shown);
        map.fit([...pieces.flatMap(( /** @type {any} */ one) => one.way), ...shown.map(one => one.at)]);
        const one = found.properties;
        patch(top, [figures([["measured", time(one.newest_ms)], ["fix_at", time(one.measured_at_ms)], ["place", placeOf(found)], ["inside", one.fences.join(", ") || "—"],
          ["condition", condition(found)], ["signal", signal(found)], ["lots", { text: one.lots.length ? list(all(one.lots, lot => link("lots", lot))) : "—", kind: "" }]])]);
        patch(rest, [el("h2", {}, `${t("temperature")}, °C`), channel(lines, limits, t("temperature"), "°C", warm.seen),
          legend([...(lines.length > 1 ? all(lines, ({ device }, place) => /** @type {import("./chart.js").Sign} */ ([lineOf(place), "line", device])) : [["stroke", "line", "temperature"]]), ["limit", "line", "limit"], ["breach", "dot", "breaches"], ["doubt", "dot", "doubtful"], ["hole", "box", "gap"]]),
          el("details", {}, el("summary", {}, t("temperature_table")), table("temperature", ["measured", "#°C", "state", "device"], all(warm.points, ([at, value, why], place) => [time(at), (value / 1_000).toFixed(2), named(why, "doubt"), warm.devices[warm.device_of[place]]]).slice(-TABLE_MAX).reverse())),
          title("signal"), table("signal", ["device", "state", "when"], all(one.sources, source => [source.channel ? `${source.device} ${channelOf(source.channel)}` : source.device, named(source.state), time(source.at_ms)]))]);
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
  figures([["state", named(found.state, "state")], ["warehouse", found.warehouse], ["holder", found.holder], ["pledgee", found.pledgee || "—"],
    ["controller", found.controller || "—"], ["issued", time(found.issued)], ["until", time(found.until)]]),
  title("goods"), table("goods", ["sku", "place", "#quantity", "#let_out", "#delivered"], all(found.goods, one => [
    one.sku ?? "—", [one.warehouse, one.bin].filter(Boolean).join(" ") || "—", one.quantity_milli == null ? "—" : thousandths(one.quantity_milli), thousandths(one.released_milli), thousandths(one.delivered_milli)])),
  title("acts"), el("ol", { class: "trail" }, ...all(acts, one => {
    const { entry, recorded, event, at, text, ...facts } = one;
    return el("li", {}, el("strong", {}, facts.act ? named(facts.act, "act") : eventOf(event)), ` ${time(at)} · ${t("entry")} ${entry} · `,
      el("span", { class: "quiet" }, Object.entries(facts).filter(([name, value]) => name !== "act" && value !== "").map(([name, value]) => `${factOf(name)} ${valueOf(name, value, facts)}`).join(", ")),
      text && el("details", {}, el("summary", {}, t("act_text")), el("pre", { class: "scroll", tabindex: "0" }, saidIn(text))));
  }))]);
