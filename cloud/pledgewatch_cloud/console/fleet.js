// The fleet's health: when each device was last heard, whether it is missed, its battery, how far it is signed, its gaps.

import { askPage } from "./api.js";
import { all, el, link, table, time } from "./draw.js";
import { listed } from "./paging.js";
import { about, channelOf, count, enumerated, measured } from "./spoken.js";
import { lang, t } from "./words.js";

/** How a device is heard: the worst of it and of its sensors, with since or until when. @param {any[]} sources */
export function hearing(sources) {
  for (const [state, kind] of [["silent", "bad"], ["overdue", "warn"], ["expected_dark", "quiet"]]) {
    const some = sources.filter(one => one.state === state), own = some.find(one => !one.channel) ?? some[0];
    if (own) return { text: `${own.channel ? `${channelOf(own.channel)} ` : ""}${t(state)} ${time(own.at_ms)}`, kind };
  }
  return sources.length ? { text: t("heard_in_time"), kind: "good" } : { text: t("never_heard"), kind: "warn" };
}

/** When a device was heard last, and how it is heard. @param {any} one */
function heard({ heard_ms: at, sources }) {
  const { text, kind } = hearing(sources);
  return { text: enumerated([time(at), text]), kind };
}

/** Something of each epoch; of several with its number. @param {any[]} epochs @param {(epoch: any) => string} say */
function ofEach(epochs, say) {
  const some = epochs.map(one => [`${t("epoch")} ${one.epoch}`, say(one)]).filter(([, text]) => text);
  return some.map(([epoch, text]) => epochs.length > 1 ? about(epoch, text) : text).join(lang() === "zh" ? "；" : "; ");
}

/** What is missing of a device: exactly which sequences, or how many behind the last that came. @param {any} one */
export function missing({ epochs, completeness }) {
  const { lost_at_least: lost, spooled, unsure } = completeness;
  const spans = ofEach(epochs, epoch => enumerated(all(epoch.missing, gap => [...new Set(gap)].map(count).join("–"))));
  if (spans) return { text: spans, kind: "bad" };
  if (lost) return { text: `${t("lost_count")} ${count(lost)}`, kind: "bad" };
  if (!epochs.length) return { text: "—", kind: "" };
  return unsure ? { text: t("no_gap_seen"), kind: "" } : { text: t("no_gap"), kind: spooled ? "" : "good" };
}

/** Whether all that a device has measured is here, or where it is; what is not known is no good news. @param {any} one */
export function complete({ received, expected, thinned, lost_at_least: lost, refused, unsure, spooled }) {
  const said = [`${t("received")} ${count(received)} / ${count(expected)}`, `${t("thinned_count")} ${count(thinned)}`];
  if (lost || !unsure) said.push(`${t(unsure ? "lost_at_least" : "lost_count")} ${count(lost)}`);
  if (refused) said.push(`${t("refused_count")} ${count(refused)}`);
  if (spooled) said.push(`${t("still_spooled")} ${count(spooled)}`);
  if (unsure) said.push(t(`unsure_${unsure}`));
  return { text: enumerated(said), kind: lost ? "bad" : unsure || spooled ? "warn" : "good" };
}

/** Of what was committed, how much is signed. @param {any[]} epochs */
export function signed(epochs) {
  const isUnsigned = epochs.some(one => !one.signed && one.received);
  return { text: ofEach(epochs, one => `${count(one.signed)} / ${count(one.contiguous)}`) || "—", kind: isUnsigned ? "warn" : "" };
}

/** What a device says of itself. @param {any} said */
const ofItself = said => said ? { text: enumerated([t(said.online ? "connected" : "not_connected"), `${count(said.spooled)} ${t("waiting")}`, said.agent_version]), kind: said.online ? "" : "warn" } : { text: t("said_nothing"), kind: "quiet" };

/** How many suspicions there are. @param {any[]} epochs */
function suspected(epochs) {
  const many = epochs.reduce((sum, one) => sum + one.suspicions, 0);
  return { text: epochs.length ? count(many) : "—", kind: many ? "warn" : "" };
}

/** A row for each device. @param {any[]} some */
export const fleetTable = some => table("devices",
  ["device", "asset", "operator", "last_heard", "battery", "missing", "completeness", "#signed_of", "#suspicions", "of_itself", "#epoch"],
  some.map(one => [
    one.device, link("assets", one.asset), one.operator, heard(one), one.battery_mv == null ? "—" : measured("battery_mv", one.battery_mv),
    missing(one), complete(one.completeness), signed(one.epochs), suspected(one.epochs), ofItself(one.said), enumerated(all(one.epochs, epoch => String(epoch.epoch))) || "—"]));

/** In how many devices something is so. @param {any[]} some */
export function counts(some) {
  const kinds = some.map(one => hearing(one.sources).kind), gaps = some.filter(one => missing(one).kind === "bad").length;
  const of = ( /** @type {string[]} */ ...wanted) => kinds.filter(one => wanted.includes(one)).length;
  const told = [about(t("heard_in_time"), count(of("good"))), about(t("missed"), count(of("bad", "warn"))), about(t("planned_dark"), count(of("quiet"))), about(t("with_gaps"), count(gaps))];
  return el("p", {}, told.join(" · "));
}

export const devices = listed(after => askPage("devices", after, { battery: "true" }), ({ items }) => [el("h1", {}, t("devices")), counts(items), fleetTable(items)]);
