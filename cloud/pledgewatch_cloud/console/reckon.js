// What the pages reckon: ways, gaps, steps, moments, marks. Values come in and values go out, without words, colours or
// elements, so that tables of cases can say what each of these is (tests/test_console_reckoning.py).

const HOUR_MS = 3_600_000, MINUTE_MS = 60_000;
/** Two fixes that are no further apart are one sight. */
const SIGHT_MS = 30 * MINUTE_MS;
/** A silence that nobody planned is one beyond this. */
const SILENT_MS = 6 * HOUR_MS;

/** @typedef {[number, number, string]} Point moment, value, quality */
/** @typedef {{ from: number, until: number }} Span @typedef {{ device: string, points: Point[], most_ms?: number }} Line what a device has said */
/** @typedef {[number, number][]} Seen in which stretches what is drawn is theirs who look */
/** @type {Seen} */
const ALWAYS = [[-Infinity, Infinity]];
/** @typedef {"seen" | "dark" | "gap"} Kind */

/**
 * What became of the time between two fixes, in parts that follow each other. Over a leg that was planned dark it is
 * dark; the rest is a gap where it is longer than six hours without a plan, and counts as seen else. What a leg has of
 * it for half an hour at most is no darkness.
 * @param {number} from @param {number} until @param {Span[]} legs on which no signal is expected @returns {{ until: number, kind: Kind }[]}
 */
export function between(from, until, legs) {
  /** @type {{ until: number, kind: Kind }[]} */
  const parts = [];
  let now = from;
  const open = ( /** @type {number} */ to) => { if (to > now) parts.push({ until: to, kind: to - now > SILENT_MS ? "gap" : "seen" }); now = Math.max(now, to); };
  const within = legs.map(leg => ({ from: Math.max(leg.from, from), until: Math.min(leg.until, until) })).filter(leg => leg.until - leg.from > SIGHT_MS);
  for (const leg of within.sort((a, b) => a.from - b.from)) {
    open(leg.from);
    if (leg.until > now) parts.push({ until: leg.until, kind: "dark" });
    now = Math.max(now, leg.until);
  }
  open(until);
  return parts;
}

/** Whether it was another's between two moments, so that nothing joins them. @param {Seen} seen @param {number} from @param {number} until */
const isApart = (seen, from, until) => !seen.some(([since, end]) => since <= from && until < end);

/**
 * The way of an asset in pieces: as seen, over legs that were planned dark, or where it was silent; over a time in which
 * it was another's there is none. Over the 180th meridian it goes on beyond.
 * @param {Point[]} latitudes in 1e-7 degrees @param {Point[]} longitudes @param {Span[]} legs on which no signal is expected @param {Seen} seen
 */
export function trail(latitudes, longitudes, legs, seen = ALWAYS) {
  const norths = new Map(latitudes.filter(one => one[2] === "good").map(one => [one[0], one[1] / 1e7]));
  /** @type {{ way: [number, number][], kind: Kind }[]} */
  const pieces = [];
  /** @type {{ at: number, east: number, north: number } | null} */
  let last = null, isNew = true;
  for (const [at, value, quality] of longitudes) {
    const north = norths.get(at);
    if (north === undefined || quality !== "good") continue;
    /** @type {number} */
    const east = last ? nearest(value / 1e7, last.east) : value / 1e7;
    if (last && isApart(seen, last.at, at)) { last = null; isNew = true; }
    for (const { until, kind } of last ? between(last.at, at, legs) : []) {
      const begin = /** @type {{ at: number, east: number, north: number }} */ (last), share = (until - begin.at) / (at - begin.at);
      /** @type {[number, number]} */
      const place = [begin.east + share * (east - begin.east), begin.north + share * (north - begin.north)];
      const piece = isNew ? undefined : pieces[pieces.length - 1];
      isNew = false;
      if (piece?.kind === kind) piece.way.push(place);
      else pieces.push({ way: [piece?.way[piece.way.length - 1] ?? [begin.east, begin.north], place], kind });
    }
    last = { at, east, north };
  }
  return pieces;
}

/** The copy of a longitude that is nearest to another. @param {number} east @param {number} to */
export const nearest = (east, to) => east + 360 * Math.round((to - east) / 360);

