// What an alert says, in a sentence: what happened, how much it is, of which lot, receipt and facility, and since when.

import { all, el, link, list, note, time } from "./draw.js";
import { channelOf, joined, measured, sentence, span, when } from "./spoken.js";
import { t } from "./words.js";

/** @typedef {import("./draw.js").Part} Part */

/** What a limit allows. @param {any} one a cause */
function allowed(one) {
  const low = one.low > -1e9 ? measured(one.channel, one.low) : "", high = one.high < 1e9 ? measured(one.channel, one.high) : "";
  return low && high ? `${low} – ${high}` : low ? `≥ ${low}` : `≤ ${high}`;
}

/** What one cause is, in a sentence. @param {any} one @returns {Part[]} */
function causeOf(one) {
  const asset = link("assets", one.asset), lot = one.lot && link("lots", one.lot), receipt = one.receipt && link("receipts", one.receipt);
  const source = [one.device, one.channel && channelOf(one.channel)].filter(Boolean).join(" ");
  const given = {
    asset, lot, receipt, source, fence: one.fence, doubt: one.doubt && t(`doubt_${one.doubt}`).replace(/^doubt /, ""), missing: one.missing, quantity: one.quantity, line: one.line,
    epoch: one.epoch, sequence: one.sequence, limit: one.limit,
    heard: one.heard_ms == null ? t("never") : time(one.heard_ms), long: one.outside_ms == null ? null : span(one.outside_ms),
    channel: one.channel && channelOf(one.channel), value: one.value == null ? null : measured(one.channel, one.value), allowed: one.low == null ? null : allowed(one),
  };
  const over = one.kind === "condition_breached" && one.value == null, replaced = one.kind === "tamper_suspected" && one.sequence == null;
  const name = over ? "told_condition_over" : replaced ? "told_certificate_replaced" : `told_${one.kind}`;
  return joined([sentence(name, given), one.cases?.length ? [`${t("case")} `, ...list(all(one.cases, id => link("cases", id)))] : [],
    [`${when(one.at_ms, one.ended_ms)} (`, link("events", one.event, `${t("event")} ${one.event}`), ")"]]);
}

/** All that an alert says: its causes, newest first, and whose goods they concern. @param {any} one @returns {HTMLElement} */
export function told(one) {
  const some = [...one.told].reverse();
  const nouns = /** @type {const} */ (["facilities", "lots", "receipts"]);
  const concerned = nouns.filter(noun => one[noun].length).map(noun => [`${t(noun)} `, ...list(one[noun].map(( /** @type {string} */ id) => link(noun, id)))]);
  const more = one.causes.length - some.length;
  return el("div", { class: "said" }, ...some.map(cause => el("p", {}, ...causeOf(cause))), more > 0 && some.length ? el("p", { class: "quiet" }, ...sentence("told_more", { many: more })) : null,
    !some.length && note("told_nothing"), concerned.length ? el("p", { class: "quiet" }, ...joined(concerned)) : null);
}
