// Asking the API: with the key that is kept for this tab, or by the session of who has logged in; again where something changed.

/** An answer that is none. */
export class Refused extends Error {
  /** @param {number} status @param {string} detail @param {string} [login] where one can log in, if one can */
  constructor(status, detail, login = "") { super(detail); this.status = status; this.login = login; }
}

const EVERY_MS = 5_000, GATHER_MS = 400, ATTENDED_MS = 60_000, PATIENCE_MS = 60_000;

/** The key that is shown, if there is one: of this tab only, never in an address. */
export const key = () => sessionStorage.getItem("key") ?? "";
/** Keep a key for this tab; an empty one is forgotten. @param {string} value */
export const keepKey = value => { if (value) sessionStorage.setItem("key", value); else sessionStorage.removeItem("key"); };

/** What a session's writes say, if there is one: only a page of this origin can read it, and it opens nothing by itself. */
export const guard = () => /(?:^|; )(?:__Host-)?pledgewatch-guard=([0-9a-f]{64})/.exec(document.cookie)?.[1] ?? "";

// What a page asks by itself, while nobody has touched it for a while, keeps no session going.
let touchedAt = Date.now();
for (const one of ["pointerdown", "keydown", "wheel", "hashchange"]) addEventListener(one, () => { touchedAt = Date.now(); }, { passive: true });

/** @returns {Record<string, string>} */
function shown() {
  if (key()) return { authorization: `Bearer ${key()}` };
  return guard() ? { "x-csrf-token": guard(), ...(Date.now() - touchedAt > ATTENDED_MS ? { "x-unattended": "1" } : {}) } : {};
}

/** An answer that is one. `no-cache`: a browser that has an answer with a tag asks whether it still holds. @param {string} path @param {RequestInit} how */
async function answered(path, how) {
  const answer = await fetch(path, { cache: "no-cache", signal: AbortSignal.timeout(PATIENCE_MS), ...how, headers: { ...shown(), ...how.headers } });
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, said.detail ?? answer.statusText, said.login);
}

/** What a path answers. @param {string} path @param {RequestInit} [how] @returns {Promise<any>} */
export async function ask(path, how = {}) {
  const answer = await answered(path, how);
  return answer.status === 204 ? null : answer.json();
}

const PAGE_MAX = 100;

/** A page of a list: what lies beyond a place, and the place to go on from, empty at the end. @param {string} noun @param {string} after @param {Record<string, string>} [filters] @returns {Promise<{ items: any, next: string }>} */
export async function askPage(noun, after, filters = {}) {
  const answer = await answered(`${noun}?${new URLSearchParams({ limit: String(PAGE_MAX), after, ...filters })}`, {});
  const next = /<([^>]*)>; rel="next"/.exec(answer.headers.get("link") ?? "")?.[1];
  return { items: await answer.json(), next: next ? new URL(next, location.href).searchParams.get("after") ?? "" : "" };
}

/** What a path answers, or this where it is not there or not for who asks. @template T @param {string} path @param {T} otherwise */
export const askOr = (path, otherwise) => ask(path).catch(error => {
  if (error instanceof Refused && [403, 404, 422].includes(error.status)) return otherwise;
  throw error;
});

/** Say something. @param {string} path @param {any} body */
export const tell = (path, body) => ask(path, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } });

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

/**
 * Call `changed` where something may have: by the stream `/live` where there is one, as news, and every 5 s, for a
 * reading in order is no event. Not while nobody looks.
 * @param {(isNews: boolean) => Promise<void>} changed @param {(by: "live" | "polled" | "away") => void} told
 */
export async function watch(changed, told) {
  let last = "", isThere = true;
  setInterval(() => { if (!document.hidden) void changed(false); }, EVERY_MS);
  for (;;) {
    const isPolled = !isThere || await stream().catch(() => true);
    told(isPolled ? "polled" : "away");
    await wait(isPolled ? EVERY_MS : 1_000);
  }

  /** Follow the stream until it ends; whether there is none. EventSource shows no key, so this reads it itself. */
  async function stream() {
    const answer = await fetch("live", { headers: { ...shown(), accept: "text/event-stream", ...(last ? { "last-event-id": last } : {}) } });
    if (!answer.ok || !answer.body || !answer.headers.get("content-type")?.startsWith("text/event-stream")) {
      isThere = answer.status !== 404;
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
export let viewer = { user: "", party: "", role: "", sees_money: true, may_write: false };

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
