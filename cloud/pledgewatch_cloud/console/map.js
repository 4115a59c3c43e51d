// The map: Leaflet over Natural Earth's land, no tiles. Marks are drawn by one canvas. Assets near each other are one mark
// with their number: the service puts them together, so what is sent and drawn is what a screen holds, however many they are.

import { all, el } from "./draw.js";
import { TURNS, look, nearest, outline } from "./reckon.js";
import { t } from "./words.js";

const L = /** @type {any} */ (globalThis).L;
const NAMES_FROM_ZOOM = 6, BEYOND = .5, STILL = { animate: false, pan: false };

/** @typedef {{ id: string, at: [number, number], state: "live" | "bad" | "dark", count: number, severity?: string | null, box?: [number, number, number, number] }} Mark longitude and latitude; an id where it is of one asset */

/** A colour of the stylesheet. @param {string} name */
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Clusters of the API as marks. @param {any} collection @returns {Mark[]} */
const marksOf = collection => all(collection.features, one => ({
  id: one.id ?? "", at: one.geometry.coordinates, box: one.bbox, ...one.properties,
}));

const Points = L?.Canvas.extend({
  /** @param {Mark[]} marks */
  setMarks(marks) { this._marks = marks; if (this._map) this._update(); },
  /** Where a mark is, once: on the copy of the world where that is nearest the middle. @param {Mark} one */
  _placed({ at: [x, y] }) {
    const near = nearest(x, this._map.getCenter().lng);
    return { turn: near - x, place: this._map.latLngToLayerPoint([y, near]) };
  },
  _draw() {
    const ctx = this._ctx, { min, max } = this._bounds;
    const paints = Object.fromEntries(["good", "bad", "quiet", "link", "warn", "ground"].map(one => [one, colour(one)]));
    ctx.textAlign = "center"; ctx.textBaseline = "middle"; ctx.font = "600 12px system-ui, sans-serif";
    for (const one of this._marks) {
      const { x, y } = this._placed(one).place;
      if (x < min.x - 30 || x > max.x + 30 || y < min.y - 30 || y > max.y + 30) continue;
      const { fill, rim, shape, rim_px, radius_px } = look(one), form = new Path2D(outline(shape, x, y, radius_px));
      ctx.fillStyle = paints[fill];
      ctx.strokeStyle = paints[rim];
      ctx.lineWidth = rim_px;
      ctx.fill(form); ctx.stroke(form);
      if (one.count > 1) { ctx.fillStyle = paints.ground; ctx.fillText(String(one.count), x, y); }
    }
  },
  /** The mark at a place on the screen, and on which copy of the world. @param {any} event */
  at(event) {
    const pointed = this._map.mouseEventToLayerPoint(event);
    const one = this._marks.find(( /** @type {Mark} */ mark) => this._placed(mark).place.distanceTo(pointed) <= (mark.count > 1 ? 18 : 12));
    return one && { one, turn: this._placed(one).turn };
  },
  // Leaflet's canvas keeps what happens on it from the map, for its own shapes; this has none, and the map is to hear it.
  _initContainer() { L.Canvas.prototype._initContainer.call(this); this._container._leaflet_disable_events = false; },
  _onClick() {}, _onMouseMove() {}, _handleMouseOut() {},
});

/** @type {Promise<any> | undefined} */
let land;

/**
 * A map in a host, which tells whose spot is chosen.
 * @param {HTMLElement} host @param {string} label @param {(id: string) => void} choose
 */
