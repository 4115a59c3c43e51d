"""`/metrics` for Prometheus: what has gone through, how long it took, and how far everything lies behind."""

from collections.abc import Iterator
from itertools import accumulate

from fastapi import APIRouter, Depends, Response
from fastapi.concurrency import run_in_threadpool
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from pledgewatch_cloud.api import endpoint_metrics
from pledgewatch_cloud.api.access import Service, ServiceOf, for_keepers
from pledgewatch_cloud.histogram import Histogram
from pledgewatch_cloud.journal.store import StoreError
from pledgewatch_cloud.series.series import SeriesError

router = APIRouter(tags=["status"])


@router.get("/metrics", include_in_schema=False, dependencies=[Depends(for_keepers)])
async def read_metrics(service: ServiceOf) -> Response:
    """The metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Metrics(service))
    text = await run_in_threadpool(generate_latest, registry)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


class _Metrics(Collector):
    """Everything at the moment of a scrape."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """One family after the other."""
        yield from self._counters()
        yield from self._histograms()
        yield from self._gauges()
        yield from endpoint_metrics.families(self._service)

    def _counters(self) -> Iterator[Metric]:
        metrics = self._service.metrics
        counters = (
            ("received_messages", "messages taken from the broker", metrics.messages),
            ("committed_readings", "readings on disk", metrics.readings_committed),
            ("known_payloads", "payloads that held nothing new", metrics.payloads_known),
            ("commits", "batches on disk", metrics.commits),
            ("published_messages", "messages handed to the broker", self._service.broker_counts().published),
            ("refused_messages", "of those, not wanted by the broker", self._service.broker_counts().refused),
        )
        for name, text, value in counters:
            yield CounterMetricFamily(f"pledgewatch_{name}", text, value=value)
        for name, text, reasons in (
            ("refused_payloads", "readable payloads that were not taken", metrics.refused_for),
            ("unreadable_payloads", "payloads that could not be read", metrics.unreadable_for),
        ):
            family = CounterMetricFamily(f"pledgewatch_{name}", text, labels=["reason"])
            for reason, count in sorted(reasons.items()):
                family.add_metric([reason], count)
            yield family
        for name, text, submissions in (
            ("submissions", "what senders handed in", self._service.submissions),
            ("stock_reports", "what stock systems handed in", self._service.stock_reports),
        ):
            family = CounterMetricFamily(f"pledgewatch_{name}", text, labels=["became"])
            for became, count in sorted(submissions.counts.items()):
                family.add_metric([became], count)
            yield family

    def _histograms(self) -> Iterator[Metric]:
        metrics = self._service.metrics
        yield _family("batch_messages", "messages committed at once", metrics.batch_messages)
        yield _family("commit_seconds", "from a decoded batch to the disk", metrics.commit_s)
        yield _family("received_to_committed_seconds", "from the broker to the disk", metrics.waited_s)
        yield _family("measured_to_committed_seconds", "from the device to the disk", metrics.measured_s)

    def _gauges(self) -> Iterator[Metric]:
        service, state = self._service, self._service.writer.state
        yield GaugeMetricFamily("pledgewatch_journal_entry", "the last entry", value=state.entry)
        yield GaugeMetricFamily("pledgewatch_broker_connected", "1: yes", value=int(service.broker_connected()))
        yield GaugeMetricFamily(
            "pledgewatch_disk_lost", "1: nothing can be committed", value=int(service.writer.is_lost)
        )
        yield GaugeMetricFamily(
            "pledgewatch_stock_book_full",
            "1: reports of stock are refused for want of room",
            value=int(service.stock_reports.room.is_lost),
        )
        heard_s = max(0, state.recorded_at_ms - state.horizon_ms) / 1_000 if state.horizon_ms else 0
        yield GaugeMetricFamily("pledgewatch_deaf_seconds", "how long devices were not heard", value=heard_s)
        missing = [sum(last - first + 1 for first, last in one.marks.missing) for one in state.devices.values()]
        yield GaugeMetricFamily("pledgewatch_gap_readings", "readings missing below later ones", value=sum(missing))
        gaps = sum(count > 0 for count in missing)
        yield GaugeMetricFamily("pledgewatch_gap_epochs", "devices' epochs with such gaps", value=gaps)
        yield from self._tables()
        yield from self._registry()
        spooled = [one.spooled_readings for one in service.metrics.said.values()]
        yield GaugeMetricFamily("pledgewatch_spooled_readings", "what devices said they hold", value=sum(spooled))
        deepest = max(spooled, default=0)
        yield GaugeMetricFamily("pledgewatch_deepest_spool_readings", "the most that one holds", value=deepest)
        try:
            lag = max(0, state.entry - service.series.cursor)
            yield GaugeMetricFamily("pledgewatch_series_lag_entries", "how far series lie behind", value=lag)
        except SeriesError:
            pass  # its absence says it
        try:
            counts = service.store.counts()
            yield GaugeMetricFamily(
                "pledgewatch_outbox_pending", "messages that the core has still to be sent", value=counts.outbox_pending
            )
            yield GaugeMetricFamily("pledgewatch_outbox_dead", "the core's dead letters", value=counts.outbox_dead)
            yield GaugeMetricFamily("pledgewatch_quarantined", "ever set aside", value=counts.quarantined)
        except StoreError:
            pass

    def _registry(self) -> Iterator[Metric]:
        """How the registry that banks share stands to what is pledged here; nothing where there is none."""
        if self._service.membership is None:
            return
        found = self._service.membership.standing
        for name, text, size in (
            ("away", "1: it cannot be had, and nothing is pledged", int(bool(found.fault))),
            ("unclaimed", "pledged here and not claimed there", len(found.clashing) + len(found.refused)),
            ("due", "families whose claim is still to be settled", found.due),
            ("strange", "claims that no receipt here is the reason of", found.strange),
            ("clashes", "clashes in which a claim of ours is", len(found.clashes)),
        ):
            yield GaugeMetricFamily(f"pledgewatch_registry_{name}", text, value=size)

    def _tables(self) -> Iterator[Metric]:
        """How much the state holds of what grows with the fleet or with what goes wrong."""
        state = self._service.writer.state
        for name, text, size in (
            ("state_epochs", "devices' epochs that are known", len(state.devices)),
            ("state_unjoined_leaves", "readings beyond a gap", sum(len(one.leaves) for one in state.devices.values())),
            ("state_assets", "assets that were heard of", len(state.assets)),
            ("state_causes", "causes of alerts that stand", sum(len(one.causes) for one in state.facts.values())),
            ("state_alerts", "alerts that are open or not forgotten", len(state.alerts)),
            ("state_stock_rows", "movements of stock and counts that are kept", len(state.stock)),
            ("state_stock_keys", "goods in bins that anything was ever said of", state.stock.key_count),
            (
                "milestones_unbooked",
                "milestones whose release was sent, and is not booked by what was said",
                sum(one.is_unbooked for one in state.milestones.values()),
            ),
        ):
            yield GaugeMetricFamily(f"pledgewatch_{name}", text, value=size)


def _family(name: str, text: str, histogram: Histogram) -> HistogramMetricFamily:
    running = accumulate(histogram.counts)
    bounds = [*(str(float(bound)) for bound in histogram.bounds), "+Inf"]
    buckets = list(zip(bounds, map(float, running), strict=True))
    return HistogramMetricFamily(f"pledgewatch_{name}", text, buckets=buckets, sum_value=histogram.total)
