"""What a u-blox M8-like receiver says in one cycle: RMC, VTG, GGA, GSA, GSV, as NMEA 0183 sentences.

Field widths are the receiver's: ddmm.mmmmm, hhmmss.ss. A checksum is the exclusive or of the characters between $ and
*.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

MPS_PER_KNOT = 1_852 / 3_600
_SATELLITES_PER_SENTENCE = 4
_GSA_SLOTS = 12


@dataclass(frozen=True, slots=True)
class ReceiverState:
    """What the receiver knows in one cycle. Degrees, metres, metres a second. `time_ms` None before it has the time."""

    time_ms: int | None
    has_fix: bool
    latitude: float
    longitude: float
    altitude_m: float
    speed_mps: float
    course_deg: float
    satellites_used: int
    satellites_in_view: int
    hdop: float


def sentence(body: str) -> bytes:
    """A whole sentence around a body such as `GPRMC,…`."""
    checksum = 0
    for character in body.encode("ascii"):
        checksum ^= character
    return f"${body}*{checksum:02X}\r\n".encode("ascii")


def cycle(state: ReceiverState) -> bytes:
    """One cycle of sentences, as the receiver writes them out."""
    return b"".join((_rmc(state), _vtg(state), _gga(state), _gsa(state), *_gsv(state)))


def _rmc(state: ReceiverState) -> bytes:
    if not state.has_fix:
        return sentence(f"GPRMC,{_time(state)},V,,,,,,,{_date(state)},,,N")
    knots = state.speed_mps / MPS_PER_KNOT
    return sentence(f"GPRMC,{_time(state)},A,{_place(state)},{knots:.3f},{_course(state)},{_date(state)},,,A")


def _vtg(state: ReceiverState) -> bytes:
    if not state.has_fix:
        return sentence("GPVTG,,,,,,,,,N")
    knots, kilometres = state.speed_mps / MPS_PER_KNOT, state.speed_mps * 3.6
    return sentence(f"GPVTG,{_course(state)},T,,M,{knots:.3f},N,{kilometres:.3f},K,A")


def _gga(state: ReceiverState) -> bytes:
    if not state.has_fix:
        return sentence(f"GPGGA,{_time(state)},,,,,0,00,99.99,,,,,,")
    used = f"{state.satellites_used:02d}"
    return sentence(f"GPGGA,{_time(state)},{_place(state)},1,{used},{state.hdop:.2f},{state.altitude_m:.1f},M,0.0,M,,")


def _gsa(state: ReceiverState) -> bytes:
    used = state.satellites_used if state.has_fix else 0
    slots = [f"{number:02d}" for number in range(1, min(used, _GSA_SLOTS) + 1)]
    slots += [""] * (_GSA_SLOTS - len(slots))
    hdop = state.hdop if state.has_fix else 99.99
    pdop = min(99.99, hdop * 1.7)
    vdop = min(99.99, hdop * 1.4)
    return sentence(f"GPGSA,A,{3 if state.has_fix else 1},{','.join(slots)},{pdop:.2f},{hdop:.2f},{vdop:.2f}")


def _gsv(state: ReceiverState) -> list[bytes]:
    numbers = range(1, state.satellites_in_view + 1)
    groups = [numbers[at : at + _SATELLITES_PER_SENTENCE] for at in range(0, len(numbers), _SATELLITES_PER_SENTENCE)]
    total = len(groups)
    sentences = []
    for place, group in enumerate(groups, start=1):
        # Elevation, azimuth and signal are told apart by number; nobody computes with them.
        blocks = [f"{n:02d},{(n * 13) % 85 + 5:02d},{(n * 47) % 360:03d},{(n * 7) % 25 + 20:02d}" for n in group]
        sentences.append(sentence(f"GPGSV,{total},{place},{len(numbers):02d},{','.join(blocks)}"))
    return sentences or [sentence("GPGSV,1,1,00")]


def _time(state: ReceiverState) -> str:
    if state.time_ms is None:
        return ""
    moment = datetime.fromtimestamp(state.time_ms / 1_000, UTC)
    return f"{moment:%H%M%S}.{moment.microsecond // 10_000:02d}"


def _date(state: ReceiverState) -> str:
    return "" if state.time_ms is None else f"{datetime.fromtimestamp(state.time_ms / 1_000, UTC):%d%m%y}"


def _course(state: ReceiverState) -> str:
    """Rounded before it is reduced, so that 360.00 never appears."""
    return f"{round(state.course_deg, 2) % 360:.2f}"


def _place(state: ReceiverState) -> str:
    latitude = _angle(state.latitude, 2)
    longitude = _angle(state.longitude, 3)
    return f"{latitude},{'N' if state.latitude >= 0 else 'S'},{longitude},{'E' if state.longitude >= 0 else 'W'}"


def _angle(degrees: float, width: int) -> str:
    """Degrees and minutes with five decimals, rounded once so that 60.00000 minutes never appear."""
    hundred_thousandths = round(abs(degrees) * 60 * 100_000)
    whole, rest = divmod(hundred_thousandths, 60 * 100_000)
    return f"{whole:0{width}d}{rest // 100_000:02d}.{rest % 100_000:05d}"
