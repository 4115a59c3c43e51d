"""A stand-in for what InfluxDB 2 does with readings: it keeps the lines that it is written, and answers the one kind
of query that asks for values, in steps or not. It is no InfluxDB: it is made from the documentation of `range` (its
end is not in it) and `aggregateWindow` (windows begin at whole multiples of `every`; `_start` and `_stop` of the first
and last are cut at the range). The real one is held to the same contract where INFLUXDB_URL names it.
"""

import gzip
import json
import re
from collections import defaultdict
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self

_RANGE = re.compile(r"range\(start: time\(v: (\d+)\), stop: time\(v: (\d+)\)\)")
_OF = re.compile(r'r\.asset == "([^"]*)" and r\._field == "([^"]*)"')
_EVERY = re.compile(r'aggregateWindow\(every: (\d+)ms, fn: (\w+), timeSrc: "_start", createEmpty: false\)')
_LIMIT = re.compile(r"desc: true\) \|> limit\(n: (\d+)\)")
_FUNCTIONS: dict[str, Callable[[list[int]], float]] = {
    "count": len,
    "min": min,
    "max": max,
    "mean": lambda values: sum(values) / len(values),
}


class InfluxStandIn:
    """A server until the context ends. `url` is where it is."""

    def __init__(self) -> None:
        self._points: dict[tuple[str, str], dict[tuple[int, str, str], int]] = defaultdict(dict)
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                if self.path.startswith("/api/v2/write"):
                    stand_in._take(body.decode())
                    self.send_response(204)
                    self.end_headers()
                    return
                said = stand_in._found(json.loads(body)["query"]).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/csv")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        """Serve."""
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    def _take(self, lines: str) -> None:
        for line in lines.splitlines():
            tags, fields, at_ns = line.split(" ")
            if not tags.startswith("reading,"):
                continue
            ((asset, device, epoch),) = re.findall(r",asset=([^,]*),device=([^,]*),epoch=([^,]*)", tags)
            for field in fields.split(","):
                name, _, value = field.partition("=")
                self._points[asset, name][int(at_ns), device, epoch] = int(value.removesuffix("i"))

    def _found(self, query: str) -> str:
        """The rows of a query as annotated CSV."""
        (start, stop), of = (map(int, _one(_RANGE, query).groups())), _one(_OF, query).groups()
        points = self._points[of[0], of[1]]
        found: list[tuple[int, float, str, str]] = sorted(
            (at, one, device, epoch) for (at, device, epoch), one in points.items() if start <= at < stop
        )
        kind = "long"
        if step := _EVERY.search(query):
            every_ns, name = int(step[1]) * 1_000_000, step[2]
            windows: dict[int, list[Any]] = defaultdict(list)
            for at_ns, value, *_ in found:
                windows[max(start, at_ns // every_ns * every_ns)].append(value)
            found = [(at_ns, _FUNCTIONS[name](values), "", "0") for at_ns, values in sorted(windows.items())]
            kind = "double" if name == "mean" else "long"
        if limit := _LIMIT.search(query):
            found = found[::-1][: int(limit[1])]
        told = "" if step else ",string,string", "" if step else ",device,epoch"
        falses, commas = (one * (4 if step else 6) for one in (",false", ","))
        head = f"#datatype,string,long,{kind},long{told[0]}\r\n#group{falses}\r\n#default,_result{commas}\r\n"
        rows = "".join(
            f",,0,{value},{at_ns}{'' if step else f',{device},{epoch}'}\r\n" for at_ns, value, device, epoch in found
        )
        return f"{head},result,table,_value,at_ns{told[1]}\r\n{rows}\r\n"


def _one(pattern: re.Pattern[str], query: str) -> re.Match[str]:
    found = pattern.search(query)
    assert found, f"a query that is not known here: {query}"
    return found
