"""Metrics of endpoints: what waits for each, how old it is, and how the endpoint answers."""

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from pledgewatch_cloud.api.access import Service
from pledgewatch_cloud.journal.store import StoreError
from pledgewatch_cloud.outbox.circuit import CircuitState

_LABELS = ["endpoint"]


def families(service: Service) -> Iterator[Metric]:
    """One family after the other, with a sample for each endpoint."""
    yield from _of_relays(service)
    try:
        states = service.store.endpoints()
    except StoreError:
        return  # its absence says it
    for name, text, values in (
        ("pending", "messages to deliver", {one.name: one.pending for one in states}),
        ("dead", "dead letters", {one.name: one.dead for one in states}),
        ("stopped", "1: it answered 410 and waits for a person", {one.name: bool(one.stopped_at_ms) for one in states}),
    ):
        yield _gauge(name, text, values)
    yield _counter("deliveries", "deliveries that were ever noted", {one.name: one.records for one in states})


def _of_relays(service: Service) -> Iterator[Metric]:
    relays = service.relays
    yield _counter("attempts", "attempts since start", {name: one.metrics.attempts for name, one in relays.items()})
    yield _counter(
        "buried", "dead letters made since start", {name: one.metrics.buried for name, one in relays.items()}
    )
    failures = CounterMetricFamily(
        "pledgewatch_endpoint_failures", "attempts that were not taken, since start", labels=["endpoint", "reason"]
    )
    circuits = GaugeMetricFamily("pledgewatch_endpoint_circuit", "1: it is in this state", labels=["endpoint", "state"])
    answers = HistogramMetricFamily("pledgewatch_endpoint_answer_seconds", "how long attempts took", labels=_LABELS)
    for name, one in relays.items():
        for reason, count in sorted(one.metrics.failures.items()):
            failures.add_metric([name, reason], count)
        for state in CircuitState:
            circuits.add_metric([name, state], int(one.circuit.state is state))
        answer_s = one.metrics.answer_s
        bounds = [*(str(float(bound)) for bound in answer_s.bounds), "+Inf"]
        buckets = list(zip(bounds, map(float, accumulate(answer_s.counts)), strict=True))
        answers.add_metric([name], buckets, answer_s.total)
    yield from (failures, circuits, answers)
    lags = {name: one.lag_s for name, one in relays.items()}
    yield _gauge("oldest_pending_seconds", "how old the oldest message is that it has still to be sent", lags)
    yield _gauge("lagging", "1: older than lag_alert_s", {name: one.is_lagging for name, one in relays.items()})


def _gauge(name: str, text: str, values: dict[str, int] | dict[str, float] | dict[str, bool]) -> Metric:
    family = GaugeMetricFamily(f"pledgewatch_endpoint_{name}", text, labels=_LABELS)
    for endpoint, value in values.items():
        family.add_metric([endpoint], float(value))
    return family


def _counter(name: str, text: str, values: dict[str, int]) -> Metric:
    family = CounterMetricFamily(f"pledgewatch_endpoint_{name}", text, labels=_LABELS)
    for endpoint, value in values.items():
        family.add_metric([endpoint], value)
    return family
