// The page of the API's operations: a table for each noun, out of openapi.json, whose own words are English.

import { el } from "./draw.js";
import { lang, speak, t } from "./words.js";

const [about, host] = ["about", "operations"].map(id => /** @type {HTMLElement} */ (document.getElementById(id)));
document.documentElement.dataset.theme = localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
speak(lang());

/** @param {any} one an operation */
const parameters = one => (one.parameters ?? []).map(( /** @type {any} */ each) => each.name + (each.in === "query" && !each.required ? " " + t("optional") : "")).join(", ");

async function show() {
  const answer = await fetch("openapi.json");
  if (!answer.ok) throw new Error("openapi.json: " + answer.status);
  const said = await answer.json(), /** @type {Map<string, Node[]>} */ nouns = new Map();
  for (const [path, ways] of Object.entries(said.paths))
    for (const [method, one] of Object.entries(/** @type {Record<string, any>} */ (ways))) {
      const noun = (one.tags || ["service"])[0], rows = nouns.get(noun) ?? [];
      rows.push(el("tr", {}, el("td", {}, el("code", {}, `${method.toUpperCase()} ${path}`)), el("td", { lang: "en" }, one.description || one.summary), el("td", {}, parameters(one))));
      nouns.set(noun, rows);
    }
  for (const [noun, rows] of [...nouns].sort((a, b) => a[0] < b[0] ? -1 : 1)) {
    const heads = ["request", "does", "parameters"].map(name => el("th", { scope: "col" }, t(name)));
    host.append(el("h2", { lang: "en" }, noun), el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": noun }, el("table", {}, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows))));
  }
  about.replaceChildren(`${t("version")} ${said.info.version}: `, el("a", { href: "openapi.json" }, "openapi.json"));
}
show().catch(error => { about.textContent = t("away") + ": " + error.message; });