/** How far the copies of the world that are drawn lie aside: a map that is about the 180th meridian shows two of them. */
export const TURNS = [-360, 0, 360];

/** @typedef {"good" | "bad" | "quiet" | "link"} Fill @typedef {"bad" | "warn" | "ground"} Rim @typedef {"circle" | "square" | "triangle" | "diamond"} Shape */

/**
 * How a mark looks, in names of colours. Rim and shape are of the worst that it stands for; several assets are one larger mark.
 * @param {{ state: "live" | "bad" | "dark", count: number, severity?: string | null }} mark @returns {{ fill: Fill, rim: Rim, shape: Shape, rim_px: number, radius_px: number }}
 */
export function look(mark) {
  const many = mark.count > 1, isBad = mark.state === "bad" || mark.severity === "critical";
  const fills = /** @type {const} */ ({ live: "good", bad: "bad", dark: "quiet" });
  return { fill: many ? "link" : fills[mark.state], rim: isBad ? "bad" : mark.severity ? "warn" : "ground", shape: isBad ? "diamond" : mark.severity ? "triangle" : mark.state === "dark" ? "square" : "circle", rim_px: isBad || mark.severity ? 3 : 2, radius_px: many ? 11 + 3 * Math.log10(mark.count) : 6 };
}

/** @type {Record<string, number[]>} the corners of shapes, across and down, in radii */
const CORNERS = { square: [-1, -1, 1, -1, 1, 1, -1, 1], triangle: [0, -1.4, 1.5, 1, -1.5, 1], diamond: [0, -1.4, 1.4, 0, 0, 1.4, -1.4, 0] };

/** The outline of a shape about a place, as a path; what has no corners is a circle. @param {string} shape @param {number} x @param {number} y @param {number} r */
export const outline = (shape, x, y, r) => shape in CORNERS ? `M${CORNERS[shape].map((one, place) => r * one + (place % 2 ? y : x))}z` : `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`;

/** @typedef {{ word: string, of: string, from: number, to: number, kind: "sum" | "loss" | "owed" }} Step a word of the console, or of the API's name */

/** The steps from the gross value to the base, as docs/BORROWING_BASE.md has them. @param {any} base @returns {Step[]} */
export function steps(base) {
  /** @type {Step[]} */
  const found = [{ word: "gross", of: "", from: 0, to: base.gross_minor, kind: "sum" }];
  let at = base.gross_minor;
  const down = ( /** @type {string} */ word, /** @type {string} */ of, /** @type {number} */ by) => {
    if (by) found.push({ word, of, from: at, to: at - by, kind: "loss" });
    at -= by;
  };
  for (const [of, by] of Object.entries(base.ineligible)) down("", of, Number(by));
  found.push({ word: "eligible", of: "", from: 0, to: base.eligible_minor, kind: "sum" });
  at = base.eligible_minor;
  down("not_advanced", "", at - Object.values(base.advance).reduce((sum, one) => sum + one, 0));
  for (const [of, by] of Object.entries(base.held_back)) down("", of, Number(by));
  for (const [of, by] of Object.entries(base.reserves)) down("reserve", of, Number(by));
  found.push({ word: "base", of: "", from: 0, to: base.base_minor, kind: "sum" }, { word: "outstanding", of: "", from: 0, to: base.outstanding_minor, kind: "owed" });
  return found;
}

/** How long a source may be quiet at most by its installation; a day where that says nothing. @param {any[]} sources of an asset @param {string} device @param {string} channel */
export function patience(sources, device, channel) {
  const waits = sources.filter(one => one.device === device && [null, channel].includes(one.channel)).map(one => one.silent_after_s || one.overdue_after_s).filter(Boolean);
  return waits.length ? 1_000 * Math.min(...waits) : 24 * HOUR_MS;
}

/**
 * Where nothing was read for four intervals as they are about then (of the eight around the third longest), or ten minutes; and
 * where it was longer than may be, whatever is usual. @param {number[]} moments ascending @param {number} most_ms @returns {[number, number][]}
 */
