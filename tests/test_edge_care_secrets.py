"""No secret of a device is in a bundle of diagnostics: not in its log, and not in why something has failed."""

import dataclasses
import html
import json
import logging
from base64 import b64encode, encodebytes, urlsafe_b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import pytest
from caring import Cared, cared_for, command, settings
from edge_support import DEVICE

from pledgewatch_edge.agent import load
from pledgewatch_edge.care.acts import LEFT_OUT, RefusedError
from pledgewatch_edge.care.untold import LINE_LEFT_OUT, SHORTEST, secrets_of, without
from pledgewatch_edge.identity import load_or_create_key
from pledgewatch_wire.care import What, unpack_result

PASSWORD = """it's a "pass\\word" of \u00e9/\u4e2d"""
log = logging.getLogger("pledgewatch_edge.another")


def with_secrets(folder: Path) -> Path:
    """A configuration that names secrets in each way in which one can."""
    file = cared_for(folder, more='identify_command = ["/bin/curl", "-H", "Authorization: Bearer HUNTER2"]')
    (folder / "pw").write_text(f"{PASSWORD}\n", encoding="utf-8")
    text = file.read_text(encoding="utf-8")
    text = text.replace("keep_alive_s = 5", 'keep_alive_s = 5\nusername = "USER"\npassword_file = "pw"')
    text = text.replace("USER", "mqtt://user:HUNTER%203@b.example/?q=HUNTER4")
    file.write_text(text, encoding="utf-8")
    return file


async def bundle_of(cared: Cared, number: int) -> dict[str, Any]:
    """What a device tells."""
    answers = await cared.hear(("command", command(number, What.DIAGNOSTICS)), settle_s=0.2)
    found: dict[str, Any] = unpack_result(answers[0].result)
    return found


async def test_what_the_log_has_of_secrets_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    cared = Cared(with_secrets(tmp_path))
    state = tmp_path / "state"
    load_or_create_key(state)
    (state / "tls.key").write_text("-----BEGIN KEY-----\nMIGHAgEAMBMGByqG\nSM49AgEG\n", encoding="ascii")
    cared.start()
    report = cared.body.report_now
    key = (state / "device.key").read_text(encoding="ascii").splitlines()[1]
    secrets = [PASSWORD, "Authorization: Bearer HUNTER2", "HUNTER%203", "HUNTER 3", "HUNTER4", key, "MIGHAgEAMBMGByqG"]
    written = (repr, ascii, json.dumps, quote, quote_plus, lambda one: quote(one, safe=""), lambda one: repr(repr(one)))
    forms = {form for one in secrets for form in (one, *(how(one) for how in written))}

    async def reported() -> str:
        for one in forms:
            log.warning("refused with=%s by the broker", one)
        return await report()

    monkeypatch.setattr(cared.body, "report_now", reported)
    monkeypatch.setattr(cared.body, "facts", lambda: {"uplink": {"lost": [f"{PASSWORD} is wrong"], "count": 1}})
    await cared.hear(("command", command(1)))
    running = await bundle_of(cared, 2)
    told = json.dumps(running, ensure_ascii=False)
    for one in forms:
        assert one not in told
        assert one.strip("\"'") not in told
    assert "HUNTER" not in told
    assert running["uplink"] == {"lost": [f"{LEFT_OUT} is wrong"], "count": 1}
    kept = [line for line in running["log"] if "by the broker" in line]
    assert len(kept) == len(forms)
    assert all(LEFT_OUT in line for line in kept)


async def test_a_secret_that_was_changed_is_left_out_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    cared = Cared(with_secrets(tmp_path))
    cared.start()
    report = cared.body.report_now

    async def reported() -> str:
        log.warning("first=%s second=%s", PASSWORD, "another one")
        return await report()

    cared.body.report_now = reported  # type: ignore[method-assign]
    noted = cared.body.facts

    def changed() -> Mapping[str, Any]:
        (tmp_path / "pw").write_text("another one", encoding="ascii")
        return noted()

    cared.body.facts = changed  # type: ignore[method-assign]
    answers = await cared.hear(("command", command(1)), ("command", command(2, What.DIAGNOSTICS)), settle_s=0.3)
    found = unpack_result(answers[-1].result)
    assert any(f"first={LEFT_OUT} second={LEFT_OUT}" in line for line in found["log"])


async def test_a_secret_of_before_the_station_was_run_anew_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    cared = Cared(with_secrets(tmp_path))
    cared.start()
    report = cared.body.report_now

    async def reported() -> str:
        log.warning("by the broker with=%s", PASSWORD)
        return await report()

    cared.body.report_now = reported  # type: ignore[method-assign]
    await cared.hear(("command", command(1)))
    (tmp_path / "pw").write_text("another one", encoding="ascii")
    cared.start()
    told = await bundle_of(cared, 2)
    assert any(f"by the broker with={LEFT_OUT}" in line for line in told["log"])


