// Make what is on the page like what should be, and leave alone what is so already: an element that stays is the same one.
// So whoever has the focus, has opened something, scrolled or written somewhere keeps that, whatever arrives meanwhile.
// Elements are the same by their tag and their `id` or `data-key`, and where they have neither by their order.

/** @type {WeakMap<Element, Record<string, (event: any) => void>>} what listens on an element, by event */
const listeners = new WeakMap();

/** How often anything was changed so far. */
export let changes = 0;

/** Let this listen on an element, and no more what did before. @param {Element} made @param {string} event @param {(event: any) => void} listener */
export function listen(made, event, listener) {
  const own = listeners.get(made) ?? {};
  if (!(event in own)) made.addEventListener(event, happened => listeners.get(made)?.[event]?.(happened));
  listeners.set(made, { ...own, [event]: listener });
}

/** Make the children of a host like these. What had the focus keeps it; where it went, what was around it has it. @param {Element} host @param {Node[]} wanted */
export function patch(host, wanted) {
  const focus = document.activeElement, around = [];
  for (let one = focus; one && host.contains(one); one = one.parentElement) around.push(one);
  fit(host, wanted);
  if (!around.length || document.activeElement === focus) return;
  const heir = around.find(one => one.isConnected && (one === focus || one.hasAttribute("tabindex"))) ?? document.getElementById("main");
  /** @type {HTMLElement | null} */ (heir)?.focus({ preventScroll: true });
}

/** @param {Node} one */
const nameOf = one => one instanceof Element ? `${one.nodeName}#${one.id || one.getAttribute("data-key") || ""}` : one.nodeName;

/** @param {Element} host @param {Node[]} wanted */
function fit(host, wanted) {
  /** @type {Map<string, ChildNode[]>} */
  const there = new Map();
  for (const one of host.childNodes) there.set(nameOf(one), [...there.get(nameOf(one)) ?? [], one]);
  const kept = wanted.map(one => there.get(nameOf(one))?.shift());
  for (const one of [...there.values()].flat()) { one.remove(); changes += 1; }
  wanted.forEach((one, place) => {
    const now = kept[place], next = host.childNodes[place] ?? null;
    if (now) become(now, one);
    if (next === (now ?? one)) return;
    host.insertBefore(now ?? one, next);
    changes += 1;
  });
}

/** @param {ChildNode} now @param {Node} wanted of the same name */
function become(now, wanted) {
  if (!(now instanceof Element && wanted instanceof Element)) {
    if (now.nodeValue !== wanted.nodeValue) { now.nodeValue = wanted.nodeValue; changes += 1; }
    return;
  }
  // What is open is so by who looks.
  for (const name of new Set([...now.getAttributeNames(), ...wanted.getAttributeNames()])) {
    const value = wanted.getAttribute(name);
    if (name === "open" || now.getAttribute(name) === value) continue;
    if (value === null) now.removeAttribute(name); else now.setAttribute(name, value);
    changes += 1;
  }
  const own = listeners.get(wanted);
  for (const event of Object.keys(listeners.get(now) ?? {})) if (!own?.[event]) listen(now, event, () => {});
  for (const [event, listener] of Object.entries(own ?? {})) listen(now, event, listener);
  fit(now, [...wanted.childNodes]);
}
