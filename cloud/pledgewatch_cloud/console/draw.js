// What pages are made of: elements, tables, figures, and how moments, amounts and temperatures are written.

import { EXPONENTS } from "./currencies.js";
import { listen } from "./patch.js";
import { lang, t } from "./words.js";

/** @typedef {string | number | Node | null | undefined | false} Part */
/** @typedef {Part | { text: Part | Part[], kind: string }} Cell a part, or one with a class */

const SVG = "http://www.w3.org/2000/svg";

/** Put attributes and parts on an element. @template {Element} E @param {E} made @param {Record<string, any>} attributes @param {Part[]} parts @returns {E} */
function filled(made, attributes, parts) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") listen(made, name, value);
    else if (value !== false && value != null) made.setAttribute(name, String(value));
  }
  made.append(.../** @type {(string | Node)[]} */ (parts.filter(one => one != null && one !== false).map(one => one instanceof Node ? one : String(one))));
  return made;
}

/** An element; an attribute that is a function listens. @template {keyof HTMLElementTagNameMap} Tag @param {Tag} tag @param {Record<string, any>} [attributes] @param {...Part} parts */
export const el = (tag, attributes = {}, ...parts) => filled(document.createElement(tag), attributes, parts);

/** An element of a drawing. @param {string} tag @param {Record<string, any>} [attributes] @param {...Part} parts */
export const svg = (tag, attributes = {}, ...parts) => filled(document.createElementNS(SVG, tag), attributes, parts);

/** A link to a page of the console. @param {string} noun @param {string} id @param {Part} [text] */
export const link = (noun, id, text = id) => el("a", { href: `#/${noun}/${encodeURIComponent(id)}` }, text);

/** A cell's text and class; a link has a text of its own. @param {Cell} cell @returns {{ text: Part | Part[], kind: string }} */
const parted = cell => cell && typeof cell === "object" && !(cell instanceof Node) ? cell : { text: cell, kind: "" };

/** What a row goes by, so that it is the same one when others come and go. @param {Cell} head */
const keyOf = head => {
  const { text } = parted(head);
  return text instanceof Node ? text.textContent : text;
};

/** What is made of each of some. @template T @param {any[]} some @param {(one: any, place: number) => T} make @returns {T[]} */
export const all = (some, make) => some.map(make);

/** Several parts with commas between them. @param {Part[]} parts */
export const list = parts => parts.flatMap((one, place) => place ? [", ", one] : [one]);

/**
 * A table whose first column heads its rows; on a phone each row is a card. Heads are names of words; one that begins with # is of numbers.
 * @param {string} name the word of its caption @param {string[]} heads @param {Cell[][]} rows
 */
export function table(name, heads, rows) {
  if (!rows.length) return note("none");
  const caption = t(name), words = heads.map(one => t(one.replace(/^#/, ""))), kinds = heads.map(one => one.startsWith("#") ? "number" : "");
  const head = el("tr", {}, ...words.map((one, place) => el("th", { scope: "col", class: kinds[place] || null }, one)));
  const body = rows.map(cells => el("tr", { "data-key": keyOf(cells[0]) }, ...cells.map((cell, place) => {
    const { text, kind } = parted(cell);
    const some = Array.isArray(text) ? text : [text];
    const attributes = { class: `${kinds[place]} ${kind}`.trim() || null, "data-head": words[place], scope: place ? null : "row" };
    return el(place ? "td" : "th", attributes, some.length > 1 ? el("span", {}, ...some) : some[0]);
  })));
  const made = el("table", { class: "stacks" }, el("caption", {}, caption), el("thead", {}, head), el("tbody", {}, ...body));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, made);
}

/** Something that is said beside the rest. @param {string} name of a word */
export const note = name => el("p", { class: "quiet" }, t(name));

/** A part of a page begins. @param {string} name of a word */
export const title = name => el("h2", {}, t(name));

/** Figures by the names of their words; of what is false none. @param {([string, Cell] | false)[]} pairs */
export const figures = pairs => el("dl", { class: "figures" }, ...pairs.filter(one => !!one).map(([name, cell]) => {
  const { text, kind } = parted(cell);
  return el("div", {}, el("dt", {}, t(name)), el("dd", { class: kind || null }, ...(Array.isArray(text) ? text : [text])));
}));

/** A moment in UTC, to the minute. @param {number | string | null | undefined} at milliseconds, or ISO 8601 */
export const time = at => at == null || at === "" ? "—" : new Date(at).toISOString().replace("T", " ").slice(0, 16) + "Z";

/**
 * An amount: the decimals of its currency are the cloud's, not the browser's. Of a currency that nobody knows the minor
 * units stand as they are. Written from whole numbers, so no digit is lost on the way.
 * @param {number | null | undefined} minor @param {string} currency
 */
export function money(minor, currency) {
  if (minor == null) return "—";
  const digits = EXPONENTS[currency];
  if (digits === undefined) return [currency, minor].filter(one => one !== "").join(" ");
  const text = String(Math.abs(minor)).padStart(digits + 1, "0"), point = text.length - digits;
  const format = new Intl.NumberFormat(lang(), { style: "currency", currency, currencyDisplay: "code", minimumFractionDigits: digits, maximumFractionDigits: digits });
  return format.format(/** @type {any} */ (`${minor < 0 ? "-" : ""}${text.slice(0, point)}.${text.slice(point) || "0"}`));
}

/** A ratio of hundredths of a percent. @param {number} bp */
export const ratio = bp => bp < 0 ? "—" : (bp / 100).toFixed(2) + " %";

/** Thousandths as a number. @param {number} milli */
export const thousandths = milli => (milli / 1_000).toLocaleString(lang());

/** A name of the API in words. @param {string} name */
export const words = name => name.replaceAll("_", " ");
