// Pages that are lists: the overview with the map, devices, milestones and what each waits for.

import { ask, askOr, askPage, book, part, viewer } from "./api.js";
import { legend } from "./chart.js";
import { el, figures, link, money, ratio, table, time, words } from "./draw.js";
import { makeMap } from "./map.js";
import { listed } from "./paging.js";
import { patch } from "./patch.js";
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
const facilitiesTable = facilities => table(t("facilities"), [t("facility"), t("lender"), t("borrower"), ...(viewer.sees_money ? [`#${t("base")}`, `#${t("outstanding")}`, `#${t("headroom")}`, `#${t("ltv")}`] : []), `#${t("open_alerts")}`],
  facilities.map(one => {
    const open = Object.values(one.alerts).filter(state => state !== "cleared").length, base = one.base;
    return [link("facilities", one.id), one.lender, one.borrower,
      ...(viewer.sees_money ? [base ? money(base.base_minor, one.currency) : "—", base ? money(base.outstanding_minor, one.currency) : "—",
        { text: base ? money(base.headroom_minor, one.currency) : "—", kind: base?.headroom_minor < 0 ? "bad" : "" }, base ? ratio(base.ltv_bp) : "—"] : []),
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
    const find = /** @type {HTMLInputElement} */ (el("input", { id: "find", type: "search", input: () => { wanted = find.value.trim(); clearTimeout(timer); timer = setTimeout(again, SETTLE_MS); } }));
    /** @type {ReturnType<typeof makeMap> | undefined} */
    let map;
    /** The corners of all that is on the map. @returns {[number, number][]} */
    const corners = () => data.all.flatMap(( /** @type {any} */ one) => one.bbox ? [one.bbox.slice(0, 2), one.bbox.slice(2)] : [one.geometry.coordinates]);
    const fit = () => map?.fit(corners(), true);

    function list() {
      count.textContent = tell("shown", data.assets.length, data.count);
      patch(rows, [table(t("assets"), [t("asset"), t("measured"), t("place"), t("inside"), t("condition"), t("signal")], data.assets.map(( /** @type {any} */ one) => [
        link("assets", one.id), time(one.properties.measured_at_ms), placeOf(one), one.properties.fences.join(", ") || "—", condition(one), signal(one)]))]);
    }

    return {
      nodes: [el("h1", {}, t("home")), host,
        el("div", { class: "filter" }, el("button", { type: "button", click: fit }, t("fit")),
          legend([["dot-live", "dot", t("live_signal")], ["dot-dark", "dot", t("planned_dark")], ["dot-bad", "dot", t("trouble")], ["fence", "box", t("fence")]])),
        el("h2", {}, t("facilities")), money, el("h2", {}, t("assets")),
        el("div", { class: "filter" }, el("label", { for: "find" }, t("find")), find, count), rows],
      show(now) {
        data = now;
        map ??= makeMap(host, t("map"), id => { location.hash = `#/assets/${encodeURIComponent(id)}`; });
        map.follow(( /** @type {string} */ bbox, /** @type {number} */ zoom) => ask(`clusters?${new URLSearchParams({ bbox, zoom: String(zoom) })}`));
        map.setFences(data.fences);
        map.fit(corners());
        patch(money, [facilitiesTable(data.facilities)]);
        list();
      },
      close: () => { clearTimeout(timer); wanted = ""; map?.close(); },
    };
  },
};

export const devices = listed(after => askPage("devices", after), ({ items }) => [el("h1", {}, t("devices")),
  table(t("devices"), [t("device"), t("asset"), t("operator"), t("online"), `#${t("epoch")}`, `#${t("committed")}`, `#${t("signed")}`, t("missing"), `#${t("suspicions")}`, `#${t("waiting")}`, t("version")],
    items.flatMap(( /** @type {any} */ one) => (one.epochs.length ? one.epochs : [null]).map(( /** @type {any} */ epoch) => [
      one.device, link("assets", one.asset), one.operator,
      one.said ? { text: t(one.said.online ? "yes" : "no"), kind: one.said.online ? "good" : "warn" } : { text: t("unheard"), kind: "quiet" },
      epoch?.epoch ?? "—", epoch?.contiguous ?? "—", epoch?.signed ?? "—",
      !epoch ? "—" : epoch.missing.length ? { text: epoch.missing.map(( /** @type {number[]} */ gap) => gap.join("–")).join(", "), kind: "bad" } : { text: t("no_gap"), kind: "good" },
      { text: epoch?.suspicions ?? "—", kind: epoch?.suspicions ? "warn" : "" }, one.said?.spooled ?? "—", one.said?.agent_version ?? "—"])))]);

/** @param {string} state */
export const kindOf = state => ({ released: "good", met: "good", in_question: "bad", held: "warn", retracted: "bad" })[state] ?? "";

/** @param {any[]} some @param {(one: any) => string} currency */
export const milestonesTable = (some, currency) => table(t("milestones"), [t("milestone"), t("facility"), t("lot"), t("payee"), ...(viewer.sees_money ? [`#${t("amount")}`] : []), t("state"), t("met"), t("released")],
  some.map(one => [link("milestones", one.id), link("facilities", one.facility), one.lot ? link("lots", one.lot) : one.shipment || "—", one.payee,
    ...(viewer.sees_money ? [one.amount_minor > 0 ? money(one.amount_minor, currency(one)) : "—"] : []), { text: words(one.state), kind: kindOf(one.state) }, time(one.met_ms), time(one.released_ms)]));

export const milestones = drawn(() => Promise.all([ask("milestones"), ask("facilities")]), ([some, facilities]) => {
  const currencies = new Map(facilities.map(( /** @type {any} */ one) => [one.id, one.currency]));
  return [el("h1", {}, t("milestones")), milestonesTable(some, one => String(currencies.get(one.facility) ?? ""))];
});

export const milestone = drawn(id => ask(`milestones/${part(id)}`), one => [el("h1", {}, `${t("milestone")} ${one.id}`),
  figures([[t("state"), { text: words(one.state), kind: kindOf(one.state) }], ...(viewer.sees_money ? [/** @type {[string, any]} */ ([t("amount"), money(one.amount_minor < 0 ? null : one.amount_minor, one.currency)])] : []),
    [t("facility"), link("facilities", one.facility)], [t("lot"), one.lot ? link("lots", one.lot) : "—"], [t("met"), time(one.met_ms)], [t("released"), time(one.released_ms)]]),
  table(t("facts"), [t("fact"), t("state"), t("since"), t("proofs"), t("if_lost")], one.facts.map(( /** @type {any} */ fact) => [
    words(fact.words), fact.holds ? { text: t("holds"), kind: "good" } : { text: t(fact.may_hold ? "may_hold" : "lacks"), kind: fact.may_hold ? "warn" : "bad" }, time(fact.since_ms),
    fact.proofs.length ? el("ul", { class: "grounds" }, ...fact.proofs.map(( /** @type {any} */ proof) => el("li", {}, Object.entries(proof).filter(([, value]) => value !== "" && value != null).map(([name, value]) => `${words(name)} ${name.endsWith("_ms") ? time(value) : JSON.stringify(value)}`).join(", ")))) : fact.missing || "—", fact.if_lost || "—"]))]);

/** Receipts that are seen. */
export const receipts = listed(async after => {
  const found = await askOr(`receipts?${new URLSearchParams({ limit: String(ROWS_MAX), after })}`, { receipts: [], next_after: "" });
  return { items: found.receipts, next: found.next_after };
}, ({ items }) => [el("h1", {}, t("receipts")),
  table(t("receipts"), [t("receipt"), t("state"), t("warehouse"), t("holder"), t("pledgee"), t("until")], items.map(( /** @type {any} */ one) => [
    link("receipts", one.id), words(one.state), one.warehouse, one.holder, one.pledgee || "—", time(one.until)]))]);
