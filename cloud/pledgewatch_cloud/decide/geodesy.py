"""Distances on the WGS 84 ellipsoid, over columns of places.

Two measures are used. The *chord* is the straight line through the Earth; it needs no iteration and its minimum along
a line is easily found. The *geodesic* is the shortest way over the surface, which is what a metre of a fence means.
Every geodesic is a curve whose curvature lies between 1/R of the ellipsoid's flattest and of its most curved place,
so a chord bounds its geodesic from both sides within a hundredth of a per cent at 2,000 km and within a millimetre at
50 km (Schur's comparison theorem; do Carmo, Differential Geometry of Curves and Surfaces, 5-7). The geodesic itself
is asked for only where that is not enough.

A *piece* is a stretch of at most one degree of a line that is straight in the longitude/latitude plane, as RFC 7946
has it. All angles here are radians, all lengths metres, all columns float64.

What is also asked of one place at a time (how far it is from an edge) is worked out with plain numbers, by the same
formulas: `by` is then the module `math`. A column of one takes twenty times as long.
"""

import math
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Real = TypeVar("Real", float, Floats)

E7 = 10_000_000
HALF_TURN_E7 = 180 * E7
TURN_E7 = 360 * E7
POLE_E7 = 90 * E7
RADIANS_E7 = np.pi / HALF_TURN_E7

# WGS 84 (NGA.STND.0036): semi-major axis and flattening; the rest follows from them.
MAJOR_M = 6_378_137.0
FLATTENING = 1 / 298.257223563
MINOR_M = MAJOR_M * (1 - FLATTENING)
ECCENTRICITY_SQUARED = FLATTENING * (2 - FLATTENING)
SMALLEST_RADIUS_M = MAJOR_M * (1 - ECCENTRICITY_SQUARED)  # of curvature: along the meridian at the equator
LARGEST_RADIUS_M = MAJOR_M * MAJOR_M / MINOR_M  # at the poles

PIECE_E7 = E7  # a piece spans at most a degree
MAX_STEPS = 60
SETTLED = 1e-10  # of a degree: hundredths of a millimetre
FAR = 0.9  # of the radius of a piece's own parallel; see `nearest`


class Pieces(NamedTuple):
    """Columns of pieces: where each starts, and how far it goes in longitude and latitude. Radians."""

    longitude: Floats
    latitude: Floats
    along_longitude: Floats
    along_latitude: Floats

    def at(self, rows: NDArray[np.intp]) -> "Pieces":
        """The pieces of these rows."""
        return Pieces(self.longitude[rows], self.latitude[rows], self.along_longitude[rows], self.along_latitude[rows])


def radians(values_e7: Integers) -> Floats:
    """1e-7 degrees to radians."""
    return np.multiply(values_e7, RADIANS_E7, dtype=np.float64)


