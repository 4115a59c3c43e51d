"""A new certificate that is not confirmed yet: the one of before is kept, whenever the power goes, and gone back to
where the cloud refuses the new one; what is told before what is asked; and when the cloud is asked again where it says
when."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from enrolling import RefusalError, enrolling
from renewing import DEVICE, World

from pledgewatch_edge.care.untold import secrets_of
from pledgewatch_edge.config import DeviceSettings
from pledgewatch_edge.identity import replace_file
from pledgewatch_edge.renewal import LOOK_AGAIN_S, PROMPT_TRIES, TRY_FIRST_S, TRY_MAX_S
from pledgewatch_edge.tls_identity import BROKER, TlsIdentity, refusals

OLD = ("tls.key.old", "tls.crt.old")
CONFIRMATIONS, RENEWALS = "/devices/confirmations", "/devices/renewals"


class PowerCutError(Exception):
    """Nothing more is done."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with enrolling(tmp_path / "cloud") as cloud:
        yield World(tmp_path, cloud)


def pair(world: World) -> tuple[bytes, bytes]:
    """Key and certificate in force."""
    return (world.state / "tls.key").read_bytes(), (world.state / "tls.crt").read_bytes()


def left(world: World) -> list[str]:
    """Files of pairs that are not in force."""
    return sorted(path.name for path in world.state.glob("tls.*") if path.suffix in {".new", ".old"})


def refusing(world: World, monkeypatch: pytest.MonkeyPatch, path: str, *refusal: object) -> Callable[[], None]:
    """Let the cloud refuse what is asked there, until the answer is called."""
    answer = world.cloud.answer

    def refused(asked: str, said: dict[str, Any]) -> dict[str, Any]:
        if asked == path:
            world.cloud.asked.append((asked, said))
            raise RefusalError(*refusal)
        return answer(asked, said)

    monkeypatch.setattr(world.cloud, "answer", refused)
    return lambda: monkeypatch.setattr(world.cloud, "answer", answer)


async def unconfirmed(world: World, monkeypatch: pytest.MonkeyPatch) -> tuple[bytes, bytes]:
    """A new certificate comes into force, and the cloud cannot be told so; the pair of before."""
    before = pair(world)
    world.is_due()
    is_well_again = refusing(world, monkeypatch, CONFIRMATIONS, 500, "not now")
    assert await world.renewal.step() > 0
    is_well_again()
    assert pair(world) != before
    return before


async def test_the_pair_of_before_is_kept_until_the_new_one_is_confirmed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = await unconfirmed(world, monkeypatch)
    assert [(world.state / name).read_bytes() for name in OLD] == [key, certificate]
    assert (world.state / "tls.key.old").stat().st_mode & 0o777 == 0o600
    device = DeviceSettings(operator="harbour-line", name=DEVICE, state_folder=world.state, cloud_url=world.cloud.url)
    assert any(one in key.decode() for one in secrets_of(device, world.state)), "it is never told"
    assert await world.renewal.step() == 0.0
    assert left(world) == []
    assert await world.renewal.step() == LOOK_AGAIN_S


