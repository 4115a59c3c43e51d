// The overview with the map, and receipts.

import { ask, askOr, book, viewer } from "./api.js";
import { legend } from "./chart.js";
import { all, el, link, money, ratio, table, time, title } from "./draw.js";
import { makeMap } from "./map.js";
import { listed } from "./paging.js";
import { patch } from "./patch.js";
import { named } from "./spoken.js";
import { condition, placeOf, signal } from "./standing.js";
import { t, tell } from "./words.js";

const ROWS_MAX = 100, SETTLE_MS = 250;

/** @typedef {{ load: (id: string) => Promise<any>, make: (id: string, again: () => void) => { nodes: Node[], show: (data: any) => void, close?: () => void } }} Page */

/** A page that is drawn as a whole from what was asked. @param {(id: string) => Promise<any>} load @param {(data: any, id: string, again: () => void) => Node[]} draw @returns {Page} */
export const drawn = (load, draw) => ({
  load,
  make(id, again) {
    const host = el("div");
    return { nodes: [host], show: data => patch(host, draw(data, id, again)) };
  },
});

/** @param {any[]} facilities */
const facilitiesTable = facilities => table("facilities", ["facility", "lender", "borrower", ...(viewer.sees_money ? ["#base", "#outstanding", "#headroom", "#ltv"] : []), "#open_alerts"],
  facilities.map(one => {
    const open = Object.values(one.alerts).filter(state => state !== "cleared").length, base = one.base;
    const of = ( /** @type {string} */ name) => base ? money(base[name], one.currency) : "—";
    return [link("facilities", one.id), one.lender, one.borrower,
      ...(viewer.sees_money ? [of("base_minor"), of("outstanding_minor"), { text: of("headroom_minor"), kind: base?.headroom_minor < 0 ? "bad" : "" }, base ? ratio(base.ltv_bp) : "—"] : []),
      { text: open, kind: open ? "bad" : "good" }];
  }));

/** What is looked for among assets: kept while the page is open. */
let wanted = "";

/** @type {Page} */
export const overview = {
  async load() {
    const query = new URLSearchParams({ limit: String(ROWS_MAX), ...(wanted ? { find: wanted } : {}) });
    const [assets, facilities, known, all] = await Promise.all([ask(`assets?${query}`), ask("facilities"), book(), ask("clusters?zoom=0")]);
    return { assets: assets.features, count: assets.count, facilities, fences: known.fences, all: all.features };
  },
  make(_, again) {
    const host = el("div", { class: "map" }), money = el("div"), rows = el("div"), count = el("span", { class: "quiet", role: "status" });
    /** @type {any} */
    let data = null;
    let timer = 0;
    const find = el("input", { id: "find", type: "search", input: () => { wanted = find.value.trim(); clearTimeout(timer); timer = setTimeout(again, SETTLE_MS); } });
    /** @type {ReturnType<typeof makeMap> | undefined} */
    let map;
    /** The corners of all that is on the map. @returns {[number, number][]} */
    const corners = () => data.all.flatMap(( /** @type {any} */ one) => one.bbox ? [one.bbox.slice(0, 2), one.bbox.slice(2)] : [one.geometry.coordinates]);
    const fit = () => map?.fit(corners(), true);

    function list() {
      count.textContent = tell("shown", data.assets.length, data.count);
      patch(rows, [table("assets", ["asset", "measured", "place", "inside", "condition", "signal"], all(data.assets, one => [
        link("assets", one.id), time(one.properties.newest_ms), placeOf(one), one.properties.fences.join(", ") || "—", condition(one), signal(one)]))]);
    }

    return {
      nodes: [el("h1", {}, t("home")), host,
        el("div", { class: "filter" }, el("button", { type: "button", click: fit }, t("fit")),
          legend([["dot-live", "dot", "heard_in_time"], ["dot-dark", "square", "planned_dark"], ["dot-warn", "triangle", "severity_warning"], ["dot-bad", "diamond", "trouble"], ["fence", "box", "fence"]])),
        title("facilities"), money, title("assets"),
        el("div", { class: "filter" }, el("label", { for: "find" }, t("find")), find, count), rows],
      show(now) {
        data = now;
        map ??= makeMap(host, t("map"), id => { location.hash = `#/assets/${encodeURIComponent(id)}`; });
        map.follow((bbox, zoom) => ask(`clusters?${new URLSearchParams({ bbox, zoom: String(zoom) })}`));
        map.setFences(data.fences);
        map.fit(corners());
        patch(money, [facilitiesTable(data.facilities)]);
        list();
      },
      close: () => { clearTimeout(timer); wanted = ""; map?.close(); },
    };
  },
};

/** Receipts that are seen. */
export const receipts = listed(async after => {
  const found = await askOr(`receipts?${new URLSearchParams({ limit: String(ROWS_MAX), after })}`, { receipts: [], next_after: "" });
  return { items: found.receipts, next: found.next_after };
}, ({ items }) => [el("h1", {}, t("receipts")),
  table("receipts", ["receipt", "state", "warehouse", "holder", "pledgee", "until"], all(items, one => [
    link("receipts", one.id), named(one.state, "state"), one.warehouse, one.holder, one.pledgee || "—", time(one.until)]))]);