def pieces(
    starts_e7: Integers, steps_e7: Integers, span_e7: Integers | int = PIECE_E7
) -> tuple[Pieces, NDArray[np.intp]]:
    """Cut lines into pieces. Both columns are (n, 2): longitude and latitude, and the way to the line's end.

    `span_e7` is the most that a piece may span, at most a degree. Gives the pieces and, for each, the row of its line.
    """
    parts = np.maximum(1, -(-np.abs(steps_e7).max(axis=1, initial=0) // np.minimum(span_e7, PIECE_E7)))
    line, number = spread(parts)
    step = steps_e7[line] / parts[line, None]
    start = starts_e7[line] + step * number[:, None]
    return Pieces(*(start.T * RADIANS_E7), *(step.T * RADIANS_E7)), line


def spread(counts: Integers) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Each row as often as its count says: the row, and the running number within it from 0."""
    row = np.repeat(np.arange(len(counts)), counts)
    return row, np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)


def cartesian(longitude: Real, latitude: Real, by: Any = np) -> tuple[Real, Real, Real]:
    """Earth-centred coordinates of places on the ellipsoid (EPSG guidance note 7-2, section 4.1.1)."""
    sine, cosine = by.sin(latitude), by.cos(latitude)
    across = MAJOR_M / by.sqrt(1 - ECCENTRICITY_SQUARED * sine * sine)
    return (
        across * cosine * by.cos(longitude),
        across * cosine * by.sin(longitude),
        across * (1 - ECCENTRICITY_SQUARED) * sine,
    )


def chord_m(longitude_a: Floats, latitude_a: Floats, longitude_b: Floats, latitude_b: Floats) -> Floats:
    """The straight line between two places."""
    ax, ay, az = cartesian(longitude_a, latitude_a)
    bx, by, bz = cartesian(longitude_b, latitude_b)
    chord: Floats = np.sqrt((ax - bx) ** 2 + (ay - by) ** 2 + (az - bz) ** 2)
    return chord


def chord_of_one_m(longitude_a: float, latitude_a: float, longitude_b: float, latitude_b: float) -> float:
    """The straight line between two places."""
    a, b = cartesian(longitude_a, latitude_a, math), cartesian(longitude_b, latitude_b, math)
    return math.dist(a, b)


def geodesic_bounds_m(chord: Floats) -> tuple[Floats, Floats]:
    """What the geodesic over a chord is at least and at most. Meant for chords up to 6,000 km."""
    least = 2 * LARGEST_RADIUS_M * np.arcsin(np.minimum(1, chord / (2 * LARGEST_RADIUS_M)))
    most = 2 * SMALLEST_RADIUS_M * np.arcsin(np.minimum(1, chord / (2 * SMALLEST_RADIUS_M)))
    return least * (1 - 1e-9) - 1e-6, most * (1 + 1e-9) + 1e-6


def geodesic_m(longitude_a: Floats, latitude_a: Floats, longitude_b: Floats, latitude_b: Floats) -> Floats:
    """The shortest way over the surface, to less than a millimetre.

    T. Vincenty, "Direct and inverse solutions of geodesics on the ellipsoid with application of nested equations",
    Survey Review 23 (176), 1975, inverse formula. It does not converge for places nearly opposite each other; those
    (beyond 19,900 km) get the great circle's length on a sphere of the mean radius, right to half a per cent.
    """
    reduced_a, reduced_b = (np.arctan((1 - FLATTENING) * np.tan(one)) for one in (latitude_a, latitude_b))
    sine_a, cosine_a, sine_b, cosine_b = np.sin(reduced_a), np.cos(reduced_a), np.sin(reduced_b), np.cos(reduced_b)
    difference = np.remainder(longitude_b - longitude_a + np.pi, 2 * np.pi) - np.pi
    turn = difference
    for _ in range(MAX_STEPS):
        sine = np.hypot(cosine_b * np.sin(turn), cosine_a * sine_b - sine_a * cosine_b * np.cos(turn))
        cosine = sine_a * sine_b + cosine_a * cosine_b * np.cos(turn)
        angle = np.arctan2(sine, cosine)
        azimuth = cosine_a * cosine_b * np.sin(turn) / np.where(sine == 0, 1, sine)
        squared = 1 - azimuth * azimuth
        middle = np.where(squared > 1e-15, cosine - 2 * sine_a * sine_b / np.where(squared > 1e-15, squared, 1), 0.0)
        c = FLATTENING / 16 * squared * (4 + FLATTENING * (4 - 3 * squared))
        series = middle + c * cosine * (2 * middle * middle - 1)
        improved = difference + (1 - c) * FLATTENING * azimuth * (angle + c * sine * series)
        unsettled = np.abs(improved - turn) > 1e-13
        turn = improved
        if not unsettled.any():
            break
    u = squared * (MAJOR_M * MAJOR_M / (MINOR_M * MINOR_M) - 1)
    a = 1 + u / 16384 * (4096 + u * (-768 + u * (320 - 175 * u)))
    b = u / 1024 * (256 + u * (-128 + u * (74 - 47 * u)))
    inner = cosine * (2 * middle * middle - 1) - b / 6 * middle * (4 * sine * sine - 3) * (4 * middle * middle - 3)
    length = MINOR_M * a * (angle - b * sine * (middle + b / 4 * inner))
    mean = (2 * MAJOR_M + MINOR_M) / 3
    sphere = np.arccos(np.clip(sine_a * sine_b + cosine_a * cosine_b * np.cos(difference), -1, 1))
    result: Floats = np.where(unsettled | (sphere * mean > 19.9e6), sphere * mean, length)
    return result


def nearest(longitude: Floats, latitude: Floats, lines: Pieces) -> tuple[Floats, Floats, Floats]:
    """The place of each piece that is nearest to its fix by chord: its longitude, its latitude, the chord.

    The chord's slope along the piece is zero there; its sign is looked for between the ends (regula falsi in the
    Illinois form: M. Dowell and P. Jarratt, BIT 11, 1971). Where the slope has one sign all along, it is an end.
    """
    fix = cartesian(longitude, latitude)
    low, high = np.zeros_like(longitude), np.ones_like(longitude)
    slope_low, slope_high = _slope(fix, lines, low), _slope(fix, lines, high)
    between = (slope_low < 0) & (slope_high > 0)
    share = np.where(slope_high <= 0, 1.0, 0.0)
    last = np.zeros_like(longitude)
    for _ in range(MAX_STEPS):
        if not between.any():
            break
        width = slope_high - slope_low
        guess = low - slope_low * (high - low) / np.where(width > 0, width, 1)
        settled = np.abs(guess - share) < SETTLED
        share = np.where(between, guess, share)
        between &= ~settled
        slope = _slope(fix, lines, share)
        rises = slope > 0
        slope_low = np.where(rises & (last > 0), slope_low / 2, np.where(rises, slope_low, slope))
        slope_high = np.where(~rises & (last < 0), slope_high / 2, np.where(rises, slope, slope_high))
        low, high = np.where(rises, low, share), np.where(rises, share, high)
        last = np.where(rises, 1.0, -1.0)
    best = _where(lines, share)
    chord = chord_m(longitude, latitude, *best)
    # Nearer than the radius of the piece's own parallel the chord's square is convex along it. Further off a fix may
    # see the piece bulge: then both ends may be nearer than what lies between.
    highest = np.maximum(np.abs(lines.latitude), np.abs(lines.latitude + lines.along_latitude))
    far = np.flatnonzero(chord > FAR * MINOR_M * np.cos(highest))
    if len(far):
        for end in (0.0, 1.0):
            place = _where(lines.at(far), np.full(len(far), end))
            other = chord_m(longitude[far], latitude[far], *place)
            nearer = other < chord[far]
            for column, value in zip((*best, chord), (*place, other), strict=True):
                column[far[nearer]] = value[nearer]
    return best[0], best[1], chord


def nearest_of_one(
    longitude: float, latitude: float, line: tuple[float, float, float, float]
) -> tuple[float, float, float]:
    """The place of one piece that is nearest to one fix; see `nearest`."""
    fix = cartesian(longitude, latitude, math)
    low, high, last = 0.0, 1.0, 0
    slope_low, slope_high = _slope(fix, line, low, math), _slope(fix, line, high, math)
    between = slope_low < 0 < slope_high
    share = 1.0 if slope_high <= 0 else 0.0
    for _ in range(MAX_STEPS):
        if not between:
            break
        guess = low - slope_low * (high - low) / (slope_high - slope_low)
        between = abs(guess - share) >= SETTLED
        share = guess
        slope = _slope(fix, line, share, math)
        if slope > 0:
            slope_low = slope_low / 2 if last > 0 else slope_low
            slope_high, high, last = slope, share, 1
        else:
            slope_high = slope_high / 2 if last < 0 else slope_high
            slope_low, low, last = slope, share, -1
    best = _where(line, share)
    found = (*best, chord_of_one_m(longitude, latitude, *best))
    _, south, _, up = line
    if found[2] > FAR * MINOR_M * math.cos(max(abs(south), abs(south + up))):
        for end in (0.0, 1.0):
            place = _where(line, end)
            found = min(found, (*place, chord_of_one_m(longitude, latitude, *place)), key=lambda one: one[2])
    return found


def grown(boxes_e7: Integers, metres: Floats) -> Integers:
    """Boxes (west, south, east, north) in 1e-7 degrees, grown so that all within so many metres of them is inside.

    In latitude by the smallest radius of a meridian. In longitude by the sphere of parametric latitudes, on which a
    geodesic of s metres is an arc of at most s / b that turns no less in longitude (C. Karney, "Algorithms for
    geodesics", Journal of Geodesy 87, 2013, equations 7 and 8). Over a pole the box takes all longitudes.
    """
    west, south, east, north = boxes_e7.T
    far = np.maximum(np.abs(south), np.abs(north)) * RADIANS_E7
    up = np.ceil(metres / SMALLEST_RADIUS_M / RADIANS_E7).astype(np.int64) + 2
    reach, room = np.sin(np.minimum(metres / MINOR_M, np.pi / 2)), np.cos(far)
    all_round = (far + metres / SMALLEST_RADIUS_M >= np.pi / 2 - 1e-9) | (reach >= room)
    aside = np.arcsin(np.where(all_round, 0, reach / np.where(all_round, 1, room)))
    wide = np.ceil(aside / RADIANS_E7).astype(np.int64) + 2
    all_round |= east - west + 2 * wide >= TURN_E7
    return np.stack(
        [
            np.where(all_round, -HALF_TURN_E7, west - wide),
            np.maximum(south - up, -POLE_E7),
            np.where(all_round, HALF_TURN_E7 - 1, east + wide),
            np.minimum(north + up, POLE_E7),
        ],
        axis=1,
    )


def _where(lines: tuple[Real, Real, Real, Real], share: Real) -> tuple[Real, Real]:
    longitude, latitude, along_longitude, along_latitude = lines
    return longitude + share * along_longitude, latitude + share * along_latitude


def _slope(fix: tuple[Real, Real, Real], lines: tuple[Real, Real, Real, Real], share: Real, by: Any = np) -> Real:
    """Half the derivative of the chord's square along the piece: from the two principal directions of the ellipsoid."""
    longitude, latitude = _where(lines, share)
    sine, cosine = by.sin(latitude), by.cos(latitude)
    east_sine, east_cosine = by.sin(longitude), by.cos(longitude)
    root = 1 - ECCENTRICITY_SQUARED * sine * sine
    across = MAJOR_M / by.sqrt(root)
    along = across * (1 - ECCENTRICITY_SQUARED) / root
    x = fix[0] - across * cosine * east_cosine
    y = fix[1] - across * cosine * east_sine
    z = fix[2] - across * (1 - ECCENTRICITY_SQUARED) * sine
    north = z * cosine - (x * east_cosine + y * east_sine) * sine
    east = y * east_cosine - x * east_sine
    slope: Real = -(north * along * lines[3] + east * across * cosine * lines[2])
    return slope
