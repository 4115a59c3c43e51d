"""docker-compose.yml keeps its own laws: pinned, healthy, without rights, and no file named that nobody makes or reads.

What scripts/compose-secrets makes is made once, into a folder of the test's; each program that a service runs then
reads its files as they are mounted, with their paths led there. What an engine alone could show, that the images build
and run, is not shown here.
"""

import json
import os
import re
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from needed import system_program

from pledgewatch_sim.programs import free_port

ROOT = Path(__file__).resolve().parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: one for name, one in SERVICES.items() if "build" in one}
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
BY_OTHERS = {"./dashboards/provisioning", "./dashboards/generated"}
"""Made by what generates dashboards."""
PINNED = re.compile(r"[a-z0-9./-]+:[0-9][A-Za-z0-9.-]*@sha256:[0-9a-f]{64}")
SECRET_WORDS = re.compile(r"PASSWORD|TOKEN|SECRET|KEY|CREDENTIAL")
MADE = "./compose/made/"

every_service = pytest.mark.parametrize("name", SERVICES)


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """A program and what it says."""
    return subprocess.run([str(one) for one in command], capture_output=True, text=True, check=False, cwd=cwd)


def make(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """What scripts/compose-secrets runs."""
    return run(sys.executable, ROOT / "scripts" / "compose_secrets.py", "--folder", folder, *options)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compose") / "made"
    done = make(folder, "--name", "broker.example", "--name", "192.0.2.7")
    assert done.returncode == 0, done.stderr
    return folder


def names_in(service: dict[str, Any], kind: str) -> list[str]:
    """The configs or secrets of a service."""
    return [one if isinstance(one, str) else one["source"] for one in service.get(kind, ())]


def sources_in(service: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    """The volumes of a service: what, where, how."""
    split = [volume.split(":") for volume in service.get("volumes", ())]
    return [(source, target, mode) for source, target, *mode in split]


@every_service
def test_a_service_is_pinned_watched_and_without_rights(name: str) -> None:
    service = SERVICES[name]
    if "build" in service:
        assert service["pull_policy"] == "build", "an image of this name elsewhere is not ours"
        assert re.fullmatch(r"pledgewatch-[a-z]+:[0-9.]+", service["image"])
    else:
        assert PINNED.fullmatch(service["image"])
    check = service["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period"} <= check.keys()
    uid, gid = service["user"].split(":")
    assert int(uid) > 0
    assert gid.isdecimal()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"cpus", "memory", "pids"} == service["deploy"]["resources"]["limits"].keys()
    assert not {"privileged", "cap_add", "pid", "ipc", "devices", "userns_mode", "env_file"} & service.keys()
    assert service.get("network_mode", "service:site") == "service:site"


@every_service
def test_no_secret_stands_in_an_environment_and_no_folder_of_the_host_is_written(name: str) -> None:
    service = SERVICES[name]
    for key, value in service.get("environment", {}).items():
        if SECRET_WORDS.search(key):
            assert key.endswith("_FILE"), key
            assert value.removeprefix("/run/secrets/") in names_in(service, "secrets")
    for source, _, mode in sources_in(service):
        assert "docker.sock" not in source
        if source.startswith("."):
            assert mode == ["ro"]
            assert (ROOT / source).is_dir() or source in BY_OTHERS or source.startswith(MADE), source
        else:
            assert source in COMPOSE["volumes"]
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:"), "others are let in by whoever decides that"
        assert "front" in service["networks"]


def test_grafana_reads_with_the_token_that_reads_and_has_no_other() -> None:
    """The file that its data source names is the one that InfluxDB leaves, in a volume that Grafana cannot write."""
    source = (ROOT / "dashboards" / "provisioning" / "datasources" / "pledgewatch.yaml").read_text(encoding="utf-8")
    (named,) = re.findall(r"\$__file\{(.*)\}", source)
    mounted = {target: (volume, mode) for volume, target, mode in sources_in(SERVICES["grafana"])}
    volume, mode = mounted[str(Path(named).parent)]
    kept = {volume: target for volume, target, _ in sources_in(SERVICES["influxdb"])}
    (script,) = (ROOT / "compose" / "influxdb").iterdir()
    assert kept["./compose/influxdb"] == "/docker-entrypoint-initdb.d"
    assert f"> {kept[volume]}/{Path(named).name}\n" in script.read_text(encoding="utf-8")
    assert mode == ["ro"]
    assert not [one for one in names_in(SERVICES["grafana"], "secrets") if "influxdb" in one]


def test_grafana_is_told_where_the_series_are_that_the_cloud_writes() -> None:
    """Whatever its provisioning takes from its environment is there, and is what the cloud has in its configuration."""
    files = (ROOT / "dashboards" / "provisioning").rglob("*.yaml")
    taken = {name for file in files for name in re.findall(r"\$\{?([A-Z][A-Z0-9_]*)", file.read_text(encoding="utf-8"))}
    given = SERVICES["grafana"]["environment"]
    series = tomllib.loads((ROOT / "compose" / "cloud.toml").read_text(encoding="utf-8"))["series"]
    assert taken == {"INFLUXDB_URL", "INFLUXDB_ORG", "INFLUXDB_BUCKET"}
    assert {name: given.get(name) for name in taken} == {
        f"INFLUXDB_{key.upper()}": series[key] for key in ("url", "org", "bucket")
    }
    init = SERVICES["influxdb"]["environment"]
    assert (init["DOCKER_INFLUXDB_INIT_ORG"], init["DOCKER_INFLUXDB_INIT_BUCKET"]) == (series["org"], series["bucket"])
    assert "series" in SERVICES["grafana"]["networks"]


@every_service
def test_what_a_service_waits_for_is_there(name: str) -> None:
    service = SERVICES[name]
    for other, one in service.get("depends_on", {}).items():
        assert other in SERVICES
        assert one["condition"] in {"service_healthy", "service_started"}
    for network in service.get("networks", ()):
        assert network in COMPOSE["networks"]


@pytest.mark.parametrize("kind", ["configs", "secrets", "volumes", "networks"])
def test_whatever_is_named_exists_and_is_used(kind: str) -> None:
    if kind == "volumes":
        used = {source for one in SERVICES.values() for source, *_ in sources_in(one) if not source.startswith(".")}
    elif kind == "networks":
        used = {network for one in SERVICES.values() for network in one.get("networks", ())}
    else:
        used = {name for one in SERVICES.values() for name in names_in(one, kind)}
    assert used == COMPOSE[kind].keys()


def test_every_file_is_there_or_is_made_and_git_ignores_what_is_made(made: Path) -> None:
    for one in (*COMPOSE["configs"].values(), *COMPOSE["secrets"].values()):
        path = one["file"]
        assert (made / path.removeprefix(MADE) if path.startswith(MADE) else ROOT / path).is_file(), path
    shown = {path.name for path in (made / "secrets").iterdir()}
    assert shown == set(COMPOSE["secrets"]), "nothing is made that nobody is given"
    assert {path.name for path in (made / "broker").iterdir()} == {"acl", "mosquitto.conf"}
    assert run("git", "check-ignore", "compose/made/secrets/api.token").returncode == 0
    assert run("git", "check-ignore", "compose/cloud.toml").returncode == 1
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert lines[1] == "*"
    assert not {one for one in let_in if one.startswith(("compose", "."))}
    copied = {
        word for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]
    }
    assert copied == let_in
    assert all((ROOT / one).exists() for one in copied)


