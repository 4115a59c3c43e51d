"""Mosquitto with the files that are made of a book: a device may say and hear its own, and nothing of another's.

Mosquitto itself is asked, over TLS, with certificates that are made here. Its word on a publication is the reason code
of MQTT 5; a subscription it always grants, so what counts there is what comes. A wait for nothing ends with something
that may come: each client hears a word of its own after what it must not hear.
"""

import json
import os
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from authority import Authority
from broker_clients import Client
from brokers import BrokerProcess
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from pledgewatch_cloud.__main__ import main
from pledgewatch_cloud.decide.items.assets import Installation
from pledgewatch_cloud.decide.silence import Patience
from pledgewatch_cloud.mosquitto import AclError, acl_of, told_apart, user_of
from pledgewatch_wire import topics
from pledgewatch_wire.topics import Kind

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key().public_bytes_raw().hex()
LINE, OTHER = "harbour-line", "other-line"
MINE, BESIDE, ABROAD = f"pw/1/{LINE}/box-1", f"pw/1/{LINE}/box-2", f"pw/1/{OTHER}/box-3"
RETIRED, HALL, DOCK = f"pw/1/{LINE}/box-9", f"pw/1/{LINE}/hall", f"pw/1/{LINE}/dock"


def fitted(device: str, operator: str = LINE, *, gateway: str = "", retired: int = 0) -> dict[str, Any]:
    """An installation as a book says it."""
    return {
        "device": device,
        "operator": operator,
        "asset": f"asset-{device}",
        "public_key": KEY,
        "gateway": gateway,
        "retired": retired,
    }