export function gaps(moments, most_ms = 24 * HOUR_MS) {
  const apart = moments.slice(1).map((one, place) => one - moments[place]);
  return apart.flatMap((one, place) => {
    const near = [...apart.slice(Math.max(0, place - 4), place), ...apart.slice(place + 1, place + 5)].sort((a, b) => b - a);
    return one > Math.min(Math.max(4 * (near[near.length >> 2] ?? one), 10 * MINUTE_MS), most_ms) ? [/** @type {[number, number]} */ ([moments[place], moments[place + 1]])] : [];
  });
}

/** The points of each device, and how long it may be quiet. @param {any} series of the API @param {any[]} sources @returns {Line[]} */
export const apart = ({ points, devices, device_of, channel }, sources) => (devices ?? []).map(( /** @type {string} */ device, /** @type {number} */ number) => (
  { device, points: points.filter(( /** @type {Point} */ _, /** @type {number} */ place) => device_of[place] === number), most_ms: patience(sources, device, channel) }));

/**
 * Readings as a chart has them: what a line joins, in runs without a gap; those beyond a limit; those in doubt, which
 * nothing joins; the gaps. Over a time in which it was another's there is neither line nor gap.
 * @param {Point[]} points by moment @param {{ low: number | null, high: number | null }[]} limits @param {Seen} [seen] @param {number} [most_ms] that it may be quiet
 */
export function readings(points, limits, seen = ALWAYS, most_ms = undefined) {
  const good = points.filter(one => one[2] === "good"), moments = good.map(one => one[0]), holes = gaps(moments, most_ms).filter(one => !isApart(seen, ...one));
  const open = new Set([...holes.map(one => one[1]), ...moments.filter((one, place) => place && isApart(seen, moments[place - 1], one))]);
  /** @type {Point[][]} */
  const runs = [];
  for (const one of good) if (!runs.length || open.has(one[0])) runs.push([one]); else runs[runs.length - 1].push(one);
  const beyond = good.filter(([, value]) => limits.some(one => (one.low != null && value < one.low) || (one.high != null && value > one.high)));
  return { runs, beyond, doubtful: points.filter(one => one[2] !== "good"), holes };
}

/**
 * A ratio over time, in runs: each base holds until it is over, which may be before the next one begins; where there was
 * no ratio there is a hole.
 * @param {{ at_ms: number, until_ms: number, ltv_bp: number | null }[]} bases by moment
 */
export function course(bases) {
  /** @type {[number, number, number][][]} */
  const runs = [];
  /** @type {[number, number][]} */
  const holes = [];
  bases.forEach(({ at_ms: at, until_ms: end, ltv_bp: bp }, place) => {
    if (bp == null) { holes.push([at, end]); return; }
    if (!place || bases[place - 1].ltv_bp == null || bases[place - 1].until_ms < at) runs.push([]);
    runs[runs.length - 1].push([at, end, bp]);
  });
  return { runs, holes };
}

/** The steps of a slider between two moments; its end is now, whatever the time. */
export const SLIDER = 1_000;

/** The moment at a step of a slider, null for now. @param {number} step @param {Span} span @returns {number | null} */
export const momentAt = (step, span) => step >= SLIDER ? null : Math.round(span.from + (span.until - span.from) * step / SLIDER);

/** The step of a slider that is nearest to a moment; its end is for now alone. @param {number | null} moment @param {Span} span */
export const stepAt = (moment, span) => moment == null ? SLIDER : Math.max(0, Math.min(SLIDER - 1, Math.round((moment - span.from) / Math.max(1, span.until - span.from) * SLIDER)));

/** @typedef {{ as_of: number | null, known_at: number | null }} Clocks null: now */

/** Nobody knows at a moment what was only after it, so the clock that is set takes the other along. @param {Clocks} clocks @param {"as_of" | "known_at"} by @param {number | null} moment @returns {Clocks} */
export function set(clocks, by, moment) {
  const now = { ...clocks, [by]: moment };
  if ((now.as_of ?? Infinity) <= (now.known_at ?? Infinity)) return now;
  return { as_of: moment, known_at: moment };
}

/** A moment as a field for it has it, in UTC. @param {number | null} moment */
export const written = moment => moment == null ? "" : new Date(moment).toISOString().slice(0, 19);

/** The moment that is in such a field, in UTC; null where there is none. @param {string} text @returns {number | null} */
export function read(text) {
  const moment = Date.parse(`${text}Z`);
  return Number.isNaN(moment) ? null : moment;
}
