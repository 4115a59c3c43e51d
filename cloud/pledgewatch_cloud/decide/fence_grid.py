"""Which boxes, and which polygons, many places lie in: whole columns at once, in whole numbers, exactly.

`BoxGrid` answers for boxes. The Earth is cut into cells at a few sizes; a box is entered at the finest size at which
it covers few cells. A cell crowded with boxes is cut again, the more the more crowded it is. A place looks into one
cell of each size. (A tree of all boxes, such as shapely's STRtree, needs an object for each place and costs three
times as much.)

`Rings` answers for polygons by counting the edges to a place's east (M. Shimrat, Algorithm 112, Communications of the
ACM 5 (8), 1962), in int64, where nothing is rounded: an edge that a place can be beside spans at most 360 by 182
degrees, so that no product of two differences reaches 2^63. Each polygon's height is cut into slabs that know their
edges, so that a polygon of many corners costs no more than one of few.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pledgewatch_cloud.decide.geodesy import E7, HALF_TURN_E7, POLE_E7, TURN_E7, Integers, spread

Rows = NDArray[np.intp]
Pairs = tuple[Rows, Rows]

# Cell size, and the most cells that a box may cover to be entered at it. The last size takes what is left.
SIZES = ((E7 // 4, 16), (2 * E7, 36), (16 * E7, 64), (TURN_E7, 1))
MANY_BOXES = 1_000  # for fewer, a million of the finest cells is not worth its making
BOXES_PER_CELL = 1
MOST_CUTS = 16
ENTRIES_PER_BOX = 40


class _Level(NamedTuple):
    """Cells of one size, row by row from the south-west; each cut into `cuts` by `cuts` numbered from `first`."""

    cell_e7: int
    columns: int
    rows: int
    cuts: Integers
    first: Integers
    starts: Integers  # of each small cell in `boxes`; one more at the end
    boxes: Rows


class BoxGrid:
    """Boxes (west, south, east, north) in 1e-7 degrees, (n, 4), edges included; what is beyond the domain is cut off.

    The domain is longitude -180 up to but not including 180, latitude -90 to 90.
    """

    def __init__(self, boxes_e7: Integers) -> None:
        self._boxes = np.ascontiguousarray(boxes_e7, dtype=np.int64).reshape(-1, 4)
        clipped = np.stack(
            [
                np.clip(self._boxes[:, 0], -HALF_TURN_E7, HALF_TURN_E7 - 1) + HALF_TURN_E7,
                np.clip(self._boxes[:, 1], -POLE_E7, POLE_E7) + POLE_E7,
                np.clip(self._boxes[:, 2], -HALF_TURN_E7, HALF_TURN_E7 - 1) + HALF_TURN_E7,
                np.clip(self._boxes[:, 3], -POLE_E7, POLE_E7) + POLE_E7,
            ],
            axis=1,
        )
        left = np.arange(len(clipped))
        self._levels: list[_Level] = []
        for cell_e7, most in SIZES if len(left) >= MANY_BOXES else SIZES[1:]:
            span = clipped[left] // cell_e7
            fits = (span[:, 2] - span[:, 0] + 1) * (span[:, 3] - span[:, 1] + 1) <= most
            if fits.any():
                self._levels.append(_level(cell_e7, left[fits], clipped[left[fits]]))
            left = left[~fits]

    def candidates(self, latitudes_e7: Integers, longitudes_e7: Integers) -> Pairs:
        """All pairs (place, box) of which the place lies in the box. The longitudes must be in the domain."""
        places, boxes = [], []
        for level in self._levels:
            small = _small_cell(level, longitudes_e7 + HALF_TURN_E7, latitudes_e7 + POLE_E7)
            start = level.starts[small]
            place, number = spread(level.starts[small + 1] - start)
            box = level.boxes[start[place] + number]
            edge = np.take(self._boxes, box, axis=0)
            x, y = longitudes_e7[place], latitudes_e7[place]
            kept = np.flatnonzero((edge[:, 0] <= x) & (x <= edge[:, 2]) & (edge[:, 1] <= y) & (y <= edge[:, 3]))
            places.append(place[kept])
            boxes.append(box[kept])
        if not places:
            return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
        return np.concatenate(places), np.concatenate(boxes)


class Rings:
    """Polygons given by all their edges: `ends` is (n, 4), x and y of both ends; `owner` the polygon of each."""

    def __init__(self, ends_e7: Integers, owner: Rows, count: int) -> None:
        ends = ends_e7.astype(np.int64).reshape(-1, 4)
        falls = ends[:, 1] > ends[:, 3]
        ends[falls] = ends[falls][:, (2, 3, 0, 1)]
        self._ends = ends  # the lower end first
        low = self._low = np.ascontiguousarray(ends[:, 1])
        high = self._high = np.ascontiguousarray(ends[:, 3])
        self._south = np.full(count, np.iinfo(np.int64).max)
        north = np.full(count, np.iinfo(np.int64).min)
        np.minimum.at(self._south, owner, low)
        np.maximum.at(north, owner, high)
        height = np.maximum(1, north - self._south)
        climbs = np.bincount(owner, weights=high - low, minlength=count)
        sides = np.bincount(owner, minlength=count)
        # So many slabs that all edges together are entered about twice as often as there are edges.
        slabs = np.maximum(1, (sides * height / np.maximum(climbs, 1)).astype(np.int64))
        self._slab_e7 = height // slabs + 1
        self._slabs = height // self._slab_e7 + 1
        self._first = np.concatenate(([0], np.cumsum(self._slabs)))
        bottom = (low - self._south[owner]) // self._slab_e7[owner]
        top = (high - self._south[owner]) // self._slab_e7[owner]
        edge, number = spread(top - bottom + 1)
        slab = self._first[owner[edge]] + bottom[edge] + number
        self._entries = edge[np.argsort(slab, kind="stable")]
        self._starts = np.concatenate(([0], np.cumsum(np.bincount(slab, minlength=int(self._first[-1])))))

    def holding(self, polygons: Rows, x_e7: Integers, y_e7: Integers) -> NDArray[np.bool_]:
        """For each row, whether the place lies in the polygon or on its edge.

        The place must be within the polygon's south and north; x may be anything.
        """
        slab = self._first[polygons] + (y_e7 - self._south[polygons]) // self._slab_e7[polygons]
        start = self._starts[slab]
        row, number = spread(self._starts[slab + 1] - start)
        edge = self._entries[start[row] + number]
        y = y_e7[row]
        beside = np.flatnonzero((np.take(self._low, edge) <= y) & (y <= np.take(self._high, edge)))
        row, y = row[beside], y[beside]
        x1, low, x2, high = np.take(self._ends, edge[beside], axis=0).T
        x = x_e7[row]
        west, east = np.minimum(x1, x2), np.maximum(x1, x2)
        # To an edge's west or east its direction does not matter, and the clipped place keeps the products small.
        within = np.clip(x, west, east)
        ahead, across = (within - x1) * (high - low), (x2 - x1) * (y - low)
        to_the_east = (y < high) & ((x < west) | ((x <= east) & (ahead < across)))
        on_edge = (ahead == across) & (within == x)
        crossings = np.bincount(row[to_the_east], minlength=len(polygons))
        held: NDArray[np.bool_] = crossings % 2 == 1
        held[row[on_edge]] = True
        return held


def _level(cell_e7: int, boxes: Rows, clipped: Integers) -> _Level:
    columns, rows = -(-TURN_E7 // cell_e7), -(-2 * POLE_E7 // cell_e7)
    west, south, east, north = (clipped // cell_e7).T
    south, north = np.minimum(south, rows - 1), np.minimum(north, rows - 1)
    wide = east - west + 1
    box, number = spread(wide * (north - south + 1))
    column, row = west[box] + number % wide[box], south[box] + number // wide[box]
    cell = row * columns + column
    crowd = np.bincount(cell, minlength=columns * rows)
    most = MOST_CUTS
    while True:
        cuts = np.clip(np.ceil(np.sqrt(crowd / BOXES_PER_CELL)).astype(np.int64), 1, most)
        part = cell_e7 // cuts[cell] + 1
        left = np.maximum(clipped[box, 0] - column * cell_e7, 0) // part
        right = np.minimum(clipped[box, 2] - column * cell_e7, cell_e7 - 1) // part
        down = np.clip(clipped[box, 1] - row * cell_e7, 0, cell_e7 - 1) // part
        up = np.minimum(clipped[box, 3] - row * cell_e7, cell_e7 - 1) // part
        counts = (right - left + 1) * (up - down + 1)
        if most == 1 or int(counts.sum()) <= ENTRIES_PER_BOX * (len(boxes) + 1_000):
            break
        most //= 2
    first = np.concatenate(([0], np.cumsum(cuts * cuts)))
    pair, number = spread(counts)
    across = (right - left + 1)[pair]
    place = cell[pair]
    small = first[place] + (down[pair] + number // across) * cuts[place] + left[pair] + number % across
    order = np.argsort(small, kind="stable")
    starts = np.concatenate(([0], np.cumsum(np.bincount(small, minlength=int(first[-1])))))
    return _Level(cell_e7, columns, rows, cuts, first, starts, boxes[box[pair[order]]])


def _small_cell(level: _Level, x_e7: Integers, y_e7: Integers) -> Integers:
    """The small cell that a place lies in; places at the north pole belong to the row below it."""
    column = x_e7 // level.cell_e7
    row = np.minimum(y_e7 // level.cell_e7, level.rows - 1)
    cell = row * level.columns + column
    cuts = level.cuts[cell]
    part = level.cell_e7 // cuts + 1
    inner_x = (x_e7 - column * level.cell_e7) // part
    inner_y = np.minimum(y_e7 - row * level.cell_e7, level.cell_e7 - 1) // part
    result: Integers = level.first[cell] + inner_y * cuts + inner_x
    return result
