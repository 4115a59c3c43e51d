// Asking the API: with the key that is kept for this tab, or by the session of who has logged in; again where something changed.

/** An answer that is none; status 0: nothing answered. */
export class Refused extends Error {
  /** @param {number} status @param {string} detail @param {string} [login] where one can log in, if one can */
  constructor(status, detail, login = "") { super(detail); this.status = status; this.login = login; }
}

const EVERY_MS = 5_000, GATHER_MS = 400, ATTENDED_MS = 60_000, PATIENCE_MS = 60_000;
/** Of the six connections to a host that a browser has for all its pages. */
const STREAMS_MAX = 4;

/** The key that is shown, if there is one: of this tab only, never in an address. */
export const key = () => sessionStorage.getItem("key") ?? "";
/** Keep a key for this tab; an empty one is forgotten. @param {string} value */
export const keepKey = value => { if (value) sessionStorage.setItem("key", value); else sessionStorage.removeItem("key"); };

/** What a session's writes say, if there is one: only a page of this origin can read it, and it opens nothing by itself. */
export const guard = () => /(?:^|; )(?:__Host-)?pledgewatch-guard=([0-9a-f]{64})/.exec(document.cookie)?.[1] ?? "";

/** @type {typeof viewer} */
const NOBODY = { user: "", party: "", role: "", sees_money: true, may_write: false };

// What a page asks by itself, while nobody has touched it for a while, keeps no session going.
let touchedAt = Date.now();
for (const one of ["pointerdown", "keydown", "wheel", "hashchange"]) addEventListener(one, () => { touchedAt = Date.now(); }, { passive: true });

/** @returns {Record<string, string>} */
function shown() {
  if (key()) return { authorization: `Bearer ${key()}` };
  return guard() ? { "x-csrf-token": guard(), ...(Date.now() - touchedAt > ATTENDED_MS ? { "x-unattended": "1" } : {}) } : {};
}

/** What comes of asking; what is lost on the way is no fault of ours. @template T @param {Promise<T>} one @returns {Promise<T>} */
const heard = one => one.catch(error => { throw new Refused(0, error.message); });

/** An answer that is one. `no-cache`: a browser that has an answer with a tag asks whether it still holds. @param {string} path @param {RequestInit} how */
async function answered(path, how) {
  const answer = await heard(fetch(path, { cache: "no-cache", signal: AbortSignal.timeout(PATIENCE_MS), ...how, headers: { ...shown(), ...how.headers } }));
  if (answer.ok) return answer;
  if (answer.status === 401) viewer = NOBODY;
  const said = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, said.detail ?? answer.statusText, said.login);
}

/** What a path answers. @param {string} path @param {RequestInit} [how] @returns {Promise<any>} */
export async function ask(path, how = {}) {
  const answer = await answered(path, how);
  return answer.status === 204 ? null : heard(answer.json());
}

const PAGE_MAX = 100;

/** A page of a list: what lies beyond a place, and the place to go on from, empty at the end. @param {string} noun @param {string} after @param {Record<string, string>} [filters] @returns {Promise<{ items: any, next: string }>} */
export async function askPage(noun, after, filters = {}) {
  const answer = await answered(`${noun}?${new URLSearchParams({ limit: String(PAGE_MAX), after, ...filters })}`, {});
  const next = /<([^>]*)>; rel="next"/.exec(answer.headers.get("link") ?? "")?.[1];
  return { items: await heard(answer.json()), next: next ? new URL(next, location.href).searchParams.get("after") ?? "" : "" };
}

/** What a path answers, or this where it is not there or not for who asks. @template T @param {string} path @param {T} otherwise */
export const askOr = (path, otherwise) => ask(path).catch(error => {
  if (error instanceof Refused && [403, 404, 422].includes(error.status)) return otherwise;
  throw error;
});

/** What is said and not known to be heard, by path and body: said again it has the same key, and counts once. @type {Map<string, { key: string, answer: Promise<any> | null }>} */
const acts = new Map();