def test_the_dockerfile_has_a_stage_for_each_program_and_root_runs_none() -> None:
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)
    of = {name: base for base, name in stages}
    assert {"edge", "gateway", "cloud", "sim"} <= of.keys()
    assert {of[name] for name in ("edge", "gateway", "cloud", "sim")} == {"base"}
    (base,) = re.findall(r"^ARG PYTHON=(.*)$", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"python:3\.1[1-9]\.[0-9]+-slim-bookworm@sha256:[0-9a-f]{64}", base)
    assert {one for one, _ in stages if one not in of} == {"${PYTHON}"}
    users = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)
    assert users == ["10001:10001"]
    for name, one in OURS.items():
        assert one["user"] == users[0], name
        assert one["build"]["target"] in of
        assert one["image"].startswith(f"pledgewatch-{one['build']['target']}:")
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version is not None
    assert {one["image"].partition(":")[2] for one in OURS.values()} == {version[1]}


def led_here(text: str, made: Path, place: Path) -> str:
    """The paths of a container, as they are on this machine."""
    for theirs, ours in (
        ("/run/secrets", made / "secrets"),
        ("/etc/pledgewatch", place),
        ("/var/lib/pledgewatch", place / "data"),
    ):
        text = text.replace(theirs, str(ours))
    return text


