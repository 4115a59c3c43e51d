// The trail of evidence: what stands behind each amount of a lot, how old the evidence of each lot is, and the pages that
// a name of the trail opens: an event with what said it, a case, a notice, what was quoted.

import { ask, askOr, part, viewer } from "./api.js";
import { all, el, figures, link, list, money, note, ratio, table, thousandths, time, title } from "./draw.js";
import { drawn } from "./pages.js";
import { channelOf, eventOf, factOf, linked, measured, named, referenceOf, sentence, span, spoken, valueOf } from "./spoken.js";
import { condition, signal } from "./standing.js";
import { milestonesOf } from "./timeline.js";
import { t } from "./words.js";

/** @typedef {import("./draw.js").Part} Part @typedef {import("./draw.js").Cell} Cell */

const KINDS = /** @type {Record<string, string>} */ ({ fresh: "good", ageing: "warn", stale: "bad" });
const RANK = ["stale", "ageing", "fresh", "not_asked"];
const bullets = ( /** @type {Part[][]} */ some) => some.length ? el("ul", { class: "grounds" }, ...some.map(one => el("li", {}, ...one))) : "—";

/** The reading that stands for a lot. @param {any} one @returns {Part[]} */
const readingOf = one => one.reading ? sentence("reading_of", { ...one.reading, asset: link("assets", one.asset) }) : one.measured_ms == null ? [`${t("no_evidence")} `, link("assets", one.asset)] : sentence("fix_of", { asset: link("assets", one.asset) });

/** How old evidence is, and against which limits. @param {any} one @returns {Part} */
const ageOf = one => one.age_ms == null ? "—" : span(one.age_ms);
/** @param {any} one */
const limitsOf = one => one.stale_ms == null ? t("age_not_asked") : `${t("fresh")} ≤ ${span(one.fresh_ms)} · ${t("stale")} > ${span(one.stale_ms)}`;
/** What it counts as, in a word. @param {any} one @returns {{ text: string, kind: string }} */
const countsAs = one => ({ text: [one.measured_ms == null && one.stale_ms == null ? t("none") : t(one.counts_as), one.is_dark && one.measured_ms != null ? t("dark_now") : ""].filter(Boolean).join(", "), kind: KINDS[one.counts_as] ?? "" });

/**
 * How old the evidence of each lot is: what is worst comes first. `lines` by lot are what it stands for, where amounts are seen.
 * @param {any[]} some @param {any[]} lines @param {string} currency
 */
export function agesTable(some, lines, currency) {
  const by = new Map(lines.map(one => [one.id, one])), sorted = [...some].sort((a, b) => RANK.indexOf(a.counts_as) - RANK.indexOf(b.counts_as) || (b.age_ms ?? Infinity) - (a.age_ms ?? Infinity) || (a.lot < b.lot ? -1 : 1));
  return table("ages", ["lot", "newest_evidence", "#age", "age_limits", "counts_as", "#quantity", ...(viewer.sees_money ? ["#value", "#eligible"] : [])], sorted.map(one => [
    link("lots", one.lot), { text: [one.measured_ms == null ? "" : `${time(one.measured_ms)} `, ...readingOf(one)], kind: "" }, ageOf(one), limitsOf(one), countsAs(one), one.quantity,
    ...(viewer.sees_money ? [money(by.get(one.lot)?.value_minor, currency), money(by.get(one.lot)?.eligible_minor, currency)] : [])]));
}

/** What a value is made of. @param {any} value @returns {Part[][]} */
function valued({ quantity, price, rates, cost, appraisal, unvalued, unvalued_told: told }) {
  const each = price && money(price.price_minor, price.currency), of = price && (price.is_agreed ? sentence("price_agreed", { sku: price.sku }) : sentence("price_quoted", { series: link("prices", price.series), date: price.date }));
  return [...(price ? [[`${quantity} × ${each}`, price.per > 1 ? ` ${t("for_each")} ${price.per}` : "", " (", ...of, ")"]] : [[String(quantity), ` × ${t("no_price")}`]]),
    ...all(rates, one => [`1 EUR = ${one.rate} `, link("rates", one.currency), ` (${one.date})`]),
    ...(cost ? [sentence("at_most_cost", { cost: money(cost.cost_minor, cost.currency), per: cost.per })] : []),
    ...(appraisal ? [sentence("nolv", { share: ratio(appraisal.nolv_bp), until: time(appraisal.until_ms) })] : []),
    ...all(unvalued, (one, place) => spoken(told[place], linked(one)))];
}

