"""What is installed where: a wheel for a Pi holds no cloud, every program has its help, every sample its reader."""

import dataclasses
import re
import socket
import subprocess
import sys
import tomllib
import typing
import venv
import zipfile
from pathlib import Path

import pytest
from builders import ManualClock
from hatchling.build import build_wheel

from pledgewatch_cloud.book_at_start import BookFileError, amend_from_files
from pledgewatch_cloud.config import CloudSettings
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_edge import agent
from pledgewatch_gateway.config import GatewaySettings
from pledgewatch_sim.bank.settings import BankFile
from pledgewatch_wire.settings import SettingsError, load

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ("edge", "gateway", "cloud", "sim")


def run(*command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(one) for one in command], capture_output=True, text=True, check=False, cwd=cwd)


def test_a_wheel_for_a_pi_runs_the_agent_and_brings_no_cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    wheel = tmp_path / build_wheel(str(tmp_path))
    venv.create(tmp_path / "empty")
    python = tmp_path / "empty" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "--quiet", "--disable-pip-version-check")
    install = (*pip, "install", "--retries", "1", "--no-compile")
    made = run(*install, "-c", ROOT / "constraints.txt", f"pledgewatch[edge] @ {wheel.as_uri()}")
    if made.returncode and any(word in made.stderr for word in NO_REGISTRY):
        pytest.skip("needs a registry of Python packages, as the set-up does")
    assert made.returncode == 0, made.stderr
    config = tmp_path / "edge.toml"
    config.write_text((ROOT / "samples" / "edge.toml").read_text(encoding="utf-8"), encoding="utf-8")
    checked = run(tmp_path / "empty" / "bin" / "pledgewatch-edge", "run", "--config", config, "--check", cwd=tmp_path)
    assert (checked.returncode, checked.stderr) == (0, "")
    for name in ("numpy", "shapely", "fastapi"):
        absent = run(python, "-c", f"import {name}", cwd=tmp_path)
        assert "ModuleNotFoundError" in absent.stderr, f"{name} is importable"


def test_the_wheel_holds_the_console_whole_and_nothing_of_the_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    names = zipfile.ZipFile(tmp_path / build_wheel(str(tmp_path))).namelist()
    console = ROOT / "cloud" / "pledgewatch_cloud" / "console"
    files = [one for one in console.rglob("*") if one.is_file() and one.suffix not in {".py", ".pyc"}]
    assert {"index.html", "app.js", "leaflet.js", "leaflet.LICENSE", "land.json"} <= {one.name for one in files}
    assert {f"pledgewatch_cloud/console/{one.relative_to(console)}" for one in files} <= {*names}
    assert not [one for one in names if "axe" in one]