/** Say something. @param {string} path @param {any} body */
export function tell(path, body) {
  const text = JSON.stringify(body), name = path + text, act = acts.get(name) ?? { key: `"${Math.random()}"`, answer: null };
  acts.set(name, act);
  return act.answer ??= ask(path, { method: "POST", body: text, headers: { "content-type": "application/json", "idempotency-key": act.key } })
    .then(said => { acts.delete(name); return said; }).finally(() => { act.answer = null; });
}

/** Where to log in, and come back to the page that is open. */
export const loginAt = () => `login?next=${encodeURIComponent(location.hash.startsWith("#/refused/") ? "#/" : location.hash)}`;

/** Forget the key, or end the session; the provider's page where the login is ended there, too, if it has one. @returns {Promise<string>} */
export async function leave() {
  if (!key()) return (await answered("login/end", { method: "POST" })).headers.get("location") ?? "";
  keepKey("");
  return "";
}

/** A name as a part of a path; what the API's own names are parted by stays. @param {string} id */
export const part = id => encodeURIComponent(id).replaceAll("%2F", "/");

/** @param {number} ms */
const wait = ms => new Promise(done => setTimeout(done, ms));

/** Follow a stream, if this browser has no more already; whether it has. A page that is not secure has no locks to count them by. @param {() => Promise<boolean>} stream @param {number} place @returns {Promise<boolean>} */
const inPlace = async (stream, place) => !navigator.locks ? stream() : place > STREAMS_MAX || navigator.locks.request(`live ${place}`, { ifAvailable: true }, lock => lock ? stream() : inPlace(stream, place + 1));

/**
 * Call `changed` where something may have: by the stream `/live` where there is one, as news, and every 5 s, for a
 * reading in order is no event. Not while nobody looks: then there is no stream, and it goes on from where it was.
 * @param {(isNews: boolean) => Promise<void>} changed @param {(by: "live" | "polled" | "away") => void} told
 */
export async function watch(changed, told) {
  let last = "", isThere = true, gone = new AbortController();
  document.addEventListener("visibilitychange", () => { if (document.hidden) gone.abort(); else void changed(false); });
  setInterval(() => { if (!document.hidden) void changed(false); }, EVERY_MS);
  for (;;) {
    gone = new AbortController();
    const isPolled = !isThere || !viewer.role || document.hidden || await inPlace(stream, 1).catch(() => true);
    if (!document.hidden) told(isPolled ? "polled" : "away");
    await wait(isPolled && !document.hidden ? EVERY_MS : 1_000);
  }

  /** Follow the stream until it ends; whether there is none. EventSource shows no key, so this reads it itself. */
  async function stream() {
    const answer = await fetch("live", { signal: gone.signal, headers: { ...shown(), accept: "text/event-stream", ...(last ? { "last-event-id": last } : {}) } });
    if (!answer.ok || !answer.body || !answer.headers.get("content-type")?.startsWith("text/event-stream")) {
      isThere = answer.status !== 404;
      if (answer.status === 409) last = ""; // of another journal
      await answer.body?.cancel();
      return true;
    }
    told("live");
    return await read(answer.body);
  }

  /** Read a stream to its end. @param {ReadableStream<BufferSource>} body */
  async function read(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "", pending = 0;
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return false;
      const lines = (rest + value).split(/\r\n|\n|\r/);
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line.startsWith("id:")) last = line.slice(3).trim();
        if (line.startsWith("data:") && !pending) pending = setTimeout(() => { pending = 0; void changed(true); }, GATHER_MS);
      }
    }
  }
}

/** @type {{ user: string, party: string, role: string, sees_money: boolean, may_write: boolean }} who asks, as the service knows them */
export let viewer = NOBODY;

/** Ask who asks. */
export async function meet() { viewer = await ask("viewer"); return viewer; }

/** @type {{ at: number, key: string, book: Promise<any> } | undefined} */
let kept;

/** The book as far as it is seen; asked again after a minute. @returns {Promise<any>} */
export function book() {
  const by = key() || guard();
  if (!kept || Date.now() - kept.at > 60_000 || kept.key !== by) {
    const found = ask("book");
    kept = { at: Date.now(), key: by, book: found };
    found.catch(() => { kept = undefined; });
  }
  return kept.book;
}
