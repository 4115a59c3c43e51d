"""What a configuration says, made into what the programs use: the journal's clock, the broker's address, the series."""

from pledgewatch_cloud.clock import Clock, CompressedClock, SystemClock
from pledgewatch_cloud.config import CloudSettings, SeriesKind
from pledgewatch_cloud.ingest.subscriber import BrokerAddress
from pledgewatch_cloud.series.embedded import EmbeddedSeries
from pledgewatch_cloud.series.series import Series, SeriesError


def clock_of(settings: CloudSettings) -> Clock:
    """The journal's clock."""
    if settings.clock is None:
        return SystemClock()
    one = settings.clock
    return CompressedClock(one.simulated_start_ms, one.speed, one.anchor_ms, one.simulated_end_ms)


def broker_address(settings: CloudSettings) -> BrokerAddress:
    """Where the broker is."""
    broker = settings.broker
    return BrokerAddress(
        host=broker.host,
        port=broker.port,
        client_id=broker.client_id,
        username=broker.username,
        password_file=broker.password_file,
        ca_file=broker.ca_file,
        certificate_file=broker.certificate_file,
        key_file=broker.key_file,
        keep_alive_s=broker.keep_alive_s,
        receive_maximum=broker.receive_maximum,
        session_expiry_s=broker.session_expiry_s,
        reconnect_max_s=broker.reconnect_max_s,
    )


def series_of(settings: CloudSettings, journal: str) -> Series:
    """The series of a journal, opened. Raises SeriesError where they cannot be."""
    folder, series = settings.service.data_folder, settings.series
    if series.kind is SeriesKind.EMBEDDED:
        return EmbeddedSeries(folder, journal, retention_days=series.retention_days)
    from pledgewatch_cloud.series.influxdb import InfluxSeries  # noqa: PLC0415 - a large library that few need

    assert series.token_file is not None
    try:
        token = series.token_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SeriesError(f"{series.token_file} cannot be read: {error.strerror}") from None
    return InfluxSeries(
        folder,
        journal,
        url=series.url,
        token=token,
        org=series.org,
        bucket=series.bucket,
        retention_days=series.retention_days,
        timeout_s=series.timeout_s,
    )
