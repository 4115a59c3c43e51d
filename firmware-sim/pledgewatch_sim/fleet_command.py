"""`pledgewatch-sim fleet`: a fleet's book, or its traffic, sent and measured."""

import argparse
import json
import sys
import time

from pledgewatch_sim.fleet import BACKLOG_STEP_MS, DAY_MS, Fleet, Sent, book
from pledgewatch_sim.publisher import packets_of, publish

_READINGS_MAX = 50_000_000


def run(options: argparse.Namespace) -> int:
    """Do what the options ask. Raises ValueError for options that cannot be, PublishError, OSError."""
    devices = range(options.first, options.first + options.devices)
    if options.book is not None:
        options.book.write_text(json.dumps(book(devices, options.fences)) + "\n", encoding="utf-8")
        print(f"{options.book}: {options.devices} devices, {options.fences} fences")
        return 0
    rounds = options.rounds
    if rounds is None:
        if not options.rate > 0 or not options.seconds > 0:
            raise ValueError("say --rate and --seconds, both above 0, or --rounds")
        rounds = max(1, round(options.rate * options.seconds / options.devices))
    readings = options.devices * (rounds + int(options.backlog * DAY_MS) // BACKLOG_STEP_MS)
    if readings > _READINGS_MAX:
        raise ValueError(f"that is {readings} readings, made before they are sent; {_READINGS_MAX} fit into memory")
    fleet = Fleet(
        devices,
        rounds=rounds,
        until_ms=time.time_ns() // 1_000_000,
        backlog_days=options.backlog,
        epoch=options.epoch,
    )
    backlog, live = list(fleet.backlog()), list(fleet.live())
    report = {"devices": options.devices}
    if backlog:
        report["backlog"] = _publish(options, backlog, rate=0.0)
    if live:
        report["live"] = _publish(options, live, rate=options.rate)
    text = json.dumps(report)
    print(text)
    if options.report is not None:
        options.report.write_text(text + "\n", encoding="utf-8")
    return 0


def _publish(options: argparse.Namespace, messages: list[Sent], *, rate: float) -> dict[str, object]:
    readings, size = sum(one.readings for one in messages), sum(len(one.payload) for one in messages)
    packets = packets_of((one.topic, one.payload) for one in messages)
    print(f"{len(messages)} messages of {readings} readings are ready", file=sys.stderr, flush=True)
    client = f"fleet-{options.first}-{options.epoch}"
    published = publish(options.host, options.port, packets, rate=rate, client=client)
    return {"readings": readings, "bytes_per_reading": round(size / readings, 2), **published.report()}
