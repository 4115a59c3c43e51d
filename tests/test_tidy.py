"""The house checks itself: who may import whom, what is pure, what is generated, what no file may hold."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
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

# The rooms of the cloud, a folder or a file each, from the floor up: what each may import beside itself. A new one is
# listed before its first import.
ROOMS = {
    "__init__": set[str](),
    "clock": set[str](),
    "histogram": set[str](),
    "progress": set[str](),
    "logs": set[str](),
    "loopback": set[str](),
    "console": set[str](),
    "signature": set[str](),
    "signing_key": set[str](),
    "broker": set[str](),
    "follower": set[str](),
    "answers": set[str](),
    "client": {"answers"},
    "table_text": set[str](),
    "decide": set[str](),
    "mosquitto": {"decide"},
    "book_schema": {"decide"},
    "book_file": {"decide"},
    "market_file": {"decide", "book_file"},
    "journal": {"decide"},
    "series": {"decide", "journal"},
    "spine": {"decide", "journal", "clock", "outage"},
    "replay": {"decide", "journal", "spine"},
    "backtest": {"decide", "journal", "spine", "book_file"},
    "typeset": {"decide"},
    "certificate": {"decide", "journal", "spine", "book_file", "typeset", "table_text"},
    "receipts": {"decide", "typeset"},
    "book_at_start": {"decide", "spine", "book_file"},
    "ingest": {"decide", "journal", "clock", "histogram", "spine"},
    "outbox": {"decide", "journal", "clock", "histogram", "signature", "outage"},
    "outage": set[str](),
    "drop_folder": {"decide", "journal", "outage"},
    "notices": {"decide", "journal", "spine", "clock", "signature", "drop_folder"},
    "stock": {"decide", "journal", "spine", "clock", "drop_folder", "notices", "outage"},
    "membership": {"decide", "spine", "clock", "signature", "outage", "outbox", "notices"},
    "addresses": set[str](),
    "connections": {"addresses", "secured", "seldom", "spoken"},
    "secured": set[str](),
    "seldom": set[str](),
    "spoken": {"seldom"},
    "serving": {"connections", "serving_settings"},
    "serving_settings": set[str](),
    "registry": {
        *("decide", "journal", "clock", "notices", "config", "credentials", "api", "loopback"),
        *("serving", "serving_settings"),
    },
    "login": {"decide", "clock", "outage", "outbox"},
    "access": {"decide", "journal", "spine", "series", "clock", "outage", "login", "loopback"},
    "identity": {"access", "decide", "spine", "clock", "outage", "loopback", "receipts", "mosquitto"},
    "api": {
        *("access", "login", "identity"),
        *("decide", "journal", "spine", "ingest", "series", "clock", "console", "book_file", "notices"),
        *("histogram", "outbox", "membership", "stock", "receipts", "addresses", "table_text", "answers"),
    },
    "config": {"decide", "journal", "outbox", "logs", "loopback", "receipts", "identity", "serving_settings"},
    "configured": {"config", "clock", "ingest", "series"},
    "credentials": {"config", "notices", "signature", "membership", "signing_key", "receipts", "identity"},
    "login_provider": {"config", "credentials", "login", "outbox"},
    "delivery": {"config", "credentials", "clock", "journal", "outbox"},
    "doctor": {
        *("config", "configured", "credentials", "delivery", "decide", "journal", "spine", "ingest", "outbox", "login"),
        "login_provider",
    },
    "service": {
        *("config", "configured", "credentials", "delivery", "book_at_start", "broker", "follower", "clock"),
        *("decide", "journal", "spine", "ingest", "outbox", "notices", "stock", "drop_folder", "series", "api"),
        *("membership", "serving", "login", "login_provider", "identity"),
        "receipts",
    },
    "commands": {
        *("config", "configured", "doctor", "service", "book_at_start", "broker", "logs", "progress", "replay"),
        *("decide", "journal", "spine", "outbox", "notices", "series", "backtest", "certificate", "book_file"),
        *(
            "market_file",
            "stock",
            "table_text",
            "credentials",
            "signature",
            "signing_key",
            "receipts",
        ),
        *("registry", "serving", "access", "mosquitto", "identity"),
    },
    "__main__": {"commands", "journal", "series"},
}

# The rooms of `decide/`: what each may import of the others. Money and the trade know nothing of each other, not by way
# of others either; milestones know both. What one of them needs of the whole (a book, the state) is beside them, one
# file each.
DECIDE_ROOMS = {
    "items": set[str](),
    "trade": {"items"},
    "collateral": {"items", "warehouse"},
    "milestones": {"items", "trade", "collateral", "warehouse"},
    "stock": {"items"},
    "receipts": {"stock"},
    "registry": set[str](),
    "warehouse": {"items", "stock", "receipts"},
    "access": {"items", "trade", "stock", "receipts", "warehouse", "collateral", "milestones"},
}
# The files beside them that are made of the rooms; the others are what rooms are made of, and know items at most.
OVER_THE_ROOMS = {"book", "drafts", "facility", "identity_acts", "state", "step"}

# What deciding may use of the standard library and of others: nothing that has a clock, chance, disk or network.
PURE = {
    "array",
    "base64",
    "bisect",
    "collections",
    "cryptography",  # to verify; nothing here makes a key or signs
    "csv",  # of lines that are given; it opens nothing
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "functools",
    "hashlib",
    "heapq",
    "hmac",
    "itertools",
    "json",
    "math",
    "numpy",
    "operator",
    "pledgewatch_cloud",
    "pledgewatch_wire",
    "re",
    "shapely",
    "typing",
    "unicodedata",
}
IMPURE_CALLS = {"now", "utcnow", "today", "open", "print", "input"}

# Third-party packages that must not be needed where they cannot be.
NOT_ON_A_PI = {"numpy", "shapely", "fastapi", "mqtt5", "amqtt", "uvicorn"}

EVERY_FILE = sorted(path for folder in PACKAGES.values() for path in folder.rglob("*.py") if "_pb2" not in path.name)
EVERY_DECIDING_FILE = [path for path in EVERY_FILE if path.is_relative_to(ROOT / "cloud/pledgewatch_cloud/decide")]


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
    room = rest[0]
    assert package != "pledgewatch_cloud" or room in ROOMS, f"{room} is not among ROOMS: say what it may import"
    for name in imports(path):
        other, *parts = name.split(".")
        if other in PACKAGES and other != package:
            assert other in MAY_IMPORT[package], f"{package} may not import {name}"
        if other == package == "pledgewatch_cloud" and parts and parts[0] != room:
            assert parts[0] in ROOMS[room] | {"__version__"}, f"{room} may not import {name}"
        if package in {"pledgewatch_wire", "pledgewatch_edge", "pledgewatch_gateway"}:
            assert other not in NOT_ON_A_PI, f"{package} runs on a Pi and may not import {name}"


@pytest.mark.parametrize("path", EVERY_DECIDING_FILE, ids=lambda path: path.name)
def test_deciding_is_pure(path: Path) -> None:
    for name in imports(path):
        assert name.split(".")[0] in PURE, f"decide may not import {name}"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            assert called not in IMPURE_CALLS, f"{path.name}:{node.lineno}: decide may not call {called}"


def test_every_room_of_the_list_is_there() -> None:
    assert {module_of(path)[1] for path in EVERY_FILE if module_of(path)[0] == "pledgewatch_cloud"} == set(ROOMS)


@pytest.mark.parametrize("path", EVERY_DECIDING_FILE, ids=lambda path: path.name)
def test_the_rooms_of_deciding_keep_to_the_plan(path: Path) -> None:
    room = module_of(path)[2]
    for name in imports(path):
        other = name.removeprefix("pledgewatch_cloud.decide.").split(".")[0]
        if other in DECIDE_ROOMS and other != room:
            assert room in OVER_THE_ROOMS or other in DECIDE_ROOMS.get(room, {"items"}), (
                f"decide/{room} may not import {name}"
            )


COMMITS_BY_ITSELF = {"warehouses"}
"""Counts: who hands one in shows by its signature alone who that is."""


def test_no_router_writes_past_what_holds_a_write_to_who_asks() -> None:
    found = set()
    for path in (ROOT / "cloud" / "pledgewatch_cloud" / "api").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Attribute) or not node.attr.startswith("commit"):
                continue
            if getattr(node.value, "attr", "") == "writer":
                found.add(path.stem)
    assert found == {"writing", *COMMITS_BY_ITSELF}


def test_the_rooms_of_deciding_are_those_of_the_list() -> None:
    names = [module_of(path)[2:] for path in EVERY_DECIDING_FILE]
    assert {one[0] for one in names if len(one) > 1} == set(DECIDE_ROOMS)
    assert {one[0] for one in names if len(one) == 1} >= OVER_THE_ROOMS


def test_no_room_of_deciding_needs_itself_over_others_and_money_and_trade_do_not_meet() -> None:
    knows: dict[str, set[str]] = {}
    for room in TopologicalSorter(DECIDE_ROOMS).static_order():  # raises a CycleError that names the rooms of a circle
        knows[room] = DECIDE_ROOMS[room].union(*(knows[other] for other in DECIDE_ROOMS[room]))
    assert "trade" not in knows["collateral"]
    assert "collateral" not in knows["trade"]
    assert {"trade", "collateral"} <= knows["milestones"]


def test_no_module_needs_itself_over_others() -> None:
    modules = {".".join(module_of(path)).removesuffix(".__init__"): path for path in EVERY_FILE}
    needed = {name: {one for one in imports(path) if one in modules and one != name} for name, path in modules.items()}
    for others in needed.values():  # a package is not needed by whom needs a module of it
        others -= {one for one in others if any(other.startswith(f"{one}.") for other in others)}
    order = list(TopologicalSorter(needed).static_order())  # raises a CycleError that names the modules of a circle
    assert set(order) == set(modules)


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


def test_the_index_of_what_tests_share_is_whole() -> None:
    folder = ROOT / "tests" / "support"
    index = re.findall(r"^\| `(\w+)` \|", (folder / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(index) == sorted(path.stem for path in folder.glob("*.py"))


def test_nothing_happens_at_import() -> None:
    names = [".".join(module_of(path)).removesuffix(".__init__") for path in EVERY_FILE if path.stem != "__main__"]
    code = "import sys, importlib, threading, warnings\nwarnings.simplefilter('error', ResourceWarning)\n"
    code += f"[importlib.import_module(name) for name in {names}]\nassert threading.active_count() == 1\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
