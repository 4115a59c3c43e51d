"""Renewing a certificate: when, what is tried, what stays in force, and what is said of a refusal."""

import asyncio
import datetime as dt
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from edge_support import until
from enrolling import RefusalError, enrolling
from renewing import DEVICE, World

from pledgewatch_edge.cloud_api import CloudApi
from pledgewatch_edge.identity import StateError
from pledgewatch_edge.renewal import LOOK_AGAIN_S, TRY_FIRST_S, TRY_MAX_S
from pledgewatch_edge.tls import Shown
from pledgewatch_edge.tls_identity import BROKER, CLOUD, TlsIdentity, refusals, standing_of, told

DAY_MS = 86_400_000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with enrolling(tmp_path / "cloud") as cloud:
        yield World(tmp_path, cloud)


async def test_it_is_renewed_at_two_thirds_of_its_life_and_not_before(world: World) -> None:
    term = world.term()
    assert 2 / 3 <= (term.renew_ms - term.from_ms) / (term.end_ms - term.from_ms) < 2 / 3 + 1 / 20
    assert await world.renewal.step() == LOOK_AGAIN_S
    world.now_ms = term.renew_ms - 1_500
    assert await world.renewal.step() == 1.5
    assert not world.tried
    world.is_due()
    before = world.identity.certificate()
    assert await world.renewal.step() == 0.0
    [shown] = world.tried
    assert shown.certificate_file.name == "tls.crt.new"
    assert world.identity.certificate() != before
    assert world.identity.is_whole()
    assert world.term().end_ms == term.end_ms + 60 * DAY_MS
    assert not [path.name for path in world.state.iterdir() if path.name.endswith(".new")]
    assert await world.renewal.step() == LOOK_AGAIN_S
    assert world.renewals() == 1


async def test_the_cloud_is_told_once_the_new_one_is_in_force_and_not_before(world: World) -> None:
    before, world.lets_in = world.identity.certificate(), False
    assert await world.renewal.step() == LOOK_AGAIN_S
    world.is_due()
    await world.renewal.step()
    assert world.confirmed() == [], "it may have to go on with the one before"
    assert world.cloud.revoked == set()
    world.lets_in = True
    assert await world.renewal.step() == 0.0
    after = world.identity.certificate()
    assert before != after
    assert world.confirmed() == [after]
    assert world.cloud.revoked == {world.cloud.serials[DEVICE][0]}
    assert await world.renewal.step() == LOOK_AGAIN_S
    assert world.confirmed() == [after]


