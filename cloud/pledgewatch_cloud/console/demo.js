// The banner of a demo: what has just happened and why, and what one may break. Its stage tells, which the page names in
// a demo alone (docs/DEMO.md); nothing is told there that the journal does not have.

import { el, note, time } from "./draw.js";
import { patch } from "./patch.js";
import { lang, t } from "./words.js";

/** @typedef {{ en: string, zh: string }} Words */
/** @typedef {{ beat: string, head: Words, why: Words, link: string, at_ms: number, event: string }} Told */
/** @typedef {{ told: Told[], of: number, pokes: { name: string, words: Words }[], poked: Words | null, ended: Words | null }} Said */

const EVERY_MS = 1_000;
const stage = document.querySelector("meta[name=stage]")?.getAttribute("content") ?? "";
let written = "";

/** @param {string} path @param {RequestInit} [how] @returns {Promise<any>} */
const asked = async (path, how) => (await fetch(stage + path, { cache: "no-store", ...how })).json();

/** What the stage says, in the language in use. @param {Words | null} words */
const inWords = words => words?.[lang()] ?? "";

/** One beat that was told, with the page that it is about. @param {Told} one */
const line = one => el("li", {}, el("a", { href: one.link }, inWords(one.head)), " ", el("span", { class: "quiet" }, time(one.at_ms)));

/** The buttons that break something, and what was broken last. @param {Said} said */
const buttons = said => el("p", { class: "pokes" }, ...said.pokes.map(one => el("button", {
  type: "button", id: `poke-${one.name}`,
  click: async () => {
    const line = document.getElementById("poked");
    const text = await asked(`/pokes/${one.name}`, { method: "POST" }).then(({ poked }) => inWords(poked), () => t("away"));
    if (line) line.textContent = text;
  },
}, inWords(one.words))));

/** @param {HTMLElement} news @param {HTMLElement} rest @param {Said} said */
function draw(news, rest, said) {
  const last = said.told.at(-1);
  news.parentElement?.setAttribute("aria-label", t("demo"));
  patch(news, [
    el("p", { class: "head" }, last ? el("a", { href: last.link }, inWords(last.head)) : t("demo_begins"), " ", el("span", { class: "quiet" }, `${said.told.length}/${said.of}`)),
    el("p", {}, last ? inWords(last.why) : t("demo_why")), ...(said.ended ? [el("p", { class: "quiet" }, inWords(said.ended))] : [])]);
  const earlier = said.told.slice(0, -1).reverse();
  patch(rest, [
    ...(earlier.length ? [el("details", {}, el("summary", {}, t("demo_before")), el("ol", { reversed: "" }, ...earlier.map(line)))] : []),
    el("div", {}, note("demo_pokes"), buttons(said), el("p", { class: "quiet", role: "status", id: "poked" }, inWords(said.poked)))]);
}

/** Put the banner above the page and follow the stage, where there is one. @param {HTMLElement} before */
export function banner(before) {
  if (!stage) return;
  const news = el("div", { "aria-live": "polite" }), rest = el("div", {});
  before.before(el("section", { id: "demo", "aria-label": t("demo") }, news, rest));
  const follow = async () => {
    try {
      const said = await asked("/told"), now = JSON.stringify([said, document.documentElement.lang]);
      if (now !== written) { written = now; draw(news, rest, said); }
    } catch { /* the demo has ended, and the service with it: the line under the head says so */ }
    setTimeout(() => void follow(), EVERY_MS);
  };
  void follow();
}
