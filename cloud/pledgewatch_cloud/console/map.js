// The map: Leaflet over Natural Earth's land, no tiles. Assets are drawn by one canvas: those of one cell of a grid on
// the screen are one mark with their number, so ten thousand cost what a few hundred do.

import { t } from "./words.js";

const L = /** @type {any} */ (globalThis).L;
const CELL_PX = 44, ALONE_PX = 6, NAMES_FROM_ZOOM = 6;

/** @typedef {{ id: string, at: [number, number], state: "live" | "bad" | "dark" }} Spot longitude and latitude */
/** @typedef {{ x: number, y: number, spots: Spot[], bad: boolean }} Cluster in pixels of the world at a zoom */

/** A colour of the stylesheet. @param {string} name */
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Spots by the cells of a grid, each cell at the middle of its own. @param {Spot[]} spots @param {number} zoom @returns {Cluster[]} */
export function clusters(spots, zoom) {
  const scale = 256 * 2 ** zoom, /** @type {Map<number, Cluster>} */ cells = new Map();
  for (const one of spots) {
    const sine = Math.sin(Math.max(-85, Math.min(85, one.at[1])) * Math.PI / 180);
    const x = (one.at[0] / 360 + .5) * scale, y = (.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI)) * scale;
    const cell = Math.floor(x / CELL_PX) * 1e6 + Math.floor(y / CELL_PX);
    const known = cells.get(cell);
    if (known) {
      known.x += (x - known.x) / (known.spots.length + 1);
      known.y += (y - known.y) / (known.spots.length + 1);
      known.spots.push(one);
      known.bad ||= one.state === "bad";
    } else cells.set(cell, { x, y, spots: [one], bad: one.state === "bad" });
  }
  return [...cells.values()];
}

