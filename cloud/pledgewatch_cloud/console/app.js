// The shell: which page an address names, who asks, in which language and light, and what is drawn again when.

import { Refused, guard, keepKey, key, leave, loginAt, meet, viewer, watch } from "./api.js";
import { banner } from "./demo.js";
import { el, note, time } from "./draw.js";
import { event, lot, notice, price, rate, stockCase } from "./evidence.js";
import { facility } from "./facility.js";
import { alerts } from "./inbox.js";
import { devices } from "./fleet.js";
import { overview, receipts } from "./pages.js";
import { changes } from "./patch.js";
import { reasonOf } from "./spoken.js";
import { asset, receipt } from "./things.js";
import { milestone, milestones } from "./timeline.js";
import { lang, speak, t } from "./words.js";

/** @type {Record<string, import("./pages.js").Page>} by noun; with an s where a list is meant, and / where one is */
const PAGES = {
  "": overview, assets: overview, facilities: overview, lots: overview, alerts, devices, milestones, receipts,
  "assets/": asset, "facilities/": facility, "lots/": lot, "receipts/": receipt, "milestones/": milestone,
  "alerts/": alerts, "events/": event, "cases/": stockCase, "notices/": notice, "prices/": price, "rates/": rate,
};
const NAV = ["", "alerts", "milestones", "receipts", "devices"];

