"""Documents from people's hands: amendments of the book in JSON, YAML or TOML, and where in them a fault is.

Every format gives the same document, and none lets a slip pass in silence: a key given twice, a number that is none
(NaN), text that is no Unicode are faults. YAML dates stay the text that they are; its aliases are refused.

A fault names its place in the document (`lots[3].limits[0].low`, or `lots lot-7.facility` where only the whole book
shows it). `line_of` finds the line for it, when there is something to tell and not before.
"""

import json
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from pledgewatch_cloud.decide import strict_json as decide_strict_json
from pledgewatch_wire.toml_text import TomlError, read_toml

MAX_FILE_BYTES = 256 * 1024 * 1024
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_ID_KEYS = ("id", "device", "sku")


class DocumentError(ValueError):
    """A text that is no document: a sentence with line, column and reason where they are known."""


class BookFile(NamedTuple):
    """A file and the amendment in it."""

    path: Path
    text: str
    document: dict[str, Any]

    def explained(self, errors: tuple[str, ...]) -> list[str]:
        """Faults of the document, each behind its file and line."""
        root = _nodes(self.path, self.text)
        found = []
        for error in errors:
            place, _, _ = error.partition(": ")
            line = _line_of(root, self.document, place)
            found.append(f"{self.path}:{line}: {error}" if line else f"{self.path}: {error}")
        return found


def read_book_file(path: Path) -> BookFile:
    """The amendment in a .json, .yaml, .yml or .toml file. Raises OSError, or DocumentError."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise DocumentError(f"{path} has more than {MAX_FILE_BYTES} bytes: split it")
    try:
        text = path.read_bytes().decode("utf-8")
        document = _READERS.get(path.suffix.lower(), _no_reader)(text)
    except DocumentError as error:
        raise DocumentError(f"{path}: {error}") from None
    except UnicodeDecodeError as error:
        raise DocumentError(f"{path}: not UTF-8 at byte {error.start}") from None
    if not isinstance(document, dict):
        raise DocumentError(f"{path}: an object with sections is needed, not {type(document).__name__}")
    return BookFile(path, text, document)


def strict_json(text: str | bytes) -> Any:
    """JSON in which every key comes once and every number is one. Raises DocumentError."""
    try:
        return decide_strict_json.strict_json(text)
    except decide_strict_json.JsonError as error:
        raise DocumentError(str(error)) from None


def strict_yaml(text: str) -> Any:
    """YAML's safe part, without aliases, its dates left as text. Raises DocumentError."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader of our own, below
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise DocumentError(f"{place}{error.problem}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise DocumentError(f"no YAML: {error}") from None


def _strict_toml(text: str) -> Any:
    try:
        return json.loads(json.dumps(read_toml(text), default=str))
    except TomlError as error:
        raise DocumentError(str(error)) from None


def _no_reader(_: str) -> Any:
    raise DocumentError("a book file ends in .json, .yaml or .toml")


_READERS = {".json": strict_json, ".yaml": strict_yaml, ".yml": strict_yaml, ".toml": _strict_toml}


_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class _Loader(yaml.SafeLoader):
    """YAML for people: a key twice is a fault, an alias too, a date is the text that was written.

    Of words only `true` and `false` are truth values (YAML 1.2): `on`, `no` and their like are text.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 - as the base class has it
        first: [(tag, pattern) for tag, pattern in some if tag not in ("tag:yaml.org,2002:bool", _TIMESTAMP)]
        for first, some in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases are not read: write it out", problem_mark=event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key!r} is no text: write it in quotes", problem_mark=key_node.start_mark
                )
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key!r} comes twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("true|false"), list("tf"))


class _Node(NamedTuple):
    """Where a part of a document begins, and its parts: by key or by place."""

    line: int
    parts: dict[str | int, "_Node"]


def _nodes(path: Path, text: str) -> _Node:
    """The lines of a document's parts. JSON is read as the YAML that it nearly is."""
    if path.suffix.lower() == ".toml":
        return _toml_nodes(text)
    try:
        root = yaml.compose(text.replace("\t", " "), Loader=_C_LOADER)
    except yaml.YAMLError:
        return _Node(0, {})
    return _node(root)


_C_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _node(node: Any) -> _Node:
    line = node.start_mark.line + 1 if node is not None else 0
    parts: dict[str | int, _Node] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            parts[str(key.value)] = _Node(key.start_mark.line + 1, _node(value).parts)
    elif isinstance(node, yaml.SequenceNode):
        parts = {place: _node(one) for place, one in enumerate(node.value)}
    return _Node(line, parts)


_HEADER = re.compile(r"\s*\[(\[?)\s*([A-Za-z0-9_.\-]+)\s*\]")
_KEY = re.compile(r"\s*([A-Za-z0-9_\-]+)\s*=")


def _toml_nodes(text: str) -> _Node:
    """Headers and keys of TOML, line by line; what is written inline has the line of its key."""
    root = _Node(1, {})
    here = root
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.match(line)
        if header:
            here = root
            names = header.group(2).split(".")
            for depth, name in enumerate(names):
                part = here.parts.setdefault(name, _Node(number, {}))
                is_new = header.group(1) and depth == len(names) - 1
                if is_new or any(isinstance(key, int) for key in part.parts):
                    place = len(part.parts) - (0 if is_new else 1)
                    part = part.parts.setdefault(place, _Node(number, {}))
                here = part
        elif key := _KEY.match(line):
            here.parts.setdefault(key.group(1), _Node(number, {}))
    return root


def _line_of(root: _Node, document: dict[str, Any], place: str) -> int:
    """The line of a place, or of the nearest thing around it that has one; 0 where there is none."""
    head, _, rest = place.partition(" ")
    if rest and head in document:
        identity, _, key = rest.partition(".")
        place = f"{_place_of(document, head, identity)}.{key}"
    node, line = root, 0
    for name, index in _STEP.findall(place):
        part = node.parts.get(int(index) if index else name)
        if part is None:
            break
        node, line = part, part.line
    return line


def _place_of(document: dict[str, Any], section: str, identity: str) -> str:
    """The place of an item by its id."""
    items = document[section]
    if section == "fences" and isinstance(items, dict):
        section, items = "fences.features", items.get("features")
    for place, one in enumerate(items if isinstance(items, list) else []):
        if isinstance(one, dict) and identity in {one.get(key) for key in _ID_KEYS if isinstance(one.get(key), str)}:
            return f"{section}[{place}]"
    return section
