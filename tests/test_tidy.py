"""The house checks itself: who may import whom, what is pure, what is generated, what no file may hold."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "pledgewatch_wire": ROOT / "wire",
    "pledgewatch_edge": ROOT / "edge",
    "pledgewatch_gateway": ROOT / "gateway",
    "pledgewatch_cloud": ROOT / "cloud",
    "pledgewatch_sim": ROOT / "firmware-sim",
}

# A package may import itself and these of ours.
MAY_IMPORT = {
    "pledgewatch_wire": set[str](),
    "pledgewatch_edge": {"pledgewatch_wire"},
    "pledgewatch_gateway": {"pledgewatch_wire", "pledgewatch_edge"},
    "pledgewatch_cloud": {"pledgewatch_wire"},
    "pledgewatch_sim": {"pledgewatch_wire"},
}

# The rooms of the cloud: what each may import beside itself.
ROOMS = {
    "decide": set[str](),
    "journal": {"decide"},
    "clock": set[str](),
    "spine": {"decide", "journal", "clock"},
    "ingest": {"decide", "journal", "clock", "histogram", "spine"},
    "histogram": set[str](),
    "outbox": {"decide", "journal", "clock", "histogram"},
    "backtest": {"decide", "journal", "spine", "book_file"},
    "market_file": {"decide", "book_file"},
    "certificate": {"decide", "journal", "spine", "book_file"},
    "series": {"decide", "journal"},
    "replay": {"decide", "journal", "spine"},
    "notices": {"decide", "journal", "spine", "ingest", "outbox", "clock"},
    "api": {
        *("decide", "journal", "spine", "ingest", "series", "clock", "console", "book_file", "notices"),
        *("histogram", "outbox"),
    },
}

# What deciding may use of the standard library and of others: nothing that has a clock, chance, disk or network.
PURE = {
    "bisect",
    "collections",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "functools",
    "hashlib",
    "itertools",
    "json",
    "math",
    "numpy",
    "re",
    "shapely",
    "typing",
    "pledgewatch_wire",
    "pledgewatch_cloud",
}
IMPURE_CALLS = {"now", "utcnow", "today", "open", "print", "input"}

# Third-party packages that must not be needed where they cannot be.
NOT_ON_A_PI = {"numpy", "shapely", "fastapi", "mqtt5", "amqtt", "uvicorn"}

EVERY_FILE = sorted(path for folder in PACKAGES.values() for path in folder.rglob("*.py") if "_pb2" not in path.name)


def imports(path: Path) -> list[str]:
    """The modules that a file imports, wherever in it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found.append(node.module or "")
            found += [f"{node.module}.{one.name}" for one in node.names]
    return found


def module_of(path: Path) -> list[str]:
    """The dotted name of a file, in parts."""
    for folder in PACKAGES.values():
        if path.is_relative_to(folder):
            return list(path.relative_to(folder).with_suffix("").parts)
    raise AssertionError(path)


@pytest.mark.parametrize("path", EVERY_FILE, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_keep_to_the_plan(path: Path) -> None:
    package, *rest = module_of(path)
    room = rest[0] if rest else ""
    for name in imports(path):
        other, *parts = name.split(".")
        if other in PACKAGES and other != package:
            assert other in MAY_IMPORT[package], f"{package} may not import {name}"
        if other == package == "pledgewatch_cloud" and room in ROOMS and parts and parts[0] != room:
            assert parts[0] in ROOMS[room] | {"__version__"}, f"{room} may not import {name}"
        if package in {"pledgewatch_wire", "pledgewatch_edge", "pledgewatch_gateway"}:
            assert other not in NOT_ON_A_PI, f"{package} runs on a Pi and may not import {name}"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "cloud/pledgewatch_cloud/decide").rglob("*.py")), ids=lambda path: path.name
)
def test_deciding_is_pure(path: Path) -> None:
    for name in imports(path):
        assert name.split(".")[0] in PURE, f"decide may not import {name}"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            assert called not in IMPURE_CALLS, f"{path.name}:{node.lineno}: decide may not call {called}"


@pytest.mark.parametrize("path", EVERY_FILE, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_opens_with_its_theory(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), "a file opens with a docstring"


def tracked_files() -> list[Path]:
    """What git holds or would hold."""
    found = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in found.stdout.splitlines() if (ROOT / name).is_file()]


FORBIDDEN = re.compile(
    rb"(?:/ro" + rb"ot/|/ho" + rb"me/[a-z]|py" + rb"pi\.org|pythonho" + rb"sted|deb\.deb" + rb"ian\.org|np" + rb"mjs\."
    rb"|BEGIN (?:EC |RSA |OPENSSH )?PRIV" + rb"ATE KEY)"
)


def test_no_file_names_a_machine_a_registry_or_holds_a_key() -> None:
    for path in tracked_files():
        found = FORBIDDEN.search(path.read_bytes())
        assert found is None, f"{path.relative_to(ROOT)} holds {found.group()!r}"


def test_constraints_are_plain_and_hold_everything_that_is_needed() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._!+]+", line) for line in pins)
    names = {re.sub(r"[._-]+", "-", line.partition("==")[0]).lower() for line in pins}
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    wanted = set(
        re.findall(
            r'"([A-Za-z0-9-]+)(?:\[[a-z,]+\])?"', text[text.index("dependencies = [") : text.index("[project.scripts]")]
        )
    )
    assert {one.lower() for one in wanted} - {"pledgewatch"} <= names


def test_the_protobuf_module_is_what_the_schema_makes(tmp_path: Path) -> None:
    source = ROOT / "wire"
    arguments = ["", f"-I{source}", f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"]
    assert protoc.main([*arguments, "pledgewatch_wire/payload.proto"]) == 0
    for name in ("payload_pb2.py", "payload_pb2.pyi"):
        made = (tmp_path / "pledgewatch_wire" / name).read_text(encoding="utf-8")
        kept = (source / "pledgewatch_wire" / name).read_text(encoding="utf-8")
        assert made == kept, f"{name} is stale: run scripts/generate"


def test_nothing_happens_at_import() -> None:
    names = [".".join(module_of(path)).removesuffix(".__init__") for path in EVERY_FILE if path.stem != "__main__"]
    code = "import sys, importlib, threading, warnings\nwarnings.simplefilter('error', ResourceWarning)\n"
    code += f"[importlib.import_module(name) for name in {names}]\nassert threading.active_count() == 1\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