const by = ( /** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const main = by("main"), status = by("status");

/** `asks`: 1 while it is asked for anew, 2 where that is to be done once more. @type {ReturnType<import("./pages.js").Page["make"]> & { load: () => Promise<any>, asks: number } | null} */
let open = null;
let turn = 0, way = "connecting", isLost = false;

/** Which page and which thing the address names. @returns {[string, string]} */
function address() {
  const [noun = "", ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  let id = rest.join("/");
  try { id = decodeURIComponent(id); } catch { /* what is not encoded stands as it is */ }
  return [noun, id];
}

/** What a page is called. @param {string} noun @param {string} id */
const titled = (noun, id) => [t((id ? noun.replace(/ies$/, "y").replace(/s$/, "") : noun) || "home"), id].filter(Boolean).join(" ");

/** Of the page that the address names its name, and this. @param {Node} one */
const named = one => main.replaceChildren(el("h1", {}, titled(...address())), one);

/** @param {string} text */
function say(text) { if (status.textContent !== text) status.textContent = text; }

function shell() {
  const [noun] = address();
  by("skip").textContent = t("skip");
  by("nav").setAttribute("aria-label", t("pages"));
  by("nav").replaceChildren(...NAV.map(one => el("a", { href: `#/${one}`, "aria-current": one === noun ? "page" : null }, t(one || "home"))));
  const isDark = document.documentElement.dataset.theme === "dark";
  const who = viewer.role ? viewer.user ? [...new Set([viewer.user, viewer.party, t(viewer.role)])].filter(Boolean).join(" · ") : t("nobody") : "";
  by("tools").replaceChildren(el("span", { class: "quiet", id: "who" }, who),
    ...(key() || guard() ? [el("button", { type: "button", id: "leave", click: () => void leave().then(to => to ? location.assign(to) : location.reload(), failed) }, t(key() ? "leave" : "log_out"))] : []),
    el("button", { type: "button", id: "lang", lang: lang() === "zh" ? "en" : "zh-Hans", click: () => { speak(lang() === "zh" ? "en" : "zh"); void go("lang"); } }, t("language")),
    el("button", { type: "button", id: "theme", click: () => { localStorage.setItem("theme", isDark ? "light" : "dark"); paintAgain(); shell(); by("theme").focus(); } }, t(isDark ? "light" : "dark")),
    el("button", { type: "button", id: "print", click: () => print() }, t("print")));
}

/** @param {string} theme */
const paint = theme => { document.documentElement.dataset.theme = theme; };

/** A way to the login provider. @param {string} word */
const loginLink = word => el("p", {}, el("a", { class: "button", id: "login", href: loginAt() }, t(word)));

/** Why nobody was logged in, and a way to try again. @param {string} reason @param {boolean} isIn */
function notIn(reason, isIn) {
  document.title = `${t("login")} · pledgewatch`;
  main.replaceChildren(el("h1", {}, t("login")), el("p", { role: "alert" }, t(`login_${reason}`)), ...(isIn ? [] : [loginLink("login_again")]));
}

/** Ask for a key until one is known, or for a login where there are any. @param {boolean} isLogin */
function askKey(isLogin) {
  if (document.querySelector("dialog")) return;
  const input = el("input", { id: "key", type: "password", autocomplete: "off", required: true, spellcheck: "false" });
  const said = el("p", { role: "alert", class: "bad" }, key() ? t("key_bad") : "");
  const box = el("dialog", { "aria-labelledby": isLogin ? "login-head" : "key-head" }, el("form", {
    submit: ( /** @type {Event} */ event) => { event.preventDefault(); keepKey(input.value.trim()); box.remove(); void go(""); },
  }, ...(isLogin ? [el("h2", { id: "login-head" }, t("login")), el("p", {}, t("login_why")), loginLink("login")] : []),
  el("h2", { id: "key-head" }, t("key")), el("p", {}, t("key_why")), said, el("label", { for: "key" }, t("key")), input, el("button", {}, t("key_go"))));
  const show = () => { box.showModal(); (box.querySelector("a") ?? input).focus(); };
  box.addEventListener("close", show); // Escape answers nothing, and a browser lets no page refuse it twice
  document.body.append(box);
  show();
}

/** Leave what is open. */
function left() {
  open?.close?.();
  open = null;
  isLost = false;
}

/** @param {unknown} error */
function failed(error) {
  if (error instanceof Refused && error.status) {
    if (error.status === 401) { left(); shell(); named(note("locked")); askKey(!!error.login); told(); }
    else if (open) { isLost = true; say(reasonOf(error)); }
    else if (error.status === 403 && error.login) { shell(); notIn("stranger", true); }
    else named(el("p", { role: "alert" }, error.status === 404 ? t("unknown") : reasonOf(error)));
    return;
  }
  isLost = true;
  const isAway = error instanceof Refused, why = t(isAway ? "away" : "fault");
  if (!isAway) reportError(error);
  say(lang() === "zh" ? why : `${why}: ${reasonOf(error)}`);
}

/** Open the page that the address names. @param {string} focus the id of what has the focus then; empty: the page */
async function go(focus) {
  const mine = ++turn, [noun, id] = address();
  left();
  main.ariaBusy = "true";
  try {
    if (noun === "refused") { shell(); notIn(["state", "provider", "stranger", "away"].includes(id) ? id : "provider", false); return; }
    const page = PAGES[id ? `${noun}/` : noun];
    named(note("loading")); // what was open is of another address
    document.title = `${titled(noun, id)} · pledgewatch`;
    shell();
    await meet();
    if (mine !== turn) return;
    shell();
    if (!page) { named(el("p", { role: "alert" }, t("unknown"))); return; }
    const data = await page.load(id);
    if (mine !== turn) return;
    const made = page.make(id, () => void refresh(true));
    main.replaceChildren(...made.nodes);
    made.show(data);
    open = { load: () => page.load(id), asks: 0, ...made };
    told();
    if (focus) document.getElementById(focus)?.focus();
    else main.focus({ preventScroll: true });
    if (!focus) scrollTo(0, 0);
  } catch (error) { if (mine === turn) failed(error); }
  finally { if (mine === turn) main.ariaBusy = "false"; }
}

function told() { say(document.querySelector("dialog") ? t("locked") : way === "connecting" ? t("connecting") : `${t(way)} · ${t("as_of_now")} ${time(Date.now())}`); }

/** Ask again, never twice at once, and change of the page what is another now. @param {boolean} isNews not merely due */
async function refresh(isNews) {
  const now = open;
  if (!now) { if (isLost) await go(""); return; }
  if (now.asks) { if (isNews) now.asks = 2; return; }
  do {
    now.asks = 1;
    try {
      const data = await now.load(), before = changes;
      if (now !== open) return;
      now.show(data);
      if (changes !== before || isLost) { isLost = false; told(); }
    } catch (error) { if (now === open) failed(error); }
  } while (now.asks > 1 && now === open);
  now.asks = 0;
}

const wished = matchMedia("(prefers-color-scheme: dark)"), paper = matchMedia("print");
/** Light or dark, as was chosen or is wished for; paper is light. */
const paintAgain = () => paint(paper.matches ? "light" : localStorage.getItem("theme") ?? (wished.matches ? "dark" : "light"));
paintAgain();
paper.addEventListener("change", paintAgain);
wished.addEventListener("change", () => { paintAgain(); shell(); });
speak(lang());
by("skip").addEventListener("click", event => { event.preventDefault(); main.focus(); });
addEventListener("hashchange", () => void go(""));
shell();
banner(status);
say(t("connecting"));
document.addEventListener("DOMContentLoaded", () => void go("").then(() => watch(refresh, now => {
  if (now === way) return;
  way = now;
  if (now !== "away") told();
})));
