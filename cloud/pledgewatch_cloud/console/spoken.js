// How values, spans of time and whole sentences are said, in both languages; and names as links to what they name.

import { Refused } from "./api.js";
import { link, ratio, time, words } from "./draw.js";
import { lang, t, WORDS } from "./words.js";
import { ASKED, GROUNDS } from "./words_grounds.js";
import { FACTS, NAMES, REFUSED } from "./words_names.js";

/** @typedef {import("./draw.js").Part} Part */

/** By how a channel's name ends: what its whole numbers are divided by, the decimals shown, the unit. @type {[string, number, number, string][]} */
const UNITS = [["_cpercent", 100, 1, "%"], ["_cdeg", 100, 1, "°"], ["_mmps", 1_000, 1, "m/s"], ["_mlx", 1_000, 0, "lx"], ["_mc", 1_000, 2, "°C"], ["_mv", 1_000, 2, "V"], ["_mg", 1_000, 2, "g"], ["_mm", 1_000, 1, "m"], ["_wh", 1_000, 1, "kWh"], ["_e7", 1e7, 5, "°"], ["_g", 1_000, 1, "kg"], ["_w", 1, 0, "W"]];
const unitOf = ( /** @type {string} */ channel) => UNITS.find(([end]) => channel.endsWith(end)) ?? ["", 1, 0, ""];

const isChinese = () => lang() === "zh";

/** A value of a channel with its unit. @param {string} channel @param {number} value */
export function measured(channel, value) {
  const [, by, decimals, unit] = unitOf(channel);
  return [(value / by).toLocaleString(lang(), { minimumFractionDigits: decimals, maximumFractionDigits: decimals }), unit].filter(Boolean).join(" ");
}

/** What a channel measures, in a word. @param {string} channel */
export function channelOf(channel) {
  const end = unitOf(channel)[0], bare = end ? channel.slice(0, -end.length) : channel, number = /_(\d)$/.exec(bare)?.[1];
  const word = number ? bare.slice(0, -2) : bare;
  return [`channel_${word}` in WORDS ? t(`channel_${word}`) : named(word), number].filter(Boolean).join(" ");
}

/** A number of things. @param {number} many */
export const count = many => many.toLocaleString(lang());

/** What belongs to one sentence, with commas between. @param {string[]} some */
export const enumerated = some => some.join(isChinese() ? "，" : ", ");

/** What is said of something. @param {string} name @param {string} text */
export const about = (name, text) => isChinese() ? `${name}：${text}` : `${name}: ${text}`;

/** A span of time by its two greatest units. @param {number} ms */
export function span(ms) {
  const minutes = Math.max(0, Math.floor(ms / 60_000)), parts = [[Math.floor(minutes / 1_440), "days"], [Math.floor(minutes / 60) % 24, "hours"], [minutes % 60, "minutes"]];
  const first = parts.findIndex(([many]) => many), shown = parts.slice(first < 0 ? 2 : first, (first < 0 ? 2 : first) + 2);
  return shown.filter(([many], place) => many || !place).map(([many, unit]) => `${many} ${t(String(unit))}`).join(" ");
}

/** A sentence with what stands in its places, {so}; a place that nothing is given for stays empty. @param {string} name @param {Record<string, Part>} given @returns {Part[]} */
export const sentence = (name, given) => t(name).split(/\{(\w+)\}/).map((one, place) => place % 2 ? given[one] ?? "—" : one).filter(one => one !== "");

/** Sentences behind each other. @param {Part[][]} some @returns {Part[]} */
export const joined = some => some.filter(one => one.length).flatMap((one, place) => place ? [isChinese() ? "；" : "; ", ...one] : one);

/** Of a ground its words and names, each name a link to what it names. @param {(string | { noun: string, id: string })[]} parts @returns {Part[]} */
export const linked = parts => parts.map(one => typeof one === "string" ? one : link(one.noun, one.id));

/** A name of the API in words. @param {string} name @param {string} [group] of what it is said, where that makes a difference */
export const named = (name, group = "") => isChinese() ? WORDS[`${group}_${name}`]?.[1] ?? NAMES[`${group}_${name}`] ?? NAMES[name] ?? words(name) : words(name);

/** What an event is called: by a name of its own, or by what it is of and what happened to that. @param {string} type */
export function eventOf(type) {
  const [noun, ...rest] = type.split("_"), verb = rest.join("_");
  return isChinese() ? NAMES[type] ?? (NAMES[noun] ?? t(noun)) + (WORDS[type]?.[1] ?? NAMES[verb] ?? t(verb)) : words(type);
}

