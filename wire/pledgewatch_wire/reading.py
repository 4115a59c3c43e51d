"""Readings: what one sensor said at one moment, as numbers that both sides understand alike.

A reading is one row: an identity, a moment, and one cell for each channel that the sensor reports. A channel is a fixed
small number with a name, a unit and an integer scale; there are no floats anywhere behind the sensor's driver, so that
a hash of a reading is the same on every machine.

Identity is (device, epoch, sequence), never time. `measured_at_ms` is when the sensor spoke, by the clock that `clock`
names; it is set once, on the device.
"""

import re
from enum import IntEnum
from hashlib import sha256
from typing import NamedTuple


class Channel(IntEnum):
    """Channel numbers; the name ends in the unit that an integer value counts.

    The five that nearly every reading carries come first: a payload names its channels by a bit mask, and low bits make
    a short mask. A number, once given, is never given again.
    """

    LATITUDE_E7 = 0
    LONGITUDE_E7 = 1
    TEMPERATURE_MC = 2
    HUMIDITY_CPERCENT = 3
    BATTERY_MV = 4
    SATELLITES = 5
    HDOP_CENTI = 6
    FIX_DIMENSIONS = 7
    SPEED_MMPS = 8
    COURSE_CDEG = 9
    ALTITUDE_MM = 10
    DOOR_OPEN = 11
    LIGHT_MLX = 12
    SHOCK_MG = 13
    TAGS_PRESENT = 14
    POWER_W = 15
    TEMPERATURE_1_MC = 16
    TEMPERATURE_2_MC = 17
    TEMPERATURE_3_MC = 18
    TEMPERATURE_4_MC = 19
    TEMPERATURE_5_MC = 20
    TEMPERATURE_6_MC = 21
    TEMPERATURE_7_MC = 22
    WEIGHT_G = 23
    WEIGHT_1_G = 24
    WEIGHT_2_G = 25
    WEIGHT_3_G = 26
    WEIGHT_4_G = 27
    WEIGHT_5_G = 28
    WEIGHT_6_G = 29
    WEIGHT_7_G = 30
    ENERGY_WH = 31
    PIECES_IN = 32
    PIECES_OUT = 33
    PIECES_PRESENT = 34
    TAG_IN = 35
    TAG_OUT = 36
    MOTION = 37
    LEAK = 38
    SMOKE = 39
    LIGHT_PRESENT = 40
    DISK_FREE_MIB = 41
    HOST_TEMPERATURE_MC = 42
    THROTTLED = 43
    SPOOL_READINGS = 44
    CLOCK_OFFSET_MS = 45
    THINNED_READINGS = 46
    CLOCK_UNCERTAINTY_MS = 47
    REFUSED_READINGS = 48
    FLAPPING = 49
    FLAPS = 50
    BROKEN_READINGS = 51
    ENDED_EPOCH = 52
    ENDED_READINGS = 53
    ENDED_SAVED_READINGS = 54
    ENDED_LOST_READINGS = 55
    ENDED_THINNED_READINGS = 56