BOOK = {
    "installations": [
        *(fitted("box-1"), fitted("box-2"), fitted("box-3", OTHER), fitted("box-9", retired=1)),
        *(fitted("hall", gateway="site"), fitted("dock", gateway="site")),
    ]
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    one = Authority(tmp_path_factory.mktemp("authority"))
    for name in ("server", "cloud", "health", "box-1", "box-2", "box-3", "box-9", "site", "nobody"):
        one.issue(name)
    return one


@pytest.fixture(scope="module")
def broker(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """Mosquitto with the two files as the commands write them."""
    folder = tmp_path_factory.mktemp("broker")
    one = BrokerProcess("mosquitto", folder)
    book, conf, acl = folder / "book.json", folder / "mosquitto.conf", folder / "acl"
    book.write_text(json.dumps(BOOK), encoding="utf-8")
    assert main(["broker", "acl", "--book", str(book), "--health", "health", "--output", str(acl)]) == 0
    files = {"ca": "ca.pem", "certificate": "server.pem", "key": "server.key"}
    named = [word for key, file in files.items() for word in (f"--{key}-file", str(authority.folder / file))]
    store = ["--persistence-folder", str(folder / "mosquitto-store"), "--acl-file", str(acl)]
    assert main(["broker", "conf", "--port", str(one.port), *named, *store, "--output", str(conf)]) == 0
    if os.geteuid() == 0:
        with conf.open("a", encoding="ascii") as file:
            file.write("user root\n")  # else it becomes a user who cannot read this folder
    one.start()
    yield one
    one.kill()


@pytest.fixture
def client(broker: BrokerProcess, authority: Authority) -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def connected(name: str, **how: Any) -> Client:
        made.append(Client(broker, authority.folder, name, **how))
        return made[-1]

    yield connected
    for one in made:
        one.leave()


def test_a_device_says_and_hears_its_own(client: Callable[..., Client]) -> None:
    cloud, box = client("cloud"), client("box-1")
    cloud.ask("pw/1/+/+/up", "pw/1/+/+/status")
    box.ask(f"{MINE}/committed", f"{MINE}/settings", f"{MINE}/command")
    assert box.say(f"{MINE}/status", b"online")
    assert box.say(f"{MINE}/up", b"readings")
    assert cloud.hears(f"{MINE}/up", b"readings") == [(f"{MINE}/status", b"online")]
    assert cloud.say(f"{MINE}/committed", b"all of it")
    assert box.hears(f"{MINE}/committed", b"all of it") == []


FORBIDDEN = [
    *(f"{one}/{kind}" for one in (BESIDE, ABROAD, HALL, RETIRED) for kind in Kind),
    *(f"{MINE}/{kind}" for kind in (Kind.COMMITTED, Kind.SETTINGS, Kind.COMMAND)),
    *("pw/1/other-line/box-1/up", "pw/2/harbour-line/box-1/up", f"{MINE}/up/more", f"{MINE}/", "pw", "lights/on"),
]


def test_a_device_cannot_publish_for_another(client: Callable[..., Client]) -> None:
    cloud, box, beside = client("cloud"), client("box-1"), client("box-2")
    cloud.ask("pw/1/+/+/up", "pw/1/+/+/status")
    beside.ask(f"{BESIDE}/committed", f"{BESIDE}/settings", f"{BESIDE}/command")
    assert box.say_all(FORBIDDEN, b"forged", retain=True) == dict.fromkeys(FORBIDDEN, False)
    assert box.say(f"{MINE}/up", b"my own")
    assert cloud.hears(f"{MINE}/up", b"my own") == []
    assert cloud.say(f"{BESIDE}/committed", b"the last")
    assert beside.hears(f"{BESIDE}/committed", b"the last") == []
    later = client("cloud", as_client="later")
    later.ask("pw/1/+/+/up", "pw/1/+/+/status")  # what is retained comes first
    assert box.say(f"{MINE}/up", b"once more")
    assert later.hears(f"{MINE}/up", b"once more") == []


@pytest.mark.parametrize(
    "wanted",
    [
        *("#", "pw/#", "pw/1/+/+/up", "pw/1/+/+/committed", f"{BESIDE}/#", f"{BESIDE}/committed", f"{BESIDE}/up"),
        *("$share/thieves/pw/1/+/+/up", "$share/thieves/pw/1/+/+/committed", "$SYS/#"),
    ],
)
def test_a_device_hears_nothing_of_another(wanted: str, client: Callable[..., Client]) -> None:
    cloud, box, beside = client("cloud"), client("box-1"), client("box-2")
    box.ask(wanted, f"{MINE}/committed")
    assert beside.say(f"{BESIDE}/status", b"online", retain=True)
    assert beside.say(f"{BESIDE}/up", b"readings")
    assert cloud.say(f"{BESIDE}/committed", b"of box-2")
    assert cloud.say(f"{ABROAD}/committed", b"of box-3")
    assert cloud.say(f"{MINE}/committed", b"the last")
    assert {topic for topic, _ in box.hears(f"{MINE}/committed", b"the last")} <= {f"{MINE}/committed"}
    assert beside.say(f"{BESIDE}/status", b"", retain=True)


def test_a_last_will_is_not_said_for_another(client: Callable[..., Client]) -> None:
    cloud = client("cloud")
    cloud.ask("pw/1/+/+/status")
    thief = client("box-1", as_client="thief", will=f"{BESIDE}/status")
    if thief.refused is None:
        thief.leave(rudely=True)
    own = client("box-1", as_client="own", will=f"{MINE}/status")
    assert own.refused is None
    own.leave(rudely=True)
    assert cloud.hears(f"{MINE}/status", b"gone") == []


def test_who_takes_over_the_session_of_another_hears_nothing_of_what_waited_in_it(
    client: Callable[..., Client],
) -> None:
    cloud = client("cloud")
    beside = client("box-2", as_client="session-2", keep=True)
    beside.ask(f"{BESIDE}/committed")
    beside.leave()
    assert cloud.say(f"{BESIDE}/committed", b"waits")
    thief = client("box-1", as_client="session-2", keep=True)
    thief.ask(f"{MINE}/committed")
    assert cloud.say(f"{BESIDE}/committed", b"comes")
    assert cloud.say(f"{MINE}/committed", b"the last")
    assert thief.hears(f"{MINE}/committed", b"the last") == []


def test_a_gateway_speaks_for_its_devices_and_no_others(client: Callable[..., Client]) -> None:
    cloud, site = client("cloud"), client("site")
    site.ask("pw/1/+/+/committed")
    assert all(site.say_all([f"{one}/{kind}" for one in (HALL, DOCK) for kind in ("up", "status")]).values())
    assert not site.say(f"{MINE}/up")
    for one in (MINE, DOCK):
        assert cloud.say(f"{one}/committed", b"so far")
    assert site.hears(f"{DOCK}/committed", b"so far") == []


def test_the_cloud_and_the_health_check_cannot_speak_for_a_device(client: Callable[..., Client]) -> None:
    cloud, health = client("cloud"), client("health")
    assert not cloud.say(f"{MINE}/up")
    assert not cloud.say(f"{MINE}/answer")
    health.ask("#", "$SYS/#")
    assert not health.say(f"{MINE}/up")
    assert not health.say(f"{MINE}/command")
    for kind in ("committed", "settings", "command"):
        assert cloud.say(f"{MINE}/{kind}")
    health.until(lambda: bool(health.heard))
    assert {topic for topic, _ in health.heard} == {"$SYS/broker/uptime"}


@pytest.mark.parametrize("name", ["box-9", "nobody"])
def test_who_is_retired_or_unknown_may_say_nothing(name: str, client: Callable[..., Client]) -> None:
    one = client(name)
    assert not any(one.say_all([f"{whose}/{kind}" for whose in (RETIRED, MINE) for kind in Kind]).values())


def test_without_a_certificate_of_this_authority_nobody_connects(
    broker: BrokerProcess, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path)
    stranger.issue("box-1")
    for own in (None, (tmp_path / "box-1.pem", tmp_path / "box-1.key")):
        context = ssl.create_default_context(cafile=str(authority.folder / "ca.pem"))
        if own is not None:
            context.load_cert_chain(*own)
        one = paho.Client(CallbackAPIVersion.VERSION2, client_id="stranger", protocol=paho.MQTTv5)
        one.tls_set_context(context)
        done: list[Any] = []
        one.on_connect = lambda *arguments, done=done: done.append(arguments[3])
        with pytest.raises(OSError, match=r"certificate required|alert|reset|closed|EOF") as refused:  # noqa: PT012
            one.connect("127.0.0.1", broker.port)
            while one.loop(0.1) == paho.MQTT_ERR_SUCCESS:
                assert not done
            raise ConnectionResetError("closed by the broker")
        assert refused.value is not None
        assert done == []


def installed(device: str, operator: str = LINE, *, gateway: str = "", retired: int = 0) -> Installation:
    """An installation as the book holds it."""
    return Installation(device, operator, device, KEY, retired, Patience(0, 0), gateway, 0, 0, 0, ())


@pytest.mark.parametrize(
    ("installations", "said"),
    [
        ([installed("a", gateway="hall\ntopic write #")], r"'hall\\ntopic write #' cannot be a user"),
        ([installed("a", gateway="Hall 1")], "gateway of a: 'Hall 1' cannot be a user"),
        ([installed("cloud")], "'cloud' is a device or gateway of the book too"),
        ([installed("health")], "'health' is a device or gateway of the book too"),
        ([installed("a", gateway="cloud")], "'cloud' is a device or gateway of the book too"),
        (
            [installed("a", gateway="g"), installed("b", OTHER, gateway="g")],
            "gateway 'g' is harbour-line and other-line's",
        ),
        ([installed("a"), installed("b", gateway="a")], "'a' is a device and a gateway"),
    ],
)
def test_what_cannot_be_told_apart_gives_no_list(installations: list[Installation], said: str) -> None:
    with pytest.raises(AclError, match=said):
        acl_of(installations, health="health")


def test_who_cannot_be_told_apart_is_left_out_and_nobody_else() -> None:
    good = [installed("a"), installed("b", OTHER, gateway="hall")]
    two = [installed("c", gateway="g"), installed("d", OTHER, gateway="g")]
    both = [installed("e"), installed("f", gateway="e")]
    wrong = [*two, *both, installed("cloud"), installed("h", gateway="GW 7")]
    kept, said = told_apart([*wrong, *good, installed("z", retired=1)])
    assert kept == good
    assert len(said) == 4
    assert acl_of(kept) == acl_of(good)
    assert told_apart(good) == (good, [])


NAMES = st.sampled_from(["a", "b", "c", "d"])


@given(
    st.lists(
        st.builds(
            installed, NAMES, st.sampled_from([LINE, OTHER]), gateway=NAMES | st.just(""), retired=st.integers(0, 1)
        ),
        unique_by=lambda one: one.device,
    )
)
def test_every_line_is_for_a_device_of_its_user(installations: list[Installation]) -> None:
    try:
        text = acl_of(installations)
    except AclError:
        return
    allowed: dict[str, set[tuple[str, str]]] = {}
    user = ""
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["user"]:
            (user,) = words[1:]
            assert user not in allowed, "two sections of one user"
            allowed[user] = set()
        elif words[:1] == ["topic"]:
            allowed[user].add((words[1], words[2]))
    del allowed["cloud"]
    wanted: dict[str, set[tuple[str, str]]] = {}
    for one in installations:
        if not one.retired:
            wanted.setdefault(user_of(one), set()).update(
                (
                    "write" if kind in {Kind.UP, Kind.STATUS, Kind.ANSWER} else "read",
                    topics.topic(one.operator, one.device, kind),
                )
                for kind in Kind
            )
    assert allowed == wanted


def test_the_commands_print_write_whole_and_refuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    book = tmp_path / "book.json"
    book.write_text(json.dumps(BOOK), encoding="utf-8")
    assert main(["broker", "acl", "--book", str(book)]) == 0
    printed = capsys.readouterr().out
    assert main(["broker", "acl", "--book", str(book), "--output", str(tmp_path / "acl")]) == 0
    assert (tmp_path / "acl").read_text(encoding="utf-8") == printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["acl", "book.json"]
    more = tmp_path / "more.json"
    more.write_text(json.dumps({"installations": [fitted("cloud")]}), encoding="utf-8")
    capsys.readouterr()
    assert main(["broker", "acl", "--book", str(book), "--book", str(more)]) == 2
    assert "give the cloud or health another user" in capsys.readouterr().err
    assert main(["broker", "acl", "--book", str(book), "--book", str(more), "--cloud", "bank"]) == 0
    assert "user bank\n" in capsys.readouterr().out
    assert main(["broker", "acl", "--book", str(tmp_path / "none.json")]) == 2
    assert main(["broker", "conf", "--output", str(tmp_path / "none" / "conf")]) == 2
    assert main(["broker", "conf", "--crl-file", "/mosquitto/config/crl.pem"]) == 0
    said = capsys.readouterr().out
    assert "crlfile /mosquitto/config/crl.pem\n" in said
    assert "pid_file" not in said
    assert main(["broker", "conf", "--pid-file", "/run/mosquitto/pid"]) == 0
    assert "\npid_file /run/mosquitto/pid\n" in capsys.readouterr().out
    for wrong in (["--ca-file", "ca.pem"], ["--key-file", "/a\nuser root"], ["--port", "0"]):
        with pytest.raises(SystemExit):
            main(["broker", "conf", *wrong])
