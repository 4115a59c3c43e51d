// The page of the API's operations: a table for each noun, out of openapi.json.

import { el } from "./draw.js";

const about = /** @type {HTMLElement} */ (document.getElementById("about")), host = /** @type {HTMLElement} */ (document.getElementById("operations"));
document.documentElement.dataset.theme = localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

/** @param {any} one an operation */
const parameters = one => (one.parameters ?? []).map(( /** @type {any} */ each) => each.name + (each.in === "query" && !each.required ? " (optional)" : "")).join(", ");

async function show() {
  const answer = await fetch("openapi.json");
  if (!answer.ok) throw new Error("openapi.json: " + answer.status);
  const said = await answer.json(), /** @type {Map<string, Node[]>} */ nouns = new Map();
  for (const [path, ways] of Object.entries(said.paths))
    for (const [method, one] of Object.entries(/** @type {Record<string, any>} */ (ways))) {
      const noun = (one.tags || ["service"])[0], rows = nouns.get(noun) ?? [];
      rows.push(el("tr", {}, el("td", {}, el("code", {}, `${method.toUpperCase()} ${path}`)), el("td", {}, one.description || one.summary), el("td", {}, parameters(one))));
      nouns.set(noun, rows);
    }
  for (const [noun, rows] of [...nouns].sort((a, b) => a[0] < b[0] ? -1 : 1)) {
    const heads = ["Request", "What it does", "Parameters"].map(text => el("th", { scope: "col" }, text));
    host.append(el("h2", {}, noun), el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": noun }, el("table", {}, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows))));
  }
  about.replaceChildren(`Version ${said.info.version}. Shapes of requests and answers: `, el("a", { href: "openapi.json" }, "openapi.json"));
}
show().catch(error => { about.textContent = "the service does not answer: " + error.message; });