const Points = L?.Canvas.extend({
  /** @param {Spot[]} spots */
  setSpots(spots) { this._spots = spots; this._kept = new Map(); if (this._map) { this._update(); this._updatePaths(); } },
  /** @returns {Cluster[]} */
  _clusters() {
    const zoom = this._map.getZoom();
    if (!this._kept.has(zoom)) this._kept.set(zoom, clusters(this._spots, zoom));
    return this._kept.get(zoom);
  },
  _updatePaths() {
    if (!this._map || !this._bounds || !this._spots) return;
    const ctx = this._ctx, { min, max } = this._bounds, origin = this._map.getPixelOrigin();
    const paints = { live: colour("good"), bad: colour("bad"), dark: colour("quiet") }, ground = colour("ground"), bar = colour("link");
    ctx.clearRect(min.x, min.y, max.x - min.x, max.y - min.y);
    ctx.textAlign = "center"; ctx.textBaseline = "middle"; ctx.font = "600 12px system-ui, sans-serif"; ctx.lineWidth = 2;
    for (const one of this._clusters()) {
      const x = one.x - origin.x, y = one.y - origin.y;
      if (x < min.x - 30 || x > max.x + 30 || y < min.y - 30 || y > max.y + 30) continue;
      const many = one.spots.length > 1;
      ctx.beginPath();
      ctx.arc(x, y, many ? 11 + 3 * Math.log10(one.spots.length) : ALONE_PX, 0, 2 * Math.PI);
      ctx.fillStyle = many ? bar : paints[/** @type {Spot} */ (one.spots[0]).state];
      ctx.strokeStyle = one.bad ? paints.bad : ground;
      ctx.fill(); ctx.stroke();
      if (many) { ctx.fillStyle = ground; ctx.fillText(String(one.spots.length), x, y); }
    }
  },
  /** The cluster at a place on the screen. @param {any} event @returns {Cluster | undefined} */
  at(event) {
    const place = this._map.mouseEventToLayerPoint(event), origin = this._map.getPixelOrigin();
    return this._clusters().find(( /** @type {Cluster} */ one) => Math.hypot(one.x - origin.x - place.x, one.y - origin.y - place.y) <= (one.spots.length > 1 ? 18 : 12));
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
  const map = L.map(host, { minZoom: 1, maxZoom: 16, worldCopyJump: true, preferCanvas: true, zoomSnap: 1, attributionControl: false }).setView([25, 20], 2);
  L.control.attribution({ prefix: false }).addAttribution("Leaflet · Natural Earth").addTo(map);
  host.setAttribute("role", "application");
  host.setAttribute("aria-label", label);
  const ground = L.layerGroup().addTo(map), shapes = L.layerGroup().addTo(map), lines = L.layerGroup().addTo(map);
  map.createPane("ground").style.zIndex = "250";
  map.createPane("points").style.zIndex = "450";
  const points = new Points({ padding: .3, pane: "points" });
  points._spots = []; points._kept = new Map();
  points.addTo(map);
  const paper = L.canvas({ padding: .3, pane: "ground" });
  let asked = false, rename = () => {};

  function paintLand() {
    land ??= fetch("console/vendor/land.json").then(answer => answer.json());
    void land.then(data => {
      if (!host.isConnected) return;
      ground.clearLayers();
      const style = { fillColor: colour("land"), fillOpacity: 1, color: colour("shore"), weight: .8 };
      for (const turn of [-360, 0, 360]) {
        const coordsToLatLng = ( /** @type {[number, number]} */ [x, y]) => L.latLng(y, x + turn);
        ground.addLayer(L.geoJSON(data, { interactive: false, style, pane: "ground", renderer: paper, coordsToLatLng }));
      }
    });
  }

  map.on("click", ( /** @type {any} */ event) => {
    const found = points.at(event.originalEvent);
    if (!found) return;
    if (found.spots.length === 1) choose(found.spots[0].id);
    else map.fitBounds(L.latLngBounds(found.spots.map(( /** @type {Spot} */ one) => [one.at[1], one.at[0]])), { maxZoom: map.getZoom() + 4, padding: [40, 40] });
  });
  map.on("mousemove", ( /** @type {any} */ event) => {
    const found = points.at(event.originalEvent);
    host.style.cursor = found ? "pointer" : "";
    host.title = !found ? "" : found.spots.length === 1 ? found.spots[0].id : `${found.spots.length} ${t("assets")}`;
  });
  const themed = new MutationObserver(() => { paintLand(); points._updatePaths(); });
  themed.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  paintLand();

  return {
    map,
    /** @param {Spot[]} spots */
    setSpots(spots) { points.setSpots(spots); },
    /** Fences as shapes with their names. @param {any} collection a FeatureCollection of the book */
    setFences(collection) {
      shapes.clearLayers();
      const style = { color: colour("warn"), weight: 1.5, fillOpacity: .12 };
      const shown = L.geoJSON(collection, {
        interactive: false, style,
        pointToLayer: ( /** @type {any} */ one, /** @type {any} */ at) => L.circle(at, { radius: one.properties?.radius_m ?? 500, interactive: false, ...style }),
      });
      shapes.addLayer(shown);
      const named = () => shown.eachLayer(( /** @type {any} */ one) => {
        one.unbindTooltip();
        if (map.getZoom() >= NAMES_FROM_ZOOM) one.bindTooltip(String(one.feature.id ?? one.feature.properties?.id ?? ""), { permanent: true, direction: "center" });
      });
      map.off("zoomend", rename).on("zoomend", rename = named);
      named();
    },
    /** A way in pieces, each drawn as what it is. @param {{ way: [number, number][], kind: "seen" | "dark" | "gap" }[]} pieces */
    setTrail(pieces) {
      lines.clearLayers();
      const styles = {
        seen: { color: colour("link"), weight: 3 }, dark: { color: colour("quiet"), weight: 3, dashArray: "10 8" }, gap: { color: colour("bad"), weight: 2, dashArray: "2 7" },
      };
      for (const { way, kind } of pieces) lines.addLayer(L.polyline(way.map(([x, y]) => [y, x]), { interactive: false, ...styles[kind] }));
    },
    /** Show these, the first time or where it is asked for. @param {[number, number][]} places @param {boolean} [again] */
    fit(places, again = false) {
      if ((asked && !again) || !places.length) return;
      asked = true;
      map.fitBounds(L.latLngBounds(places.map(([x, y]) => [y, x])), { maxZoom: 11, padding: [30, 30], animate: again });
    },
    close() { themed.disconnect(); map.remove(); },
  };
}