/** Each amount of a lot, and what it rests on. @param {any} amounts */
function amountsTable({ value, ineligible, eligible_minor: eligible, advance, currency }) {
  /** @type {Cell[][]} */
  const rows = [[t("value"), money(value.value_minor, currency), bullets(valued(value))],
    ...all(ineligible, one => [stepOf(one.step), { text: `−${money(one.taken_minor, currency)}`, kind: "bad" }, bullets(all(one.grounds, (ground, place) => spoken(one.told[place], linked(ground))))]),
    [t("eligible"), money(eligible, currency), "—"],
    [t("lent"), money(advance.advance_minor, currency), bullets([sentence("advance_of", { share: ratio(advance.advance_bp), class: t(`class_${advance.in_class}`), policy: advance.policy || t("no_policy") }),
      ...(advance.fences.length ? [[`${t("inside")} ${advance.fences.join(", ")}`]] : [])])]];
  return table("evidence", ["amount_of", "#amount", "rests_on"], rows);
}

/** A step of the waterfall in words. @param {string} step */
export const stepOf = step => t(`step_${step}`).replace(/^step /, "");

/** What is said of how much there is, by whom. @param {any} quantity */
function quantityTable({ lot, counted, receipt, claimed, held, asset, machines }) {
  /** @type {Cell[][]} */
  const rows = [[t("book"), String(lot), t("entered")]];
  if (receipt) for (const one of claimed.length ? claimed : [null]) rows.push([{ text: [`${t("receipt")} `, link("receipts", receipt)], kind: "" }, one ? `${thousandths(one.quantity_milli - one.released_milli)} ${one.unit}` : "—", one ? one.released_milli ? sentence("let_out_many", { many: thousandths(one.released_milli) }).join("") : t("all_claimed") : t("not_electronic")]);
  if (held) rows.push([t("held_by"), String(lot - held.missing), { text: [t(`held_${held.state}`).replace(/^held /, ""), ...(held.missing ? [`, ${held.missing} ${t("lacking")} `, ...list(all(held.cases, id => link("cases", id)))] : []), held.heard_ms == null ? `, ${t("nobody_counted")}` : `, ${t("last_counted")} ${time(held.heard_ms)}`], kind: held.missing || held.state !== "valid" ? "bad" : "good" }]);
  if (counted) rows.push([t("stock_count"), String(counted.quantity), time(counted.at_ms)]);
  for (const one of machines) rows.push([{ text: [`${t("machine")} `, link("assets", asset)], kind: "" }, `${measured(one.channel, one.value)}`, `${channelOf(one.channel)}, ${time(one.measured_ms)}`]);
  return table("how_many", ["says", "#quantity", "rests_on"], rows);
}

export const lot = drawn(async id => {
  const [found, trail] = await Promise.all([ask(`lots/${part(id)}`), ask(`lots/${part(id)}/trail`)]);
  const [facility, place] = await Promise.all([found.said.facility ? askOr(`milestones?facility=${part(found.said.facility)}`, []) : [], found.asset ? askOr(`assets/${part(found.asset)}`, null) : null]);
  return { found, trail, due: facility.filter(( /** @type {any} */ one) => one.lot === id), place };
}, ({ found: { said, asset }, trail, due, place }, id) => {
  const receipt = said.receipt?.id ?? "", currency = trail.amounts?.currency ?? "";
  return [el("h1", {}, `${t("lot")} ${id}`),
    figures([["sku", said.sku], ["quantity", String(said.quantity ?? "—")], ["facility", said.facility ? link("facilities", said.facility) : "—"],
      ["asset", asset ? link("assets", asset) : "—"], ["receipt", receipt ? link("receipts", receipt) : "—"],
      place && ["condition", condition(place)], place && ["signal", signal(place)]]),
    ...(trail.is_shown ? [] : [note("not_pledged_to_you")]),
    ...(trail.amounts ? [title("evidence"), amountsTable(trail.amounts)] : []),
    ...(trail.quantity ? [title("how_many"), quantityTable(trail.quantity)] : []),
    ...(trail.evidence ? [title("ages"), agesTable([trail.evidence], trail.amounts ? [{ id, value_minor: trail.amounts.value.value_minor, eligible_minor: trail.amounts.eligible_minor }] : [], currency)] : []),
    ...(due.length ? [title("milestones"), ...milestonesOf(due, () => currency, trail.as_of_ms)] : [])];
});

const NOUNS = /** @type {Record<string, string>} */ ({ lot: "lots", receipt: "receipts", retracted: "events", case: "cases" });