WRITTEN: list[tuple[str, Callable[[str], str]]] = [
    ("pass word", lambda one: urlencode({"q": one})),
    ("pass/word", quote),
    ("p/w-tresor", lambda one: quote(one, safe="").lower()),
    ("pa\\ss-tresor", lambda one: repr("bad " + repr(one))),
    ("it's-tresor", lambda one: repr(f'"{one}" is wrong')),
    ("it's-tresor", lambda one: repr(f'"{one}" is wrong'.encode())),
    ('a"\u00e9-tresor', lambda one: json.dumps(one, ensure_ascii=False)),
    ('a"\u00e9-tresor', lambda one: json.dumps({"detail": json.dumps(one)})),
    ("\u00e9-tresor", lambda one: repr(one.encode())),
    ("\u00e9-tresor", ascii),
    *(("tres\u00f6r?>~", lambda one, user=user: basic(user, one, b64encode)) for user in ("", "u", "us", "use")),
    *(("tres\u00f6r?>~", lambda one, user=user: basic(user, one, urlsafe_b64encode)) for user in ("u", "us", "use")),
    ("abcd", lambda one: basic("user", one, b64encode)),
]


def basic(user: str, password: str, how: Callable[[bytes], bytes]) -> str:
    """A login as a header has it."""
    return how(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(("secret", "how"), WRITTEN)
def test_a_secret_is_found_as_others_write_it(secret: str, how: Callable[[str], str]) -> None:
    line = how(secret)
    told = without({"lines": [f"refused with {line} by the broker"]}, {secret, "unlike"})["lines"][0]
    assert LEFT_OUT in told
    assert told.startswith("refused with ")
    assert told.endswith(" by the broker")
    for part in ("tres", "pass", "sor", "%2", b64encode(secret.encode()).decode()[4:8]):
        assert part not in told


SUB_DELIMS = "!$&'()*+,;="
UNDONE: list[tuple[str, Callable[[str], str]]] = [
    ("p ss!w(rd)~1", lambda one: "https://u:" + quote(one, safe=SUB_DELIMS) + "@h/"),
    ("p ss!w(rd)~1", lambda one: quote(one, safe="!'()*")),
    ("ab/c d=e!", lambda one: "?k=" + quote(one, safe="!#$%&'()*+,/:;=?@[]~")),
    ("p ss+w!rd", lambda one: quote(quote_plus(quote(one)), safe="!")),
    ("p\u00e4ssw\u00f6rt", lambda one: quote(one.encode("latin-1"))),
    ("p\u00e4ssw\u00f6rt", lambda one: html.escape(one).encode("ascii", "xmlcharrefreplace").decode()),
    ('a&b<c"d', html.escape),
    ("it's&x", lambda one: repr(html.escape(one))),
    ('a"b\\c\u00e9', lambda one: json.dumps(json.dumps(json.dumps(one)))),
    ("a'b\"c\\d", lambda one: repr(repr(repr(one)))),
    ("\U0001f511-tresor", lambda one: json.dumps(json.dumps(json.dumps(one)))),
    ("\u00e9-tresor", lambda one: repr(repr(repr(one.encode())))),
    ("\U0001f511-tresor", lambda one: quote(ascii(one))),
    ("p ss!w(rd)", lambda one: one.encode().hex()),
    ("p ss!w(rd)", lambda one: one.encode().hex(":").upper()),
    ("p ss!w(rd)", lambda one: one.encode().hex(" ")),
    *(("x" * 70 + "tresor", lambda one, user=user: mime(user, one)) for user in ("", "u", "us")),
    ("x" * 70 + "tresor", lambda one: repr(mime("use", one))),
    ("x" * 70 + "tresor", lambda one: mime("use", one).replace("\n", "\r\n ")),
    (">>>???~~~xx1", lambda one: quote(basic("u", one, b64encode), safe="")),
    ("???>>>~~~???", lambda one: basic("u", one, b64encode).replace("/", "\\/")),
    ("HUNTER%203", lambda one: quote(quote(one))),
]


def mime(user: str, password: str) -> str:
    """A login as base64 in lines."""
    return encodebytes(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(("secret", "how"), UNDONE)
def test_a_line_that_has_a_secret_in_any_other_way_is_left_out_whole(secret: str, how: Callable[[str], str]) -> None:
    lines = [f"refused with {how(secret)} by the broker", "x ss!w(rd) 70 %41%zz \\q &amp; 9f:86"]
    assert without(lines, {secret, "unlike"}) == [LINE_LEFT_OUT, lines[1]]


def test_of_several_lines_those_without_a_secret_stay() -> None:
    assert without("one\nq=p%20ss!w\ntwo", {"p ss!w"}) == f"one\n{LINE_LEFT_OUT}\ntwo"


def test_what_cannot_be_undone_is_left_out() -> None:
    deep = "%"
    for _ in range(40):
        deep = quote(deep)
    assert without([f"a {deep}41", "b"], {"p ss!w"}) == [LINE_LEFT_OUT, "b"]


def test_the_longer_of_two_secrets_is_left_out_whole() -> None:
    assert without("with=secret-of-two", {"secret", "secret-of-two"}) == f"with={LEFT_OUT}"


def test_the_key_that_is_to_come_is_a_secret_too(tmp_path: Path) -> None:
    found = load(cared_for(tmp_path))
    (tmp_path / "state" / "tls.key.new").write_text("-----BEGIN KEY-----\nMIGHAgEAMBMGByqGSM49\n", encoding="ascii")
    assert secrets_of(found, tmp_path / "state") == {"MIGHAgEAMBMGByqGSM49"}


def test_of_another_package_s_sensor_nothing_is_told_that_could_be_one(tmp_path: Path) -> None:
    @dataclasses.dataclass(frozen=True)
    class Others:
        login: str = "HUNTER2-of-others"
        port: str = "tty1"
        pin: int = 9_917
        deep: tuple[Mapping[str, object], ...] = ({"psk": "abcd", "psk_file": "none"},)
        interval_s: float = 0.5
        is_on: bool = True

    found = load(cared_for(tmp_path))
    named = dataclasses.make_dataclass("Named", ["device", "broker", "onewire", "others"])
    secrets = secrets_of(named(found.device, found.broker, found.onewire, Others()), tmp_path / "state")
    assert secrets == {"HUNTER2-of-others", "9917", "abcd"}
    assert all(len(one) >= SHORTEST for one in secrets)
    assert without("9917 abcd tty1", secrets) == f"{LEFT_OUT} {LEFT_OUT} tty1"


def test_a_configuration_without_secrets_leaves_the_log_as_it_is(tmp_path: Path) -> None:
    found = load(cared_for(tmp_path))
    assert secrets_of(found, tmp_path / "state") == frozenset()
    assert found.device.name == DEVICE
    line = {"a": ["x", 1, None, True, 2.5], "b": "x"}
    assert without(line, frozenset()) == line


def test_a_secret_in_the_name_of_something_is_left_out_too() -> None:
    """As of a sensor that is named by its address; and of two such none is lost."""
    told = without({"sensors": {"rtsp://cam:HUNTER2@a": True, "rtsp://cam:HUNTER3@a": False, 7: 1}}, {"HUNTER"})
    assert told == {"sensors": {"rtsp://cam:left out2@a": True, "rtsp://cam:left out3@a": False, "7": 1}}
    told = without({"a HUNTER2": 1, "a HUNTER3": 2, "HUNTER": {"HUNTER": "HUNTER"}}, {"HUNTER2", "HUNTER3", "HUNTER"})
    assert told == {"a left out": 1, "a left out (2)": 2, "left out": {"left out": "left out"}}


async def test_what_is_answered_has_no_secret_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Why a command could not be carried out is whatever a sensor's library says."""
    cared = Cared(with_secrets(tmp_path))
    cared.start()

    async def refused() -> str:
        raise RefusedError(f"cannot open rtsp://cam:{PASSWORD}@10.0.0.5")

    monkeypatch.setattr(cared.body, "report_now", refused)
    answers = await cared.hear(("command", command(1)))
    assert [one.text for one in answers] == [f"cannot open rtsp://cam:{LEFT_OUT}@10.0.0.5"]


@pytest.mark.parametrize("is_restarted", [False, True], ids=["at once", "after a restart"])
async def test_why_settings_were_rolled_back_has_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_restarted: bool
) -> None:
    """Not one of theirs either, which nobody has any more who starts anew."""
    file = with_secrets(tmp_path)
    cared = Cared(file)
    cared.start()
    await cared.hear(("settings", settings(4, "[gpsd]\ndevice = 'rtsp://cam:HUNTER5@b.example'\n")))
    cared.start()
    assert cared.care.go_back("the station cannot run: cannot open rtsp://cam:HUNTER5@b.example")
    if is_restarted:
        cared = Cared(file)
    cared.start()
    (answer,) = await cared.hear()
    assert answer.text == f"rolled back: the station cannot run: cannot open rtsp://cam:{LEFT_OUT}@b.example"
    assert "HUNTER5" not in (tmp_path / "state" / "care.json").read_text(encoding="utf-8")
