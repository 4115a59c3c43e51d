// How values, spans of time and whole sentences are said, in both languages; and names as links to what they name.

import { link, ratio, time, words } from "./draw.js";
import { lang, t, WORDS } from "./words.js";
import { ASKED, GROUNDS, NAMES } from "./words_grounds.js";

/** @typedef {import("./draw.js").Part} Part */

/** By how a channel's name ends: what its whole numbers are divided by, the decimals shown, the unit. @type {[string, number, number, string][]} */
const UNITS = [["_cpercent", 100, 1, "%"], ["_cdeg", 100, 1, "°"], ["_mmps", 1_000, 1, "m/s"], ["_mlx", 1_000, 0, "lx"], ["_mc", 1_000, 2, "°C"], ["_mv", 1_000, 2, "V"], ["_mg", 1_000, 2, "g"], ["_mm", 1_000, 1, "m"], ["_wh", 1_000, 1, "kWh"], ["_e7", 1e7, 5, "°"], ["_g", 1_000, 1, "kg"], ["_w", 1, 0, "W"]];
const unitOf = ( /** @type {string} */ channel) => UNITS.find(([end]) => channel.endsWith(end)) ?? ["", 1, 0, ""];

/** A value of a channel with its unit. @param {string} channel @param {number} value */
export function measured(channel, value) {
  const [, by, decimals, unit] = unitOf(channel);
  return [(value / by).toLocaleString(lang(), { minimumFractionDigits: decimals, maximumFractionDigits: decimals }), unit].filter(Boolean).join(" ");
}

/** What a channel measures, in a word. @param {string} channel */
export function channelOf(channel) {
  const end = unitOf(channel)[0], bare = end ? channel.slice(0, -end.length) : channel, number = /_(\d)$/.exec(bare)?.[1];
  return [t(`channel_${number ? bare.slice(0, -2) : bare}`), number].filter(Boolean).join(" ").replace(/^channel /, "");
}

/** A number of things. @param {number} many */
export const count = many => many.toLocaleString(lang());

/** What belongs to one sentence, with commas between. @param {string[]} some */
export const enumerated = some => some.join(lang() === "zh" ? "，" : ", ");

/** What is said of something. @param {string} name @param {string} text */
export const about = (name, text) => lang() === "zh" ? `${name}：${text}` : `${name}: ${text}`;

/** A span of time by its two greatest units. @param {number} ms */
export function span(ms) {
  const minutes = Math.max(0, Math.floor(ms / 60_000)), parts = [[Math.floor(minutes / 1_440), "days"], [Math.floor(minutes / 60) % 24, "hours"], [minutes % 60, "minutes"]];
  const first = parts.findIndex(([many]) => many), shown = parts.slice(first < 0 ? 2 : first, (first < 0 ? 2 : first) + 2);
  return shown.filter(([many], place) => many || !place).map(([many, unit]) => `${many} ${t(String(unit))}`).join(" ");
}

/** A sentence with what stands in its places, {so}; a place that nothing is given for stays empty. @param {string} name @param {Record<string, Part>} given @returns {Part[]} */
export const sentence = (name, given) => t(name).split(/\{(\w+)\}/).map((one, place) => place % 2 ? given[one] ?? "—" : one).filter(one => one !== "");

/** Sentences behind each other. @param {Part[][]} some @returns {Part[]} */
export const joined = some => some.filter(one => one.length).flatMap((one, place) => place ? [lang() === "zh" ? "；" : "; ", ...one] : one);

/** Of a ground its words and names, each name a link to what it names. @param {(string | { noun: string, id: string })[]} parts @returns {Part[]} */
export const linked = parts => parts.map(one => typeof one === "string" ? one : link(one.noun, one.id));

/** A name of the API in words. @param {string} name */
export const named = name => lang() === "zh" ? NAMES[name] ?? words(name) : words(name);

/** @type {Record<string, string>} by place of a sentence: the words that what stands there has elsewhere */
const GROUPS = { state: "held", milestone_state: "milestone", class: "class" };

/** What stands in a place of a sentence. @param {string} name @param {any} value @returns {Part[]} */
function inPlace(name, value) {
  if (Array.isArray(value)) return value.flatMap((one, place) => place ? [name === "why" || name === "some" ? "；" : "、", ...inPlace(name, one)] : inPlace(name, one));
  if (value?.code) return spoken(value, []);
  if (value?.noun) return [link(value.noun, value.id)];
  if (name.endsWith("_ms")) return [time(value)];
  if (name.endsWith("_bp")) return [ratio(value)];
  if (name.endsWith("_s")) return [span(1_000 * value)];
  if (name in GROUPS) return [`${GROUPS[name]}_${value}` in WORDS ? t(`${GROUPS[name]}_${value}`) : named(value)];
  if (name === "proofs") return [String(value).replace(/^\w+/, one => t(`proof_${one}`))];
  return [["cause", "grade", "asked_grade", "paper", "kind", "fate", "classifier", "limit"].includes(name) ? named(value) : String(value)];
}

/** A sentence of the API: in English as it gave it, else made anew of its code. @param {any} told @param {Part[]} english @returns {Part[]} */
export const spoken = (told, english) => {
  const text = lang() === "zh" && told && GROUNDS[told.code];
  return text ? text.split(/\{(\w+)\}/).flatMap(( /** @type {string} */ one, /** @type {number} */ place) => place % 2 ? inPlace(one, told.given[one]) : [one]).filter(( /** @type {Part} */ one) => one !== "") : english;
};

/** A fact of a milestone as it is asked for. @param {any} one */
export function asked({ fact, words: english }) {
  if (lang() !== "zh") return words(english);
  const { fact: kind, ...more } = fact.not ?? fact, value = ( /** @type {string} */ name, /** @type {any} */ it) => name === "grade" ? named(it) : name === "at" ? time(it) : name === "ltv_bp" ? ratio(it) : name.endsWith("_s") ? span(1_000 * it) : String(it);
  const parts = Object.entries(more).map(([name, it]) => (ASKED[name] ?? "{it}").replace("{it}", value(name, it)));
  return `${fact.not ? "并非：" : ""}${named(kind)}${parts.length ? `（${parts.join("，")}）` : ""}`;
}

/** From when to when, or since when. @param {number} from @param {number | null} until */
export const when = (from, until) => until == null ? `${t("since_then")} ${time(from)}` : `${time(from)} – ${time(until)}`;