@pytest.mark.parametrize("name", OURS)
def test_every_file_that_is_mounted_is_read_by_the_programs_own_check(name: str, made: Path, tmp_path: Path) -> None:
    service = OURS[name]
    texts = {}
    for one in service["configs"]:
        source = COMPOSE["configs"][one["source"]]["file"]
        path = made / source.removeprefix(MADE) if source.startswith(MADE) else ROOT / source
        texts[one["target"]] = path.read_text(encoding="utf-8")
        (tmp_path / Path(one["target"]).name).write_text(led_here(texts[one["target"]], made, tmp_path), "utf-8")
    named = " ".join([*service["command"], *texts.values()])
    for target in texts:
        assert target in named, f"nobody reads {target}"
    for secret in names_in(service, "secrets"):
        assert f"/run/secrets/{secret}" in named or secret.endswith(".key"), f"nobody reads {secret}"
    told = re.findall(r"/run/secrets/([\w.-]+)", named)
    assert set(told) <= {*names_in(service, "secrets")}, "a file is named that is not mounted"
    module = f"pledgewatch_{service['build']['target']}"
    command = [led_here(word, made, tmp_path) for word in service["command"]]
    done = run(sys.executable, "-m", module, *command, "--check", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "can be used" in done.stdout
    assert "before it is run" not in done.stdout


def test_the_check_sees_what_is_wrong(made: Path, tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(
        "[gateway]\noperator = 'a'\nname = 'b'\nstate_folder = '/c'\nport = 1\n", "utf-8"
    )
    text = (ROOT / "compose" / "site.toml").read_text(encoding="utf-8")
    (tmp_path / "site.toml").write_text(led_here(text, made, tmp_path), encoding="utf-8")
    done = run(sys.executable, "-m", "pledgewatch_sim", "site", "--config", tmp_path / "site.toml", "--check")
    assert done.returncode == 1
    assert "[gateway] port is no key of this program" in done.stderr


def broker_files(made: Path) -> Iterator[tuple[str, str]]:
    """Mosquitto's configurations, by the service that mounts them."""
    yield "lan", (ROOT / "compose" / "lan.conf").read_text(encoding="utf-8")
    yield "mosquitto", (made / "broker" / "mosquitto.conf").read_text(encoding="utf-8")


def test_mosquitto_takes_both_of_its_files(made: Path, tmp_path: Path) -> None:
    """It has no check of its own, so it is started; the test of the access list starts it with what is behind."""
    program = system_program("mosquitto")
    for name, text in broker_files(made):
        port = free_port()
        here = re.sub(r"^listener \d+.*$", f"listener {port} 127.0.0.1", text, flags=re.MULTILINE)
        for theirs, ours in (("run/secrets", made / "secrets"), ("mosquitto/config", made / "broker")):
            here = here.replace(f"/{theirs}", str(ours))
        here = here.replace("/mosquitto/data", str(tmp_path))
        as_root = "\nuser root\n" if os.geteuid() == 0 else ""
        (tmp_path / name).write_text(here + as_root, encoding="ascii")
        process = subprocess.Popen(
            [program, "-c", str(tmp_path / name)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            wait_until_it_listens(process, port)
            assert process.poll() is None, name
        finally:
            process.terminate()
            process.communicate(timeout=10)


def wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    """For a minute at most, and while it lives."""
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert process.poll() is None, process.stdout.read() if process.stdout else ""
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


def test_secrets_are_kept_from_others_and_stay_when_it_is_run_again(made: Path, tmp_path: Path) -> None:
    made = shutil.copytree(made, tmp_path / "made")

    def everything() -> dict[str, bytes]:
        return {str(path.relative_to(made)): path.read_bytes() for path in made.rglob("*") if path.is_file()}

    modes = {name: stat.S_IMODE((made / name).stat().st_mode) for name in (".", "secrets", "authority", "broker")}
    assert modes == {".": 0o700, "secrets": 0o700, "authority": 0o700, "broker": 0o755}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (made / "secrets").iterdir()} == {0o444}
    assert stat.S_IMODE((made / "authority" / "ca.key").stat().st_mode) == 0o600
    before = everything()
    assert make(made).returncode == 0
    assert everything() == before
    assert make(made, "--renew", "--days", "30").returncode == 0
    changed = {name for name, data in everything().items() if before[name] != data}
    assert changed == {
        f"secrets/{name}.{ending}" for name in ("broker", "cloud", "health", "site-la-3") for ending in ("pem", "key")
    }
    assert make(made, "--days", "0").returncode == 2


def test_certificates_are_good_for_what_they_are_for_and_nothing_else(made: Path) -> None:
    shown = made / "secrets"
    parsed = {
        name: x509.load_pem_x509_certificate((shown / f"{name}.pem").read_bytes()) for name in ("broker", "cloud")
    }
    for name, certificate in parsed.items():
        key = load_pem_private_key((shown / f"{name}.key").read_bytes(), None)
        assert key.public_key() == certificate.public_key()
    for client, is_let_in in (("cloud", True), ("broker", False)):
        assert handshake(shown, client, "mosquitto") is is_let_in
    assert handshake(shown, "cloud", "elsewhere.example") is False


def handshake(shown: Path, client: str, name: str) -> bool:
    """Whether a client with this certificate and the broker of this name take each other."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(shown / "ca.pem"))
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(shown / "broker.pem", shown / "broker.key")
    asking = ssl.create_default_context(cafile=str(shown / "ca.pem"))
    asking.load_cert_chain(shown / f"{client}.pem", shown / f"{client}.key")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        (asking.wrap_bio(to_client, to_server, server_hostname=name)),
        (server.wrap_bio(to_server, to_client, server_side=True)),
    ]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
    return True


@pytest.mark.parametrize(("linter", "file"), [("hadolint", "Dockerfile"), ("compose-lint", "docker-compose.yml")])
def test_a_linter_has_nothing_against_it(linter: str, file: str) -> None:
    done = run(Path(sys.executable).parent / linter, ROOT / file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_access_list_is_of_the_book_that_the_cloud_is_given(made: Path) -> None:
    book = json.loads((made / "book-site.json").read_text(encoding="utf-8"))
    acl = (made / "broker" / "acl").read_text(encoding="utf-8")
    assert re.findall(r"^user (.*)$", acl, re.MULTILINE) == ["cloud", "health", "site-la-3"]
    assert len(book["installations"]) == 4
    for one in book["installations"]:
        assert f"topic write pw/1/{one['operator']}/{one['device']}/up\n" in acl
        key = load_pem_private_key((made / "secrets" / f"{one['device']}.key").read_bytes(), None)
        assert key.public_key().public_bytes_raw().hex() == one["public_key"]  # type: ignore[union-attr]