WITHOUT_THE_CLOUD = """
import sys
for name in {names}:
    sys.modules[name] = None
from pledgewatch_cloud.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def test_an_auditor_replays_without_what_only_the_service_needs(tmp_path: Path) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    names = [
        IMPORTED_AS.get(one, one.replace("-", "_")) for one in extras["cloud"] if not one.startswith("pledgewatch")
    ]
    assert "fastapi" in names
    assert not {*extras["audit"]} & {*names}
    store = SqliteStore(tmp_path)
    Spine(store, ManualClock()).commit(drafts.amend, {"senders": [{"id": "carrier"}]})
    store.close()
    code = WITHOUT_THE_CLOUD.format(names=names)
    done = run(sys.executable, "-c", code, "replay", "--data", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert '"entries": 1' in done.stdout
    missing = run(sys.executable, "-c", code, "doctor", "--config", ROOT / "samples" / "cloud.toml")
    assert "httpx2" in missing.stderr, "what was taken away is missed by who needs it"


WHEN_IMPORTED = """
import asyncio, gc, sys
from pledgewatch_cloud.__main__ import main
searches = []
gc.callbacks.append(lambda phase, _: searches.append(phase) if "pledgewatch_cloud.service" in sys.modules else None)
asyncio.run = lambda work: (work.close(), print(len(searches), gc.isenabled()))
sys.exit(main(["run", "--config", sys.argv[1]]))
"""


def test_while_the_service_is_imported_no_rubbish_is_looked_for() -> None:
    done = run(sys.executable, "-c", WHEN_IMPORTED, ROOT / "samples" / "cloud.toml")
    assert (done.returncode, done.stdout, done.stderr) == (0, "0 True\n", "")


IMPORTED_AS = {"PyJWT": "jwt", "PyYAML": "yaml", "paho-mqtt": "paho", "influxdb-client": "influxdb_client"}


# What pip says where it reaches none.
NO_REGISTRY = ("NewConnectionError", "ConnectTimeoutError", "ProxyError", "ReadTimeoutError")


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_has_help_and_version_and_says_what_is_wrong(program: str, tmp_path: Path) -> None:
    command = Path(sys.executable).parent / f"pledgewatch-{program}"
    assert "usage:" in run(command, "--help").stdout
    assert run(command, "--version").stdout.split()[-1] == "0.1.0"
    assert run(command).returncode == 2
    missing = run(command, "run", "--config", tmp_path / "missing.toml", "--check")
    assert missing.returncode == 2
    assert "missing.toml: cannot be read: No such file or directory" in missing.stderr
    odd = tmp_path / "odd.toml"
    odd.write_text("[surprise]\nkey = 1\n", encoding="utf-8")
    refused = run(command, "run", "--config", odd, "--check")
    assert refused.returncode == 2
    assert "[surprise] is no key" in refused.stderr
    assert "Traceback" not in missing.stderr + refused.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_sample_passes_its_programs_check(program: str, tmp_path: Path) -> None:
    name = "bank" if program == "sim" else program
    sample = tmp_path / f"{name}.toml"
    sample.write_text((ROOT / "samples" / f"{name}.toml").read_text(encoding="utf-8"), encoding="utf-8")
    command = Path(sys.executable).parent / f"pledgewatch-{program}"
    checked = run(command, "run", "--config", sample, "--check")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert f"{sample}: can be used" in checked.stdout
    missing = f"[core] secret_files[0]: {tmp_path}/bank-data/webhook.secret cannot be read"
    assert (missing in checked.stdout) == (program == "cloud")


def test_samples_are_read_into_what_the_programs_use() -> None:
    assert load(ROOT / "samples" / "cloud.toml", CloudSettings).broker.embedded
    assert load(ROOT / "samples" / "bank.toml", BankFile).bank.port == 8430
    assert agent.load(ROOT / "samples" / "edge.toml").gps is not None


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("cloud", CloudSettings),
        ("bank", BankFile),
        ("edge", agent.EdgeSettings),
        ("gateway", GatewaySettings),
    ],
)
def test_a_sample_shows_every_key_that_its_program_has(name: str, settings: type) -> None:
    """Commented out where it has no default that fits everybody."""
    shown: dict[str, set[str]] = {}
    section = ""
    for line in (ROOT / "samples" / f"{name}.toml").read_text(encoding="utf-8").splitlines():
        if found := re.match(r"(?:# )?\[\[?([\w.]+)\]", line):
            section = found[1]
        elif found := re.match(r"(?:# )?(\w+) = ", line):
            shown.setdefault(section, set()).add(found[1])
    keys = keys_of(settings)
    again = {section for section, names in keys.items() if "." in section and names == keys.get(section.split(".")[-1])}
    for section in again:  # shown in full where it is a section of its own
        assert shown.pop(section) <= keys.pop(section)
    assert shown == keys


def keys_of(settings: type, place: str = "") -> dict[str, set[str]]:
    """The keys of each section of a configuration file; a section in another by both names."""
    found: dict[str, set[str]] = {}
    for section, hint in typing.get_type_hints(settings).items():
        kinds = [one for one in (*typing.get_args(hint), hint) if dataclasses.is_dataclass(one)]
        for kind in kinds:
            inner = keys_of(typing.cast(type, kind), f"{place}{section}.")
            nested = {name.removeprefix(f"{place}{section}.").split(".")[0] for name in inner}
            own = {one.name for one in dataclasses.fields(kind)} - nested
            found |= ({f"{place}{section}": own} if own else {}) | inner
    return found


OPTIONS = [
    ("--devices", "0"),
    ("--rate", "inf"),
    ("--rate", "nan"),
    ("--seconds", "-1"),
    ("--rounds", "-1"),
    ("--backlog", "1e9"),
    ("--first", "-1"),
    ("--epoch", "-1"),
    ("--port", "0"),
    ("--fences", "-1"),
]


@pytest.mark.parametrize(("option", "value"), OPTIONS)
def test_an_option_of_the_fleet_that_cannot_be_is_named(option: str, value: str) -> None:
    command = (sys.executable, "-m", "pledgewatch_sim", "fleet", "--devices", "1", option, value)
    refused = run(*command)
    assert refused.returncode == 2
    assert f"argument {option}: {value} is not from " in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_fleet_that_does_not_fit_into_memory_is_not_begun() -> None:
    refused = run(sys.executable, "-m", "pledgewatch_sim", "fleet", "--devices", "1000000", "--rounds", "51")
    assert refused.returncode == 2
    assert refused.stderr == "that is 51000000 readings, made before they are sent; 50000000 fit into memory\n"


def test_the_broker_alone_says_what_it_cannot_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = tmp_path / "cloud.toml"
        config.write_text(f'[service]\ndata_folder = "data"\n[broker]\nembedded = true\nport = {port}\n')
        refused = run(sys.executable, "-m", "pledgewatch_cloud", "broker", "run", "--config", config)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"127.0.0.1:{port} cannot be used: " in refused.stderr
    assert "Traceback" not in refused.stderr


BAD_CLOUD = [
    ("[broker]\nport = 0", "port is 0; use 1 to 65535"),
    ("[broker]\nkeep_alive_s = 0", "keep_alive_s is 0"),
    ("[broker]\nreceive_maximum = 70000", "receive_maximum is 70000"),
    ('[broker]\nprotocol = "4"', "must be one of auto, 5, 3.1.1"),
    ('[broker]\nhost = "0.0.0.0"\nembedded = true', "which others can reach: name an accounts_file"),
    ('[api]\nhost = "0.0.0.0"', "which others can reach: name a token_file"),
    ("[ingest]\ntick_s = 0", "tick_s is 0"),
    ("[ingest]\nbatch_age_s = 60.0", "batch_age_s is 60.0"),
    ('[broker]\nshare = "a/b"', "share is 'a/b'"),
    ("[series]\nretention_days = -1", "retention_days is -1"),
    ('[broker]\ncertificate_file = "c"\nkey_file = "k"', "certificate_file needs ca_file"),
    ('[broker]\nca_file = "a"\nkey_file = "k"', "certificate_file goes with key_file"),
    ('[series]\nkind = "influxdb"', "url is ''"),
    ("[ingest]\nhearing_grace_s = -1.0", "hearing_grace_s is -1.0"),
    ("[clock]\nsimulated_start_ms = 1\nspeed = -1.0\nanchor_ms = 1", "speed is -1.0; it must be above 0"),
    ("[clock]\nsimulated_start_ms = 1\nspeed = inf\nanchor_ms = 1", "[clock] speed is inf; it must be a finite number"),
    ('[core]\nurl = "ftp://core"\nsecret_files = ["x"]', "it must begin with https://"),
    ('[core]\nurl = "https://core"', "[core] secret_files is empty"),
    ('[core]\nurl = "http://core"\nsecret_files = ["x"]', "http:// only with allow_private_networks = true"),
    ('[core]\nurl = "https://core..example/"\nsecret_files = ["x"]', "must begin with https:// and name a host"),
    ('[core]\nurl = "https://core.example/a b"\nsecret_files = ["x"]', "a blank or a character that cannot be printed"),
    ('[core]\nurl = "https://u:p@core"\nsecret_files = ["x"]', "secrets belong into files"),
    ('[core]\nurl = "https://core"\nsecret_files = ["x", "y", "z"]', "two can be live at once"),
    (
        '[core]\nurl = "https://core"\nsecret_files = ["x"]\nmessage_types = ["pay"]',
        "message_types has 'pay'; there are raise_",
    ),
    ('[core]\nurl = "https://core"\nsecret_files = ["x"]\nretry_scale = 0.0', "retry_scale is 0.0"),
    ('[core]\nurl = "https://core"\nsecret_files = ["x"]\nkey_file = "k"', "key_file goes with certificate_file"),
    ('[[endpoints]]\nname = "core"\nurl = "https://core"\nsecret_files = ["x"]', "name is 'core'"),
    ('[[endpoints]]\nname = "a"\nurl = "https://core"', "a needs secret_files"),
    ('[[endpoints]]\nname = "a"\nform = "pain001"', "a needs a folder"),
    (
        '[[endpoints]]\nname = "a"\nform = "pain001"\nfolder = "f"\nmessage_types = ["record_base"]',
        "message_types has 'record_base'; pain001 writes files for release_disbursement",
    ),
    ('[[endpoints]]\nname = "a"\nform = "mqtt"\nurl = "https://core"', "it must begin with mqtts://"),
    ('[[endpoints]]\nname = "a"\nform = "mqtt"\nurl = "mqtts://core"\ntopic = "a/#"', "topic is 'a/#'"),
    ('[[endpoints]]\nname = "a"\nform = "mqtt"\nurl = "mqtts://core"\nprotocol = "auto"', "protocol is auto"),
    (
        2 * '[[endpoints]]\nname = "a"\nform = "pain001"\nfolder = "f"\n',
        "[[endpoints]] has a more than once",
    ),
    ("[book]\nfiles = [1]", "[book] files[0] is 1; it must be a path"),
    ("[api]\nport = true", "[api] port is True; it must be a whole number"),
]


@pytest.mark.parametrize(("section", "words"), BAD_CLOUD)
def test_a_fault_in_the_clouds_configuration_is_named(tmp_path: Path, section: str, words: str) -> None:
    path = tmp_path / "cloud.toml"
    path.write_text(f'[service]\ndata_folder = "data"\n{section}\n', encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(path, CloudSettings)
    assert words in str(caught.value)


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "cloud.toml"
    path.write_text("[broker]\nport = -1\nhots = 1\n[api]\nport = 99999\n", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(path, CloudSettings)
    assert len(caught.value.errors) == 3


def book_at_start(folder: Path, text: str, *, has_a_book: bool) -> str:
    """What the service says about a book file when it starts; raises BookFileError where it does not start."""
    store, clock = MemoryStore(), ManualClock()
    spine = Spine(store, clock)
    if has_a_book:
        spine.commit(drafts.amend, {"prices": [{"sku": "sofa", "unit_price_minor": 100, "currency": "USD"}]})
    before = spine.state.book
    (folder / "book.json").write_text(text, encoding="utf-8")
    amend_from_files(spine, (folder / "book.json",))
    assert spine.state.book is before
    return "in force"


BAD_PRICE = '{"prices": [{"sku": "sofa", "unit_price_minor": -1, "currency": "USD"}]}'


@pytest.mark.parametrize("text", [BAD_PRICE, "{", '{"type": "FeatureCollection", "features": []}'])
def test_a_bad_book_file_stops_no_service_that_has_a_book(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    assert book_at_start(tmp_path, text, has_a_book=True) == "in force"
    assert [one.getMessage().partition(":")[0] for one in caplog.records] == ["the book in force stays in force"]
    with pytest.raises(BookFileError, match=r"book\.json"):
        book_at_start(tmp_path, text, has_a_book=False)


def test_check_reads_the_book_files_too(tmp_path: Path) -> None:
    (tmp_path / "book.json").write_text(BAD_PRICE, encoding="utf-8")
    config = tmp_path / "cloud.toml"
    config.write_text('[service]\ndata_folder = "data"\n[book]\nfiles = ["book.json"]\n', encoding="utf-8")
    checked = run(sys.executable, "-m", "pledgewatch_cloud", "run", "--config", config, "--check")
    assert (checked.returncode, checked.stdout) == (2, "")
    assert f"{tmp_path}/book.json:1: prices[0].unit_price_minor: -1 is not" in checked.stderr