export function makeMap(host, label, choose) {
  const sheet = L.canvas({ padding: .3 }), map = L.map(host, { minZoom: host.clientWidth < 512 ? 0 : 1, maxZoom: 16, worldCopyJump: true, renderer: sheet, zoomSnap: .5, attributionControl: false, zoomControl: false }).setView([25, 20], 2);
  L.control.attribution({ prefix: false }).addAttribution("Leaflet · Natural Earth").addTo(map);
  L.control.zoom({ zoomInTitle: t("zoom_in"), zoomOutTitle: t("zoom_out") }).addTo(map);
  host.setAttribute("role", "application");
  host.setAttribute("aria-label", label);
  const ground = L.layerGroup().addTo(map), shapes = L.layerGroup().addTo(map), lines = L.layerGroup().addTo(map);
  map.createPane("ground").style.zIndex = "250";
  map.createPane("names").style.zIndex = "440";
  map.createPane("points").style.zIndex = "450";
  const points = new Points({ padding: .3, pane: "points" });
  points._marks = [];
  points.addTo(map);
  sheet.addTo(map);
  const paper = L.canvas({ padding: .3, pane: "ground" });
  let isPrinting = false, asked = false, isNamed = false, turn = 0;
  /** @type {any} */
  let fences = null;
  /** @type {{ way: [number, number][], kind: import("./reckon.js").Kind }[]} */
  let ways = [];
  /** @type {((bbox: string, zoom: number) => Promise<any>) | undefined} */
  let source;

  /** Ask for the marks of what is on the screen and somewhat around it. Where they cannot be had, the old ones stay. */
  async function load() {
    const mine = ++turn, seen = map.getBounds().pad(BEYOND), wide = seen.getEast() - seen.getWest() >= 360;
    const west = wide ? -180 : L.latLng(0, seen.getWest()).wrap().lng, east = wide ? 180 : L.latLng(0, seen.getEast()).wrap().lng;
    const box = [west, Math.max(-90, seen.getSouth()), east, Math.min(90, seen.getNorth())].map(one => one.toFixed(4)).join(",");
    const found = await source?.(box, Math.floor(map.getZoom())).catch(() => undefined);
    if (found && mine === turn && host.isConnected) points.setMarks(marksOf(found));
  }
  map.on("moveend", () => { if (source) void load(); });

  /** Places as Leaflet has them, on a copy of the world. @param {number} turn */
  const turned = turn => ( /** @type {[number, number]} */ [x, y]) => L.latLng(y, x + turn);

  function paintLand() {
    land ??= fetch("console/vendor/land.json").then(answer => answer.json());
    void land.then(data => {
      if (!host.isConnected) return;
      ground.clearLayers();
      const style = { fillColor: colour("land"), fillOpacity: 1, color: colour("shore"), weight: .8 };
      for (const turn of TURNS) ground.addLayer(L.geoJSON(data, { interactive: false, style, pane: "ground", renderer: paper, coordsToLatLng: turned(turn) }));
      // Leaflet draws at the next frame, and paper has none.
      paper._update();
      if (isPrinting) flatten();
    });
  }

  map.on("click", ( /** @type {any} */ event) => {
    const found = points.at(event.originalEvent);
    if (!found) return;
    if (!found.one.box) { choose(found.one.id); return; }
    const [west, south, east, north] = found.one.box;
    map.fitBounds([[south, west + found.turn], [north, east + found.turn]], { maxZoom: map.getZoom() + 4, padding: [40, 40] });
  });
  map.on("mousemove", ( /** @type {any} */ event) => {
    const found = points.at(event.originalEvent)?.one;
    host.style.cursor = found ? "pointer" : "";
    host.title = !found ? "" : found.count === 1 ? found.id : `${found.count} ${t("assets")}${found.severity ? `, ${t(`severity_${found.severity}`)}` : ""}`;
  });

  function paintFences() {
    shapes.clearLayers();
    const style = { color: colour("warn"), weight: 1.5, fillOpacity: .12 };
    isNamed = map.getZoom() >= NAMES_FROM_ZOOM;
    for (const turn of fences ? TURNS : []) shapes.addLayer(L.geoJSON(fences, {
      interactive: false, style, coordsToLatLng: turned(turn),
      pointToLayer: ( /** @type {any} */ one, /** @type {any} */ at) => L.circle(at, { radius: one.properties?.radius_m ?? 500, interactive: false, ...style }),
      // A name that is a string would be taken for markup.
      onEachFeature: ( /** @type {any} */ one, /** @type {any} */ layer) => { if (isNamed) layer.bindTooltip(el("span", {}, one.id ?? one.properties?.id), { permanent: true, direction: "auto", offset: [8, 0], pane: "names" }); },
    }));
  }

  function paintWays() {
    lines.clearLayers();
    const styles = {
      seen: { color: colour("link"), weight: 3 }, dark: { color: colour("quiet"), weight: 3, dashArray: "10 8" }, gap: { color: colour("bad"), weight: 2, dashArray: "2 7" },
    };
    for (const turn of TURNS) for (const { way, kind } of ways) lines.addLayer(L.polyline(way.map(turned(turn)), { interactive: false, ...styles[kind] }));
  }

  map.on("zoomend", () => { if (isNamed !== map.getZoom() >= NAMES_FROM_ZOOM) paintFences(); });
  /** All of the map on one canvas: what a canvas is cleared of is a white box on paper, which would hide those below it. */
  function flatten() {
    const ctx = sheet._ctx, { min, max } = sheet._bounds;
    ctx.fillStyle = colour("sea");
    ctx.fillRect(min.x, min.y, max.x - min.x, max.y - min.y);
    for (const one of [paper, sheet, points]) {
      const own = one._ctx;
      one._ctx = ctx; one._redrawBounds = null;
      one._draw();
      one._ctx = own;
    }
  }
  function paint() {
    paintLand(); paintFences(); paintWays(); points._update(); sheet._update();
    if (isPrinting) flatten();
  }
  const themed = new MutationObserver(paint);
  themed.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  paintLand();
  /** @type {[any, number]} */
  let before;
  function toPaper() {
    const seen = map.getBounds();
    before = [map.getCenter(), map.getZoom()];
    isPrinting = true;
    host.classList.add("sheet");
    map.invalidateSize(STILL).fitBounds(seen, STILL);
    paint();
  }
  function toScreen() {
    isPrinting = false;
    host.classList.remove("sheet");
    map.invalidateSize(STILL).setView(...before, STILL);
  }
  addEventListener("beforeprint", toPaper);
  addEventListener("afterprint", toScreen);

  return {
    map,
    /** @param {Mark[]} marks */
    setMarks(marks) { points.setMarks(marks); },
    /** Show what a source has for what is on the screen, wherever that is moved; and ask it again now. @param {(bbox: string, zoom: number) => Promise<any>} asking */
    follow(asking) { source = asking; void load(); },
    /** Fences as shapes with their names. @param {any} collection a FeatureCollection of the book */
    setFences(collection) {
      if (JSON.stringify(collection) === JSON.stringify(fences)) return;
      fences = collection;
      paintFences();
    },
    /** A way in pieces, each drawn as what it is. @param {{ way: [number, number][], kind: import("./reckon.js").Kind }[]} pieces */
    setTrail(pieces) {
      ways = pieces;
      paintWays();
    },
    /** Show these, the first time or where it is asked for. @param {[number, number][]} places @param {boolean} [again] */
    fit(places, again = false) {
      if ((asked && !again) || !places.length) return;
      asked = true;
      map.fitBounds(L.latLngBounds(places.map(([x, y]) => [y, x])), { maxZoom: 11, paddingTopLeft: [56, 30], paddingBottomRight: [30, 30], animate: again });
    },
    close() { turn += 1; themed.disconnect(); removeEventListener("beforeprint", toPaper); removeEventListener("afterprint", toScreen); map.remove(); },
  };
}