async def test_the_pair_of_before_is_gone_back_to_where_the_new_one_was_dropped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody with a copy of the card has asked for another meanwhile."""
    before = await unconfirmed(world, monkeypatch)
    new = pair(world)
    world.cloud.revoked.add(world.cloud.serials[DEVICE][-1])
    world.renewal = world.start()  # after a restart, too
    assert await world.renewal.step() == 0.0
    assert pair(world) == before
    assert left(world) == ["tls.crt.old", "tls.key.old"]
    assert world.cloud.serials[DEVICE][0] not in world.cloud.revoked
    assert await world.renewal.step() == 0.0, "it is confirmed, and renewed"
    assert pair(world)[0] not in (before[0], new[0])
    assert left(world) == []
    assert refusals(world.state) == {}
    assert await world.renewal.step() == LOOK_AGAIN_S


async def test_where_both_are_refused_each_is_tried_once_a_day(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    before = await unconfirmed(world, monkeypatch)
    new = pair(world)
    revoked, world.cloud.revoked = world.cloud.revoked, set(world.cloud.serials[DEVICE])
    for shown in (before, new):
        assert await world.renewal.step() == 0.0
        assert 40_000 < await world.renewal.step() <= 86_400
        assert pair(world) == shown
    world.cloud.revoked = revoked
    assert await world.renewal.step() == 0.0
    assert pair(world) == new
    assert left(world) == []


@pytest.mark.parametrize("status", [404, 422, 500, 429])
async def test_another_refusal_brings_nothing_of_before_back(
    world: World, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    await unconfirmed(world, monkeypatch)
    new = pair(world)
    refusing(world, monkeypatch, CONFIRMATIONS, status, "no")
    for _ in range(3):
        assert await world.renewal.step() > 0
    assert pair(world) == new


def cut_at(monkeypatch: pytest.MonkeyPatch, number: int) -> Callable[[], int]:
    """The power goes before this change of the disk; how many there were."""
    done = 0
    replace, unlink = Path.replace, Path.unlink

    def counted() -> None:
        nonlocal done
        if done == number:
            raise PowerCutError
        done += 1

    def replaced_file(*given: Any) -> None:
        counted()
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", replace)
            replace_file(*given)

    def replaced(path: Path, target: Path) -> Path:
        counted()
        return replace(path, target)

    def unlinked(path: Path, *, missing_ok: bool = False) -> None:
        if path.exists():
            counted()
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr("pledgewatch_edge.tls_identity.replace_file", replaced_file)
    monkeypatch.setattr(Path, "replace", replaced)
    monkeypatch.setattr(Path, "unlink", unlinked)
    return lambda: done


@pytest.mark.parametrize("is_same_key", [False, True])
@pytest.mark.parametrize("doing", ["install", "go_back", "confirmed"])
async def test_wherever_the_power_goes_a_pair_is_usable(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, doing: str, *, is_same_key: bool
) -> None:
    """The next start finishes it, or goes back; and whatever it does, it knows what the cloud has not heard of."""
    world.is_due()
    before = pair(world)
    if is_same_key:
        world.identity.ask_for_the_key_in_force()
    world.lets_in = False
    await world.renewal.step()
    new = tuple((world.state / name).read_bytes() for name in ("tls.key.new", "tls.crt.new"))
    if doing != "install":
        world.identity.install()
    kept = tmp_path / "kept"
    shutil.copytree(world.state, kept)
    cuts = 0
    while True:
        shutil.rmtree(world.state)
        shutil.copytree(kept, world.state)
        with monkeypatch.context() as patch:
            done = cut_at(patch, cuts)
            try:
                getattr(TlsIdentity(world.state), doing)()
                is_whole = True
            except PowerCutError:
                is_whole = False
        assert is_whole or done() == cuts
        identity = TlsIdentity(world.state)
        identity.mend()
        assert identity.is_whole(), cuts
        assert pair(world) in (before, new)
        if doing != "confirmed":
            assert not identity.is_confirmed() or pair(world) == before
            others = {pair(world)}
            if identity.waiting() is not None:
                identity.install()
                others.add(pair(world))
            if identity.go_back():
                others.add(pair(world))
            assert others == {before, new} or (is_whole is False and cuts == 0), "neither is lost"
        else:
            assert pair(world) == new
            assert not identity.is_confirmed() or left(world) == []
        if is_whole:
            break
        cuts += 1
    assert cuts >= 3


async def test_what_is_in_force_is_told_before_another_is_asked_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker refuses the device, and its certificate is too young for another: the one of before, of which there
    may be a copy, is to count no more all the same."""
    await unconfirmed(world, monkeypatch)
    first = world.cloud.serials[DEVICE][0]
    await world.standing.refused(BROKER, "it does not like it")
    refusing(world, monkeypatch, RENEWALS, 429, "it is young", 86_400)
    assert await world.renewal.step() > 0
    assert world.identity.is_confirmed()
    assert world.cloud.revoked == {first}
    assert left(world) == ["tls.csr.new", "tls.key.new"]


async def test_what_cannot_be_told_keeps_nothing_from_being_renewed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await unconfirmed(world, monkeypatch)
    before = pair(world)
    world.is_due()
    refusing(world, monkeypatch, CONFIRMATIONS, 429, "too often", 10)
    assert TRY_FIRST_S <= await world.renewal.step() <= TRY_FIRST_S * 1.25
    assert pair(world) != before, "the one that it was renewed by is what is gone back to"
    assert (world.state / "tls.crt.old").read_bytes() == before[1]


@pytest.mark.parametrize(
    ("said_s", "least_s", "most_s"),
    [(1, TRY_FIRST_S, 75), (300, 300, 375), (7_200, 7_200, 9_000), (30 * 86_400, TRY_MAX_S, TRY_MAX_S)],
)
async def test_the_cloud_is_asked_again_when_it_has_said(
    world: World, monkeypatch: pytest.MonkeyPatch, said_s: int, least_s: float, most_s: float
) -> None:
    world.is_due()
    refusing(world, monkeypatch, RENEWALS, 429, "too often", said_s)
    for _ in range(PROMPT_TRIES):
        assert least_s <= await world.renewal.step() <= most_s
    waits = [await world.renewal.step() for _ in range(20)]
    assert min(waits) >= min(least_s, TRY_FIRST_S)
    assert max(waits) > TRY_MAX_S / 2, "whoever says so for ever is not asked for ever"
    assert max(waits) <= TRY_MAX_S


@pytest.mark.parametrize("said", ["-5", "soon", "Fri, 27 Nov 2026 19:00:00 GMT", "9" * 40, "1.5", "²"])
async def test_a_wait_that_is_none_is_not_gone_by(world: World, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    world.is_due()
    refusing(world, monkeypatch, RENEWALS, 429, "too often", said.encode("utf-8").decode("latin-1"))
    assert TRY_FIRST_S / 2 <= await world.renewal.step() <= TRY_FIRST_S


async def test_one_who_is_late_does_not_wait_for_what_was_said_of_another_key(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.is_due()
    world.now_ms = world.term().late_ms
    world.cloud.clock_ahead_s = (world.now_ms - world.real_ms) / 1_000
    refusing(world, monkeypatch, RENEWALS, 429, "not for another key", 7 * 86_400)
    assert await world.renewal.step() <= TRY_FIRST_S * 1.25
    assert await world.renewal.step() == TRY_MAX_S, "and for what was said of its own it does"
