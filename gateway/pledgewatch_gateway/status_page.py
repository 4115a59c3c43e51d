"""The status page: what the site knows, for a person on the LAN, when the uplink is down most of all.

It is read-only and says nothing secret, but it says what is where: it listens on this machine alone unless told
otherwise, and then belongs into the LAN and not beyond. HTTP/1.1 with one answer a connection: `/` for people,
`/status.json` for programs. Requests, their time and their number at once are bounded.
"""

import asyncio
import contextlib
import datetime as dt
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final, NamedTuple

from pledgewatch_edge.config import require_within
from pledgewatch_edge.logs import World
from pledgewatch_edge.spool.errors import SpoolCorruptError, SpoolError
from pledgewatch_edge.station import Station
from pledgewatch_gateway.documents.bridge import Bridge
from pledgewatch_gateway.roster import RowSettings
from pledgewatch_gateway.site import Site, counts_of
from pledgewatch_gateway.switches import Watch
from pledgewatch_wire.hosts import require_host

REQUEST_MAX_BYTES: Final = 8_192
PATIENCE_S: Final = 5.0
AT_ONCE_MAX: Final = 16
RETRY_S: Final = 5.0
_STYLE: Final = (
    "body{font:16px/1.4 sans-serif;margin:1rem;max-width:70rem}table{border-collapse:collapse;margin:0 0 1.5rem}"
    "td,th{text-align:left;padding:.2rem .8rem .2rem 0;border-bottom:1px solid #ccc}.bad{background:#fdd}"
)
_MOMENTS: Final = ("last_taken", "last_refused", "last_look")
_TABLES: Final = ("rules", "switches", "zones", "sensors", "documents", "document_sources")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusPageSettings:
    """Where the page is to be had. `host` 0.0.0.0 shows it to the whole LAN."""

    host: str = "127.0.0.1"
    port: int = 8480

    def __post_init__(self) -> None:
        if not self.host:
            raise ValueError("host is empty; name the address to listen on")
        require_host("host", self.host)
        require_within("port", self.port, 0, 65_535)


class Shown(NamedTuple):
    """What the page is made of. `spool_of` reads how each station's spool stands, and may take a while."""

    gateway: str
    site: Site
    watch: Watch
    stations: Sequence[Station]
    spool_of: Callable[[Station], Mapping[str, object]]
    bridge: Bridge | None = None


