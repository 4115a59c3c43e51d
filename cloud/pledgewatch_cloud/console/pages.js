// Pages that are lists: the overview with the map, alerts, devices, milestones and what each waits for.

import { ask, askOr, book, part, tell, viewer } from "./api.js";
import { legend } from "./chart.js";
import { el, figures, link, list, money, ratio, table, time, words } from "./draw.js";
import { makeMap } from "./map.js";
import { condition, placeOf, signal, spots } from "./standing.js";
import { t } from "./words.js";

const ROWS_MAX = 100;

/** @typedef {{ load: (id: string) => Promise<any>, make: (id: string, again: () => void) => { nodes: Node[], show: (data: any) => void, close?: () => void } }} Page */

/** A page that is drawn anew with each change. @param {(id: string) => Promise<any>} load @param {(data: any, id: string, again: () => void) => Node[]} draw @returns {Page} */
export const drawn = (load, draw) => ({
  load,
  make(id, again) {
    const host = el("div");
    return { nodes: [host], show: data => host.replaceChildren(...draw(data, id, again)) };
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

/** @type {Page} */
export const overview = {
  async load() {
    const [assets, facilities, known] = await Promise.all([ask("assets"), ask("facilities"), book()]);
    return { assets: assets.features, facilities, fences: known.fences };
  },
  make() {
    const host = el("div", { class: "map" }), money = el("div"), rows = el("div"), count = el("span", { class: "quiet", role: "status" });
    /** @type {any} */
    let data = null;
    let fences = "";
    const find = /** @type {HTMLInputElement} */ (el("input", { id: "find", type: "search", input: () => list() }));
    /** @type {ReturnType<typeof makeMap> | undefined} */
    let map;
    const fit = () => map?.fit(data.assets.filter(( /** @type {any} */ one) => one.geometry).map(( /** @type {any} */ one) => one.geometry.coordinates), true);

    function list() {
      const wanted = find.value.toLowerCase();
      const found = data.assets.filter(( /** @type {any} */ one) => one.id.toLowerCase().includes(wanted));
      count.textContent = `${Math.min(found.length, ROWS_MAX)} ${t("of")} ${found.length} ${t("shown")}`;
      rows.replaceChildren(table(t("assets"), [t("asset"), t("measured"), t("place"), t("inside"), t("condition"), t("signal")], found.slice(0, ROWS_MAX).map(( /** @type {any} */ one) => [
        link("assets", one.id), time(one.properties.measured_at_ms), placeOf(one), one.properties.fences.join(", ") || "—", condition(one), signal(one)])));
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
        const shown = spots(data.assets);
        map.setSpots(shown);
        const written = JSON.stringify(data.fences);
        if (written !== fences) map.setFences(data.fences);
        fences = written;
        map.fit(shown.map(one => one.at));
        money.replaceChildren(facilitiesTable(data.facilities));
        list();
      },
      close: () => map?.close(),
    };
  },
};

let isWithCleared = false;

export const alerts = drawn(() => ask("alerts"), (data, _, again) => {
  const shown = data.filter(( /** @type {any} */ one) => isWithCleared || one.state !== "cleared");
  const asksName = viewer.role === "keeper" && viewer.may_write;
  const name = /** @type {HTMLInputElement} */ (el("input", { id: "by", maxlength: 200, autocomplete: "name", change: () => localStorage.setItem("by", name.value) }));
  name.value = localStorage.getItem("by") ?? (viewer.user || "keeper");
  const said = el("p", { role: "alert" });
  const take = async ( /** @type {string} */ id) => {
    try {
      await tell(`alerts/${part(id)}/acknowledgement`, { by: name.value || viewer.user || "keeper" });
      again();
    } catch (error) { said.textContent = String(/** @type {Error} */ (error).message); }
  };
  const box = el("input", { type: "checkbox", id: "cleared", change: () => { isWithCleared = !isWithCleared; again(); } });
  /** @type {HTMLInputElement} */ (box).checked = isWithCleared;
  return [el("h1", {}, t("alerts")),
    el("div", { class: "filter" }, el("label", {}, box, " ", t("with_cleared")), ...(asksName ? [el("label", { for: "by" }, t("by_whom")), name] : [])), said,
    table(t("alerts"), [t("alert"), t("rule"), t("severity"), t("state"), t("since"), t("assets"), t("who")], shown.map(( /** @type {any} */ one) => [
      one.id, words(one.rule), { text: one.severity, kind: one.severity === "critical" ? "bad" : one.severity === "warning" ? "warn" : "" },
      { text: one.state, kind: one.state === "cleared" ? "good" : one.state === "open" || one.state === "escalated" ? "bad" : "" }, time(one.since_ms),
      { text: one.assets.length ? list(one.assets.map(( /** @type {string} */ id) => link("assets", id))) : "—", kind: "" },
      one.acknowledged_by || (viewer.may_write && ["open", "escalated"].includes(one.state)
        ? el("button", { type: "button", id: `take-${one.id}`, "aria-label": `${t("acknowledge")} ${one.id}`, click: () => void take(one.id) }, t("acknowledge")) : "—")]))];
});

export const devices = drawn(() => ask("devices"), data => [el("h1", {}, t("devices")),
  table(t("devices"), [t("device"), t("asset"), t("operator"), t("online"), `#${t("epoch")}`, `#${t("committed")}`, `#${t("signed")}`, t("missing"), `#${t("suspicions")}`, `#${t("waiting")}`, t("version")],
    data.flatMap(( /** @type {any} */ one) => (one.epochs.length ? one.epochs : [null]).map(( /** @type {any} */ epoch) => [
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
export const receipts = drawn(() => askOr("receipts?limit=1000", { receipts: [] }), data => [el("h1", {}, t("receipts")),
  table(t("receipts"), [t("receipt"), t("state"), t("warehouse"), t("holder"), t("pledgee"), t("until")], data.receipts.map(( /** @type {any} */ one) => [
    link("receipts", one.id), words(one.state), one.warehouse, one.holder, one.pledgee || "—", time(one.until)]))]);