/** A fact of an event as people read it. @param {string} name @param {any} value @param {any} facts @returns {Cell} */
function contentOf(name, value, facts) {
  if (NOUNS[name]) return { text: list(String(value).split(" ").map(one => link(NOUNS[name], one))), kind: "" };
  if (name.endsWith("_ms") && !/outside|excess|unknown/.test(name)) return time(value);
  if (name.endsWith("_ms") || name === "outside_ms_at_most") return span(value);
  if (["value", "low", "high"].includes(name) && typeof facts.channel === "string") return measured(facts.channel, value);
  if (name === "channel") return channelOf(String(value));
  if (/_(mc|e7)$/.test(name)) return measured(name, value);
  return valueOf(name, value, facts);
}

export const event = drawn(id => ask(`events/${part(id)}`), one => {
  const by = one.said_by, isOfAsset = one.stands !== null || by || one.type === "event_retracted";
  return [el("h1", {}, `${t("event")} ${one.id}`),
    figures([["what", eventOf(one.type)], ["about", isOfAsset ? link("assets", one.subject) : one.subject], ["happened", time(one.at_ms)], ["entry_of", String(one.entry)], ["recorded", time(one.recorded_ms)],
      one.stands !== null && ["stands", one.stands ? { text: t("yes"), kind: "good" } : { text: t("taken_back"), kind: "bad" }],
      one.replaces && ["replaces", link("events", one.replaces)], one.because && ["because", t(one.because)]]),
    title("said_by"), by ? table("said_by", ["device", "asset", "#epoch", "#sequence", "sequences", "measured", "received_at", "entry_of"], [[
      by.device, link("assets", one.subject), by.epoch, by.sequence, `${by.first_sequence}–${by.last_sequence}`, time(by.measured_ms), time(by.received_ms), `${by.entry} (${time(by.recorded_ms)})`]])
      : note("said_by_none"),
    title("facts"), table("facts", ["fact", "content"], Object.entries(one.facts).map(([name, value]) => [factOf(name), contentOf(name, value, one.facts)]))];
});

const LOT_UNITS = ( /** @type {number | null} */ milli) => milli == null ? "—" : thousandths(milli);

export const stockCase = drawn(id => ask(`warehouses/cases/${part(id)}`), one => [el("h1", {}, `${t("case")} ${one.case}`),
  figures([["what", t(`case_${one.kind}`).replace(/^case /, "")], ["state", named(one.state, "case")], ["warehouse", one.warehouse], ["opened", time(one.opened)],
    ["missing", one.of_milli ? `${LOT_UNITS(one.missing_milli)} / ${LOT_UNITS(one.of_milli)}` : "—"], ["count_due", time(one.due)], ["closed", time(one.closed)]]),
  title("rests_on"), table("rests_on", ["sku", "place", "unit", "#claimed", "#in_stock", "#counted", "when"], all(one.keys, key => [
    key.sku ?? "—", key.bin ?? "—", key.unit ?? "—", LOT_UNITS(key.claimed_milli), LOT_UNITS(key.stock_milli), LOT_UNITS(key.counted?.milli ?? null), time(key.counted?.at)])),
  title("lots"), table("lots", ["lot", "#missing"], all(one.lots, each => [link("lots", each.lot), each.missing])),
  el("p", {}, ...(one.receipts.length ? [`${t("receipts")}: `, ...list(all(one.receipts, name => link("receipts", name)))] : []))]);

export const notice = drawn(id => ask(`notices/${part(id)}`), one => [el("h1", {}, `${t("notice")} ${one.key}`),
  figures([["what", named(one.kind || "withdrawal")], ["by_sender", one.sender], ["happened", time(one.happened_ms || null)], ["place", one.place || "—"], ["classifier", named(one.classifier)],
    ["stands", one.fate === "standing" ? { text: t("yes"), kind: "good" } : { text: named(one.fate, "fate"), kind: "bad" }], ["until", time(one.until_ms)]]),
  title("about"), el("ul", {}, ...all(one.references, each => el("li", {}, referenceOf(each)))),
  ...(one.against.length ? [title("taken_back"), el("ul", {}, ...all(one.against, each => el("li", {}, link("notices", each))))] : [])]);

/** What was quoted, the newest first. @param {string} word @param {(one: any) => string} value @returns {(found: any, id: string) => Node[]} */
const quoted = (word, value) => (found, id) => [el("h1", {}, `${t(word)} ${id}`), table(word, ["day", "#quote"], found.quotes.slice().reverse().map(( /** @type {any} */ one) => [one.date, value(one)]))];

export const price = drawn(id => ask(`market/prices/${part(id)}`), quoted("price", one => `${one.currency} ${one.price}${one.per > 1 ? ` ${t("for_each")} ${one.per}` : ""}`));
export const rate = drawn(id => ask(`market/rates/${part(id)}`), quoted("rate", one => one.withdrawn ? t("withdrawn") : `1 EUR = ${one.rate}`));