class StatusPage:
    """The page's server."""

    def __init__(self, settings: StatusPageSettings, shown: Shown) -> None:
        self._settings = settings
        self._shown = shown
        self._world = World(log, "status page")
        self._at_once = 0
        self.port = settings.port  # where it listens, once it does

    async def run(self) -> None:
        """Serve for ever. A port that is taken is tried again."""
        while True:
            try:
                server = await asyncio.start_server(
                    self._serve, self._settings.host, self._settings.port, limit=REQUEST_MAX_BYTES
                )
            except OSError as error:
                self._world.lost(error.strerror or str(error))
                await asyncio.sleep(RETRY_S)
                continue
            self._world.back()
            self.port = server.sockets[0].getsockname()[1]
            async with server:
                await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one answer."""
        self._at_once += 1
        try:
            async with asyncio.timeout(PATIENCE_S):
                if self._at_once <= AT_ONCE_MAX:
                    writer.write(await self._answer(reader))
                    await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # whoever asked has gone, or asked for nothing
        finally:
            self._at_once -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        method, _, rest = head.split(b"\r\n", 1)[0].partition(b" ")
        path, _, version = rest.partition(b" ")
        if not version.startswith(b"HTTP/1."):
            return _response(400, "text/plain", "no request by HTTP/1.1\n")
        if method not in {b"GET", b"HEAD"}:
            return _response(405, "text/plain", "this page is only read\n")
        match path.partition(b"?")[0]:
            case b"/":
                answer = _response(200, "text/html", _page(await self._status()))
            case b"/status.json":
                answer = _response(200, "application/json", json.dumps(await self._status(), indent=1) + "\n")
            case _:
                answer = _response(404, "text/plain", "there are / and /status.json\n")
        return answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if method == b"HEAD" else answer

    async def _status(self) -> dict[str, Any]:
        """Everything on the page, as JSON has it."""
        shown = self._shown
        now_ms, clock = shown.site.now()
        rows = shown.site.roster.rows
        return {
            "gateway": shown.gateway,
            "at": _moment(now_ms),
            "clock": clock.name.lower(),
            "zones": [
                {**one.about, "device": one.device, **await asyncio.to_thread(self._spool, one)}
                for one in shown.stations
            ],
            "sensors": [self._sensor(row) for row in rows],
            "rules": [{"name": name, "active": one.is_active} for name, one in sorted(shown.watch.standings.items())],
            "switches": [
                {"name": name, "wanted": want, "is_set": shown.watch.is_set[name]}
                for name, want in sorted(shown.watch.wanted.items())
            ],
            "counts": counts_of(shown.site.counts),
            "documents": [] if shown.bridge is None else [_dated(await asyncio.to_thread(shown.bridge.status))],
            "document_sources": [] if shown.bridge is None else [_dated(one) for one in shown.bridge.sources()],
        }

    def _sensor(self, row: RowSettings) -> dict[str, Any]:
        newest = self._shown.site.newest.get((row.zone, row.number))
        known: dict[str, Any] = {"value": None, "quality": "never_heard", "measured_at": None}
        if newest is not None:
            known = {
                "value": newest.value,
                "quality": newest.quality.name.lower(),
                "measured_at": _moment(newest.measured_at_ms),
            }
        return {"zone": row.zone, "bin": row.bin, "channel": row.channel, "sensor": row.sensor_name, **known}

    def _spool(self, station: Station) -> Mapping[str, object]:
        try:
            status = self._shown.spool_of(station)
        except (SpoolError, SpoolCorruptError) as error:
            return {"spooled": None, "error": str(error)}
        found = {name: status[name] for name in ("spooled", "refused", "oldest_spooled", "certificate_ends")}
        wrong = status["wrong"]
        return {**found, "error": "; ".join(wrong)} if isinstance(wrong, list) and wrong else found


def _dated(status: Mapping[str, Any]) -> dict[str, Any]:
    """The same with its moments as text."""
    moments = {name: _moment(time_ms) for name in _MOMENTS if (time_ms := status.get(name)) is not None}
    return {**status, **moments}


def _moment(time_ms: int) -> str:
    return dt.datetime.fromtimestamp(time_ms / 1_000, dt.UTC).isoformat(timespec="seconds")


def _response(code: int, kind: str, body: str) -> bytes:
    words = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed"}
    data = body.encode("utf-8")
    lines = [
        f"HTTP/1.1 {code} {words[code]}",
        f"Content-Type: {kind}; charset=utf-8",
        f"Content-Length: {len(data)}",
        "Cache-Control: no-store",
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    ]
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + data


def _page(status: Mapping[str, Any]) -> str:
    tables = "".join(_table(title.replace("_", " "), status[title]) for title in _TABLES)
    counts = [{"source": source, **kinds} for source, kinds in status["counts"].items()]
    title = escape(str(status["gateway"]))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="10"><title>{title}'
        f"</title><style>{_STYLE}</style><h1>{title}</h1><p>{escape(status['at'])}, clock {escape(status['clock'])}</p>"
        f"{tables}{_table('counts', counts)}</html>\n"
    )


def _table(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    names = list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f"<th>{escape(name)}" for name in names)
    body = "".join(
        f"<tr{' class=bad' if _is_bad(row) else ''}>" + "".join(f"<td>{escape(_text(row.get(name)))}" for name in names)
        for row in rows
    )
    return f"<h2>{title}</h2><table><tr>{head}{body}</table>"


def _is_bad(row: Mapping[str, Any]) -> bool:
    return (
        row.get("active") is True
        or row.get("quality", "good") != "good"
        or bool(row.get("error") or row.get("last_refusal"))
    )


def _text(value: object) -> str:
    return "" if value is None else str(value)