async def test_what_the_cloud_has_not_heard_is_told_again_after_a_restart_too(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = world.cloud.answer

    def lost(path: str, said: dict[str, Any]) -> dict[str, Any]:
        world.cloud.fails = int(path == "/devices/confirmations")
        return answer(path, said)

    world.is_due()
    with monkeypatch.context() as patch:
        patch.setattr(world.cloud, "answer", lost)
        assert TRY_FIRST_S / 2 <= await world.renewal.step() <= TRY_FIRST_S
    assert "the certificate cannot be confirmed" in caplog.text
    assert world.identity.is_whole()
    world.renewal = world.start()
    assert await world.renewal.step() == 0.0
    assert world.confirmed() == [world.identity.certificate()] * 2
    assert await world.renewal.step() == LOOK_AGAIN_S
    assert (len(world.tried), world.renewals()) == (1, 1)


async def test_one_who_was_ousted_meanwhile_says_so(world: World) -> None:
    """By whoever has a copy of the certificate before, say."""
    world.is_due()
    world.cloud.end += dt.timedelta(days=1)
    tries = world._tries

    async def ousted(shown: Shown) -> bool:
        world.cloud.revoked.update(world.cloud.serials[DEVICE])
        return await tries(shown)

    world._tries = ousted  # type: ignore[method-assign]
    world.renewal = world.start()
    assert await world.renewal.step() == 0.0, "it may be that the one before counts still"
    assert 40_000 < await world.renewal.step() <= 86_400
    assert "the cloud refuses this device" in str(standing_of(world.state)["wrong"])
    assert world.confirmed() != [], "and was told so by it"


async def test_the_same_claim_run_again_after_a_renewal_brings_no_old_keys_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, other = world.cloud.answer, "cd" * 32
    authority = (world.cloud.folder / "ca.pem").read_text(encoding="ascii") * 2  # as while an authority is replaced
    given = {"broker_ca": authority, "care_public_key": other}
    world.is_due()
    with monkeypatch.context() as patch:
        patch.setattr(world.cloud, "answer", lambda path, said: answer(path, said) | given)
        assert await world.renewal.step() == 0.0
    names = ("tls.crt", "tls.key", "broker-ca.crt", "care.pub")
    renewed = {name: (world.state / name).read_bytes() for name in names}
    assert (renewed["care.pub"], renewed["broker-ca.crt"]) == (f"{other}\n".encode(), authority.encode())
    world.claim()
    assert {name: (world.state / name).read_bytes() for name in names} == renewed
    (world.state / "broker-ca.crt").unlink()  # what is missing comes back
    world.claim()
    assert (world.state / "broker-ca.crt").exists()


async def test_what_the_broker_does_not_let_in_waits_and_the_old_one_stays(world: World) -> None:
    world.is_due()
    before, world.lets_in = world.identity.certificate(), False
    assert TRY_FIRST_S / 2 <= await world.renewal.step() <= TRY_FIRST_S
    assert world.identity.certificate() == before
    assert world.identity.is_whole()
    assert TRY_FIRST_S <= await world.renewal.step() <= 2 * TRY_FIRST_S
    world.renewal = world.start()  # and after a restart
    world.lets_in = True
    assert await world.renewal.step() == 0.0
    assert world.identity.certificate() != before
    assert (len(world.tried), world.renewals()) == (3, 1)


async def test_one_who_is_outrun_asks_for_the_key_that_it_has_once_it_is_late(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody with a copy of the card has used up what the cloud gives for other keys."""
    world.is_due()
    key, before = (world.state / "tls.key").read_bytes(), world.identity.certificate()
    answer = world.cloud.answer

    def outrun(path: str, said: dict[str, Any]) -> dict[str, Any]:
        leaf = x509.load_pem_x509_certificate(said["certificate"].encode())
        is_renewal = path == "/devices/renewals"
        if is_renewal and x509.load_pem_x509_csr(said["csr"].encode()).public_key() != leaf.public_key():
            world.cloud.asked.append((path, said))
            raise RefusalError(429, "it may have one for the key that it shows")
        return answer(path, said)

    monkeypatch.setattr(world.cloud, "answer", outrun)
    for _ in range(3):
        assert 0 < await world.renewal.step() <= 4 * TRY_FIRST_S
    assert len({said["csr"] for _, said in world.cloud.asked[1:]}) == 1, "for another key, as long as there is time"
    world.now_ms = world.term().late_ms
    world.cloud.clock_ahead_s = (world.now_ms - world.real_ms) / 1_000
    assert await world.renewal.step() > 0
    world.renewal = world.start()  # and after a restart
    assert await world.renewal.step() == 0.0
    assert (world.state / "tls.key").read_bytes() == key
    assert world.identity.certificate() != before
    assert world.identity.is_whole()
    assert world.confirmed() == [world.identity.certificate()]
    assert not [path.name for path in world.state.iterdir() if path.name.endswith(".new")]


async def test_a_power_cut_while_another_certificate_for_one_key_comes_into_force_is_mended(world: World) -> None:
    world.identity.ask_for_the_key_in_force()
    request = x509.load_pem_x509_csr(world.identity.request(DEVICE))
    granted = world.cloud.authority.grant(request, world.cloud.begin, world.cloud.end)
    world.identity.keep(granted.public_bytes(Encoding.PEM).decode(), DEVICE)
    world.identity.mend()
    assert world.identity.certificate() != granted.public_bytes(Encoding.PEM), "it is to be tried before"
    (world.state / "tls.key.new").replace(world.state / "tls.key")
    TlsIdentity(world.state).mend()
    assert world.identity.certificate() == granted.public_bytes(Encoding.PEM)
    assert world.identity.is_whole()


async def test_one_whose_new_certificate_is_not_let_in_asks_again_once_it_is_late(world: World) -> None:
    """Another was given meanwhile to somebody who has a copy of the one in force, and this one counts no more."""
    world.is_due()
    world.lets_in = False
    for _ in range(2):
        await world.renewal.step()
    assert world.renewals() == 1
    world.now_ms = world.term().late_ms
    world.cloud.clock_ahead_s = (world.now_ms - world.real_ms) / 1_000
    waiting = (world.state / "tls.crt.new").read_bytes()
    await world.renewal.step()
    assert world.renewals() == 2
    assert (world.state / "tls.crt.new").read_bytes() != waiting
    asked = [said["csr"] for path, said in world.cloud.asked if path == "/devices/renewals"]
    assert asked[0] == asked[1]
    world.cloud.close()
    world.lets_in = True
    await world.renewal.step()
    assert len(world.tried) == 4, "what waits is tried also where the cloud is away"
    assert not (world.state / "tls.crt.new").exists()


@pytest.mark.parametrize("why", ["ended", "refused"])
async def test_the_new_one_takes_the_place_of_one_that_is_of_no_use(world: World, why: str) -> None:
    world.is_due()
    before, world.lets_in = world.identity.certificate(), False
    await world.renewal.step()
    if why == "ended":
        world.now_ms = world.term().end_ms + 1
    else:
        await world.standing.refused(BROKER, "its certificate is revoked")
    await world.renewal.step()
    assert world.identity.certificate() != before


async def test_a_cloud_that_is_away_is_asked_again_ever_more_seldom(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.is_due()
    world.cloud.close()
    waits = [await world.renewal.step() for _ in range(12)]
    assert all(
        TRY_FIRST_S * 2**n / 2 <= wait <= min(TRY_MAX_S, TRY_FIRST_S * 2**n) or wait >= TRY_MAX_S / 2
        for n, wait in enumerate(waits)
    )
    assert max(waits) <= TRY_MAX_S
    assert caplog.text.count("the certificate cannot be renewed") == 1
    assert standing_of(world.state, now_ms=world.now_ms)["wrong"] == []
    world.now_ms = world.term().end_ms - DAY_MS
    assert standing_of(world.state, now_ms=world.now_ms)["wrong"] == [
        "the certificate has not been renewed though it is late; see the log for why"
    ]


async def test_who_looks_is_told_that_the_cloud_is_not_believed_by_this_clock(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*_: object, **__: object) -> None:
        error = ssl.SSLCertVerificationError(1, "certificate verify failed")
        error.verify_code, error.verify_message = 10, "certificate has expired"
        raise error

    world.is_due()
    with monkeypatch.context() as patch:
        patch.setattr("pledgewatch_edge.cloud_api.client_context", ended)
        api = CloudApi("https://127.0.0.1:1")
        patch.setattr(world.renewal, "_api", lambda: api)
        assert await world.renewal.step() > 0
    found = standing_of(world.state, now_ms=world.now_ms)["wrong"]
    why = "it has ended; or this computer's clock is ahead; this computer's clock says"
    assert found == [f"the certificate of https://127.0.0.1:1 cannot be believed: {why} {told(world.now_ms)}"]
    assert await world.renewal.step() == 0.0
    assert standing_of(world.state, now_ms=world.now_ms)["wrong"] == []


async def test_one_who_is_to_wait_says_so_once(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = iter(range(100, 90, -1))

    def too_often(path: str, said: dict[str, Any]) -> dict[str, Any]:
        raise RefusalError(429, f"it may again from 2026-05-30 on; ask again in {next(waits)} s")

    monkeypatch.setattr(world.cloud, "answer", too_often)
    world.is_due()
    for _ in range(3):
        assert 0 < await world.renewal.step() <= 4 * TRY_FIRST_S
    assert caplog.text.count("ask again in") == 1
    assert standing_of(world.state, now_ms=world.now_ms)["wrong"] == []


async def test_an_answer_that_is_lost_is_asked_for_with_the_same_request(world: World) -> None:
    world.is_due()
    world.cloud.fails = 1
    await world.renewal.step()
    assert await world.renewal.step() == 0.0
    asked = [said for path, said in world.cloud.asked if path == "/devices/renewals"]
    assert len(asked) == 2
    assert asked[0]["csr"] == asked[1]["csr"]


async def test_a_refusal_for_good_is_said_once_and_kept_for_status(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.standing.refused(BROKER, "its certificate is revoked")
    world.cloud.revoked |= set(world.cloud.serials[DEVICE])
    for _ in range(3):
        assert 40_000 < await world.renewal.step() <= 86_400
    assert caplog.text.count("this device is refused by=broker") == 1
    assert caplog.text.count("this device is refused by=cloud") == 1
    assert set(refusals(world.state)) == {BROKER, CLOUD}
    assert standing_of(world.state)["wrong"] == [
        "the broker refuses this device: its certificate is revoked",
        "the cloud refuses this device: the cloud says: this certificate is revoked: box-2 stands in its place",
    ]
    caplog.clear()
    await world.standing.accepted(BROKER)
    await world.standing.accepted(CLOUD)
    assert standing_of(world.state)["wrong"] == []
    assert not (world.state / "refused").exists()


async def test_a_broker_that_refuses_a_good_device_costs_a_renewal(world: World) -> None:
    """Its list of revocations is out of date, say: the cloud gives another certificate at once."""
    await world.standing.refused(BROKER, "its certificate has ended, or the broker's list of revocations has")
    before = world.identity.certificate()
    assert await world.renewal.step() == 0.0
    assert world.identity.certificate() != before


async def test_a_clock_that_is_wrong_signs_by_the_clouds(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.is_due()
    world.now_ms += 3_600_000
    assert await world.renewal.step() == 0.0
    assert "clock and the cloud's differ by_s=3" in caplog.text


@pytest.mark.parametrize("is_synchronised", [True, False])
async def test_a_clock_far_ahead_renews_as_often_as_the_clouds_says(
    world: World, caplog: pytest.LogCaptureFixture, is_synchronised: bool
) -> None:
    world.is_synchronised = is_synchronised
    world.now_ms += 1_000 * DAY_MS
    for _ in range(2):
        while (wait_s := await world.renewal.step()) == 0.0:
            pass
        assert wait_s == LOOK_AGAIN_S
        assert not world.tried
        world.renewal = world.start()  # what it knew of the time is gone
    world.is_due()
    world.now_ms += 1_000 * DAY_MS
    world.cloud.clock_ahead_s += 5  # it says whole seconds
    assert await world.renewal.step() == 0.0
    while await world.renewal.step() == 0.0:
        pass
    assert len(world.tried) == 1
    assert len(world.confirmed()) == 1
    assert caplog.text.count("clock and the cloud's differ by_s=8") == 3


async def test_a_clock_that_nothing_keeps_and_is_behind_renews_in_time(world: World) -> None:
    world.is_synchronised = False
    assert await world.renewal.step() == LOOK_AGAIN_S
    world.monotonic_s += 60 * 86_400  # and the clock stood still
    before = world.now_ms
    world.is_due()
    world.now_ms = before
    world.cloud.clock_ahead_s += 5  # it says whole seconds
    assert await world.renewal.step() == 0.0
    assert len(world.tried) == 1
    world.now_ms = world.real_ms + round(1_000 * world.cloud.clock_ahead_s)  # set right: it is gone by again
    world.monotonic_s += 86_400
    assert await world.renewal.step() == LOOK_AGAIN_S
    assert world.renewal._cloud_less_mark_ms is None


async def test_a_clock_that_nothing_keeps_is_gone_by_where_the_cloud_is_away(world: World) -> None:
    world.is_synchronised = False
    world.cloud.close()
    assert await world.renewal.step() == LOOK_AGAIN_S


@pytest.mark.parametrize("path", ["/devices/renewals", "/devices/confirmations"])
async def test_what_is_asked_is_seen_to_its_end_by_who_is_cancelled(
    world: World, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    answer, begun, may_go_on = world.cloud.answer, threading.Event(), threading.Event()

    def slow(asked: str, said: dict[str, Any]) -> dict[str, Any]:
        if asked == path:
            begun.set()
            assert may_go_on.wait(60)
        return answer(asked, said)

    monkeypatch.setattr(world.cloud, "answer", slow)
    world.is_due()
    running = asyncio.create_task(world.renewal.run())
    await until(begun.is_set, "the cloud to be asked")
    for _ in range(2):
        running.cancel()
        await asyncio.wait([running], timeout=0.1)
        assert not running.done(), "the next station would ask beside it"
    may_go_on.set()
    await asyncio.wait([running], timeout=60)
    assert running.cancelled()
    if path == "/devices/renewals":
        assert world.identity.waiting() is not None
    else:
        assert world.identity.is_confirmed()


async def test_a_clock_that_is_not_set_judges_by_the_clouds(world: World) -> None:
    world.is_due()
    world.cloud.clock_ahead_s -= 7_200.0
    world.now_ms = 1_000
    assert await world.renewal.step() == LOOK_AGAIN_S
    world.monotonic_s += 7_300
    world.cloud.clock_ahead_s += 7_300.0
    assert await world.renewal.step() == 0.0
    assert world.renewals() == 1
    assert "clock is not set" in str(standing_of(world.state, now_ms=world.now_ms)["wrong"])


async def test_a_cut_between_the_renames_is_finished_at_the_next_start(world: World) -> None:
    world.is_due()
    world.lets_in = False
    await world.renewal.step()
    (world.state / "tls.key.new").replace(world.state / "tls.key")  # and the power went
    assert not world.identity.is_whole()
    world.identity.mend()
    assert world.identity.is_whole()
    assert not (world.state / "tls.crt.new").exists()


async def test_a_cut_as_it_comes_into_force_is_told_to_the_cloud_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.is_due()
    replace = Path.replace

    def cut(path: Path, target: Path) -> Path:
        if path.name == "tls.crt.new":
            raise OSError(5, "the power went", str(path))
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", cut)
        assert await world.renewal.step() > 0.0
    assert world.confirmed() == []
    world.renewal = world.start()
    assert await world.renewal.step() == 0.0
    assert world.identity.is_whole()
    assert world.confirmed() == [world.identity.certificate()]
    assert world.renewals() == 1


async def test_what_belongs_to_nothing_is_named(world: World) -> None:
    (world.state / "tls.key").write_bytes(b"no key")
    (world.state / "tls.key").chmod(0o600)
    with pytest.raises(StateError, match=r"tls\.key: is no private key"):
        world.identity.is_whole()
    (world.state / "tls.key").chmod(0o644)
    assert "run chmod 600" in str(standing_of(world.state)["wrong"])
    (world.state / "tls.crt").unlink()
    assert standing_of(world.state)["certificate_ends"] is None
    assert await world.renewal.step() == LOOK_AGAIN_S


async def test_another_ca_of_the_broker_comes_with_the_certificate(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    with enrolling(tmp_path / "other") as other:
        authority = (other.folder / "ca.pem").read_text(encoding="ascii")
    answer: Callable[..., dict[str, Any]] = world.cloud.answer
    monkeypatch.setattr(
        world.cloud,
        "answer",
        lambda path, said: answer(path, said) | {"broker_ca": authority, "care_public_key": "cd" * 32},
    )
    world.is_due()
    assert await world.renewal.step() == 0.0
    assert world.tried[0].ca_file == world.state / "broker-ca.crt.new"
    assert (world.state / "broker-ca.crt").read_text(encoding="ascii") == authority
    assert (world.state / "care.pub").read_text(encoding="ascii") == "cd" * 32 + "\n"


async def test_it_looks_again_when_the_broker_refuses(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pledgewatch_edge")
    await world.standing.refused(BROKER, "its certificate is revoked")
    begun = time.monotonic()
    await world.standing.refused_within(30.0)
    assert time.monotonic() - begun < 5.0
    await world.standing.refused_within(0.0)
