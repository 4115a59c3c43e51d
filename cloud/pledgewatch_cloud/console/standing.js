// How an asset stands, in words and in one of three states.

import { all, time } from "./draw.js";
import { channelOf } from "./spoken.js";
import { t } from "./words.js";

/** The worst of an asset's conditions. @param {any} asset a feature of the API @returns {{ text: string, kind: string }} */
export function condition(asset) {
  const limits = asset.properties.conditions, some = ( /** @type {string} */ state) => limits.filter(( /** @type {any} */ one) => one.state === state);
  const named = ( /** @type {any[]} */ ones, /** @type {string} */ word) => `${[...new Set(ones.map(one => channelOf(one.limit)))].join(", ")} ${t(word)}`;
  if (!limits.length) return { text: "—", kind: "quiet" };
  if (some("breached").length) return { text: named(some("breached"), "breached"), kind: "bad" };
  if (some("unknown").length) return { text: named(some("unknown"), "not_known"), kind: "warn" };
  return limits.some(( /** @type {any} */ one) => one.breaches) ? { text: t("was_breached"), kind: "bad" } : { text: t("kept"), kind: "good" };
}

/** The worst of an asset's sources. @param {any} asset @returns {{ text: string, kind: string }} */
export function signal(asset) {
  for (const [state, kind] of [["silent", "bad"], ["overdue", "warn"], ["expected_dark", "quiet"]]) {
    const some = asset.properties.sources.filter(( /** @type {any} */ one) => one.state === state);
    if (some.length) {
      const names = all(some, one => one.channel ? `${one.device} ${channelOf(one.channel)}` : one.device).join(", ");
      return { text: `${names} ${t(state)} ${time(some[0].at_ms)}`, kind };
    }
  }
  return { text: asset.properties.sources.length ? t("heard_in_time") : "—", kind: asset.properties.sources.length ? "good" : "quiet" };
}

/** The state that an asset's mark has. @param {any} asset @returns {"live" | "bad" | "dark"} */
export function stateOf(asset) {
  const heard = signal(asset).kind;
  if (condition(asset).kind === "bad" || heard === "bad") return "bad";
  return heard === "quiet" ? "dark" : "live";
}

/** Assets that have a place, each as its own mark. @param {any[]} features @returns {import("./map.js").Mark[]} */
export const marks = features => features.filter(one => one.geometry).map(one => ({ id: one.id, at: one.geometry.coordinates, state: stateOf(one), count: 1 }));

/** Longitude and latitude as people read them. @param {any} asset */
export const placeOf = asset => asset.geometry ? asset.geometry.coordinates.map(( /** @type {number} */ one) => one.toFixed(4)).reverse().join(", ") : t("no_fix");