/** What a fact of an event or of an act is called. @param {string} name @returns {string} */
export function factOf(name) {
  const bare = name.replace(/_(ms|minor|bp|milli|mc|e7)$/, ""), [, of, why] = /^(ineligible|change)_(.*)$/.exec(name) ?? [];
  if (!isChinese()) return words(name);
  if (of === "ineligible") return `${t("taken")}：${t(`step_${why}`)}`;
  return of ? `${t("change")}：${factOf(why)}` : FACTS[name] ?? FACTS[bare] ?? WORDS[bare]?.[1] ?? named(bare);
}

/** A rule of alerts: by what it is about, with its name in the book; the usual rules have the names of what they are about. @param {string} rule @param {string} [kind] of what it has found */
export function ruleOf(rule, kind = rule.replaceAll("-", "_")) {
  if (!isChinese()) return words(rule);
  return `told_${kind}` in WORDS ? eventOf(kind) + (kind === rule.replaceAll("-", "_") ? "" : `（${rule}）`) : rule;
}

/** By place of a sentence or name of a fact: the words that what stands there has elsewhere. @type {Record<string, string>} */
const GROUPS = { state: "held", milestone_state: "milestone", class: "class", doubt: "doubt", severity: "severity", reason: "reason", kind: "case", act: "act", cause: "", cover: "", grade: "", asked_grade: "", paper: "", fate: "", classifier: "", limit: "" };

/** A value of a fact, where it is a name of the API; else as it stands. @param {string} name @param {any} value @param {any} facts what else is said with it */
export function valueOf(name, value, facts) {
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  if (!isChinese() || !text) return text;
  if (name === "state") return named(value, facts.alert ? "alert" : facts.case ? "case" : "state");
  if (name === "retracted_type") return eventOf(value);
  if (name === "rule") return ruleOf(value);
  if (name === "grounds" || name === "references") return value.split(" ").map(referenceOf).join("，");
  return name in GROUPS ? named(text, GROUPS[name]) : text;
}

/** What is named by its kind, as `container:MSKU1234565`. @param {string} one */
export function referenceOf(one) {
  const [kind, ...rest] = one.split(":");
  return isChinese() && rest.length ? `${`proof_${kind}` in WORDS ? t(`proof_${kind}`) : NAMES[kind] ?? factOf(kind)} ${rest.join(":")}` : one;
}

/** Where the book says something, as `lots lot-1.received_at`. @param {string} place */
export const placeInBook = place => isChinese() ? place.replace(/\blots (\S+)\.(\w+)/, (_, lot, name) => `${t("lot")} ${lot} ${factOf(name)}`) : place;

/** Why something was not done, for whoever asked. @param {unknown} error */
export function reasonOf(error) {
  const message = String(/** @type {Error} */ (error).message);
  if (!isChinese()) return message;
  return error instanceof Refused && error.status ? error.status === 404 ? t("unknown") : REFUSED[error.status] ?? REFUSED.other.replace("{status}", String(error.status)) : t("away");
}

/** What stands in a place of a sentence. @param {string} name @param {any} value @returns {Part[]} */
function inPlace(name, value) {
  if (Array.isArray(value)) return value.flatMap((one, place) => place ? [name === "why" || name === "some" ? "；" : "、", ...inPlace(name, one)] : inPlace(name, one));
  if (value?.code) return spoken(value, []);
  if (value?.noun) return [link(value.noun, value.id)];
  if (name.endsWith("_ms")) return [time(value)];
  if (name.endsWith("_bp")) return [ratio(value)];
  if (name.endsWith("_s")) return [span(1_000 * value)];
  if (name === "proofs") return [String(value).replace(/^(\w+)(.*)$/, (_, kind, rest) => t(`proof_${kind}`) + placeInBook(rest))];
  return [name in GROUPS ? named(value, GROUPS[name]) : String(value)];
}

/** A sentence of the API: in English as it gave it, else made anew of its code. @param {any} told @param {Part[]} english @returns {Part[]} */
export const spoken = (told, english) => {
  const text = isChinese() && told && GROUNDS[told.code];
  return text ? text.split(/\{(\w+)\}/).flatMap(( /** @type {string} */ one, /** @type {number} */ place) => place % 2 ? inPlace(one, told.given[one]) : [one]).filter(( /** @type {Part} */ one) => one !== "") : english;
};

/** A fact of a milestone as it is asked for. @param {any} one */
export function asked({ fact, words: english }) {
  if (!isChinese()) return words(english);
  const { fact: kind, ...more } = fact.not ?? fact, value = ( /** @type {string} */ name, /** @type {any} */ it) => name === "at" ? time(it) : inPlace(name, it).join("");
  const parts = Object.entries(more).map(([name, it]) => (ASKED[name] ?? "{it}").replace("{it}", value(name, it)));
  return `${fact.not ? "并非：" : ""}${named(kind)}${parts.length ? `（${parts.join("，")}）` : ""}`;
}

/** From when to when, or since when. @param {number} from @param {number | null} until */
export const when = (from, until) => until == null ? `${t("since_then")} ${time(from)}` : `${time(from)} – ${time(until)}`;
