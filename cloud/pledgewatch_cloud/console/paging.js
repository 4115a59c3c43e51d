// A list in pages: what one page has is asked for and drawn, however long the list is, and buttons turn the pages.

import { el } from "./draw.js";
import { patch } from "./patch.js";
import { t } from "./words.js";

/** @typedef {{ items: any, next: string }} Listed a page of a list, and the place where the next one begins */

/**
 * A page of the console that is a list.
 * @template {Listed} Data @param {(after: string, id: string) => Promise<Data>} load @param {(data: Data, again: () => void, anew: () => void, id: string) => Node[]} draw `anew`: from the first page; `id`: of what it is a list, empty for all
 * @param {() => void} [left] when it is left
 * @returns {import("./pages.js").Page}
 */
export function listed(load, draw, left) {
  /** The places that the pages so far began beyond; a list that is opened begins at its beginning. */
  let begun = [""];
  return {
    load: id => load(begun[begun.length - 1], id),
    make(id, again) {
      const host = el("div");
      const turn = ( /** @type {string[]} */ to) => () => { begun = to; again(); };
      const button = ( /** @type {string} */ id, /** @type {string[]} */ to) => el("button", { type: "button", id, click: turn(to) }, t(id));
      return {
        nodes: [host],
        show(data) {
          const many = begun.length;
          patch(host, [...draw(data, again, turn([""]), id), ...(many > 1 || data.next ? [el("div", { class: "filter", role: "group", "aria-label": t("turn") },
            many > 1 && button("page_before", begun.slice(0, -1)), el("span", { role: "status" }, `${t("page")} ${many}`), data.next && button("page_after", [...begun, data.next]))] : [])]);
        },
        close: () => { begun = [""]; left?.(); },
      };
    },
  };
}
