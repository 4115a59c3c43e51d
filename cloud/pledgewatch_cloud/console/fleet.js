// The fleet's health: when each device was last heard, whether it is missed, its battery, how far it is signed, its gaps.

import { askPage } from "./api.js";
import { el, link, table, time } from "./draw.js";
import { listed } from "./paging.js";
import { channelOf, measured } from "./spoken.js";
import { t } from "./words.js";

/** How a device is heard: the worst of it and of its sensors, with since or until when. @param {any[]} sources */
export function hearing(sources) {
  for (const [state, kind] of [["silent", "bad"], ["overdue", "warn"], ["expected_dark", "quiet"]]) {
    const some = sources.filter(one => one.state === state), own = some.find(one => !one.channel) ?? some[0];
    if (own) return { text: `${own.channel ? `${channelOf(own.channel)} ` : ""}${t(state)} ${time(own.at_ms)}`, kind };
  }
  return sources.length ? { text: t("heard_in_time"), kind: "good" } : { text: t("never_heard"), kind: "warn" };
}

/** What is missing of an epoch: exactly which sequences. @param {any} epoch */
export function missing(epoch) {
  if (!epoch) return { text: "—", kind: "" };
  const spans = epoch.missing.map(( /** @type {number[]} */ gap) => gap[0] === gap[1] ? String(gap[0]) : gap.join("–"));
  return spans.length ? { text: spans.join(", "), kind: "bad" } : { text: t("no_gap"), kind: "good" };
}

/** Whether all that a device has measured is here, or where it is. @param {any} one */
export function complete({ received, expected, thinned, lost, spooled }) {
  const said = [`${t("received")} ${received} / ${expected}`, `${t("thinned_count")} ${thinned}`, `${t("lost_count")} ${lost ?? "?"}`, ...(spooled ? [`${t("still_spooled")} ${spooled}`] : [])];
  return { text: said.join(", "), kind: lost ? "bad" : lost == null || spooled ? "warn" : "good" };
}

/** Of what was committed, how much is signed. @param {any} epoch */
export function signed(epoch) {
  if (!epoch) return { text: "—", kind: "" };
  return { text: `${epoch.signed} / ${epoch.contiguous}`, kind: epoch.signed || !epoch.received ? "" : "warn" };
}

/** What a device says of itself. @param {any} said */
const ofItself = said => said ? { text: `${t(said.online ? "connected" : "not_connected")}, ${said.spooled} ${t("waiting")}, ${said.agent_version}`, kind: said.online ? "" : "warn" } : { text: t("said_nothing"), kind: "quiet" };

/** A row for each epoch of each device. @param {any[]} some */
export const fleetTable = some => table(t("devices"),
  [t("device"), t("asset"), t("operator"), t("last_heard"), t("hearing"), t("battery"), t("missing"), t("completeness"), `#${t("signed_of")}`, `#${t("suspicions")}`, t("of_itself"), `#${t("epoch")}`],
  some.flatMap(one => (one.epochs.length ? one.epochs : [null]).map(( /** @type {any} */ epoch) => [
    one.device, link("assets", one.asset), one.operator, time(one.heard_ms), hearing(one.sources), one.battery_mv == null ? "—" : measured("battery_mv", one.battery_mv),
    missing(epoch), complete(one.completeness), signed(epoch), { text: epoch?.suspicions ?? "—", kind: epoch?.suspicions ? "warn" : "" }, ofItself(one.said), epoch?.epoch ?? "—"])));

/** In how many devices something is so. @param {any[]} some */
function counts(some) {
  const kinds = some.map(one => hearing(one.sources).kind), gaps = some.filter(one => one.epochs.some(( /** @type {any} */ epoch) => epoch.missing.length)).length;
  const of = ( /** @type {string[]} */ ...wanted) => kinds.filter(one => wanted.includes(one)).length;
  return el("p", {}, `${t("heard_in_time")}: ${of("good")} · ${t("missed")}: ${of("bad", "warn")} · ${t("planned_dark")}: ${of("quiet")} · ${t("with_gaps")}: ${gaps}`);
}

export const devices = listed(after => askPage("devices", after, { battery: "true" }), ({ items }) => [el("h1", {}, t("devices")), counts(items), fleetTable(items)]);