# What makes a fix weak whatever the receiver thinks of it: a place needs three satellites, and a dilution of precision
# of more than 20 is of no use.
FEW_SATELLITES_BELOW = 3
HIGH_HDOP_ABOVE_CENTI = 2_000
# A device's temperature probes, in the order in which its configuration lists them.
TEMPERATURE_CHANNELS = (
    Channel.TEMPERATURE_MC,
    Channel.TEMPERATURE_1_MC,
    Channel.TEMPERATURE_2_MC,
    Channel.TEMPERATURE_3_MC,
    Channel.TEMPERATURE_4_MC,
    Channel.TEMPERATURE_5_MC,
    Channel.TEMPERATURE_6_MC,
    Channel.TEMPERATURE_7_MC,
)
# The scales of a zone, each under bins of its own; which, the gateway's roster says.
WEIGHT_CHANNELS = (
    Channel.WEIGHT_G,
    Channel.WEIGHT_1_G,
    Channel.WEIGHT_2_G,
    Channel.WEIGHT_3_G,
    Channel.WEIGHT_4_G,
    Channel.WEIGHT_5_G,
    Channel.WEIGHT_6_G,
    Channel.WEIGHT_7_G,
)
# What is so or not: 1 or 0. Their order is that of the bits of FLAPPING.
STATE_CHANNELS = (Channel.DOOR_OPEN, Channel.MOTION, Channel.LEAK, Channel.SMOKE, Channel.LIGHT_PRESENT)
# Passages: the value is the number of the tag that passed (`tag_number`), and each is a reading of its own.
PASSAGE_CHANNELS = (Channel.TAG_IN, Channel.TAG_OUT)
_NO_SIGN_OF_A_TAG = re.compile(r"[^0-9A-Za-z]+")
_TAG_NUMBER_BITS = 52  # a number that survives any program's floats

KNOWN_CHANNELS_MASK = sum(1 << channel for channel in Channel)


class Quality(IntEnum):
    """What is known to be wrong with a value. From NO_VALUE_FROM on there is no value; the cell then holds 0."""

    GOOD = 0
    NO_TIME = 1
    SIMULATED = 2
    ESTIMATED = 3
    MANUAL = 4
    FEW_SATELLITES = 5
    HIGH_HDOP = 6
    POWER_ON_VALUE = 7
    OUT_OF_RANGE = 8
    CLOCK_UNSET = 9
    SPOOFED = 10
    JAMMED = 11
    NO_FIX = 128
    CHECKSUM_FAILED = 129
    SENSOR_GONE = 130
    NOT_REPORTED = 131


NO_VALUE_FROM = 128


class Clock(IntEnum):
    """Which clock stamped a reading, best first; BACKDATED: none at the time, and it was reckoned back once one was
    known, as far off as CLOCK_UNCERTAINTY_MS of the reading says."""

    GPS = 0
    NTP = 1
    RTC = 2
    UNSET = 3
    BACKDATED = 4


class Cell(NamedTuple):
    """One channel of one reading. `value` counts the channel's unit; `quality` is a Quality code."""

    channel: int
    value: int
    quality: int = 0


class Reading(NamedTuple):
    """One reading. `cells` ascend by channel, without repeats; `sequence` counts from 1 within the epoch."""

    sequence: int
    measured_at_ms: int
    clock: int
    cells: tuple[Cell, ...]

    @property
    def channels(self) -> int:
        """The channels as a bit mask."""
        mask = 0
        for cell in self.cells:
            mask |= 1 << cell.channel
        return mask

    def cell(self, channel: int) -> Cell | None:
        """The cell of a channel, or None where the reading does not have it."""
        for cell in self.cells:
            if cell.channel == channel:
                return cell
        return None

    def good(self, channel: int) -> int | None:
        """The value of a channel if it is there and nothing is wrong with it, else None."""
        cell = self.cell(channel)
        return cell.value if cell is not None and not cell.quality else None


def tag_name(text: str) -> str:
    """The one form of what a tag is called: its letters A to Z, as capitals, and its digits; empty where it has none.

    The same seal, EPC, container or device is written with hyphens, spaces or small letters by one and without by the
    next. Both sides call it by this, so names that differ in nothing else are one name.
    """
    return _NO_SIGN_OF_A_TAG.sub("", text).upper()


def tag_number(text: str) -> int:
    """The number of a tag on the wire, where there are no texts: the first 52 bits of SHA-256 of its `tag_name`.

    The cloud knows the names of the tags that it looks for, and looks for their numbers. Of a million tags two have one
    number with a chance of one in ten thousand.
    """
    return int.from_bytes(sha256(tag_name(text).encode("ascii")).digest()[:8], "big") >> (64 - _TAG_NUMBER_BITS)
