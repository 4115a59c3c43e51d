"""Whether a JSON answer is what a type says of it: nothing missing, nothing beyond, each of its kind."""

import json
import re
import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from pledgewatch_cloud.answers.paths import WRITTEN
from pledgewatch_cloud.api.described import Described

_KINDS: dict[Any, tuple[type, ...]] = {float: (int, float), None: (type(None),)}


WRITES = [(re.compile(re.sub(r"{\w+}", ".+", path)), kind) for path, kind in WRITTEN.items()]


def check_write(app: Any, method: str, path: str, status: int, body: bytes) -> None:
    """What the API answers to a write, in whichever test, is of its type."""
    if not isinstance(app, Described) or method != "POST" or not 200 <= status < 300:
        return
    for pattern, kind in WRITES:
        if pattern.fullmatch(path):
            assert list(faults(kind, json.loads(body))) == [], path
            return


def faults(kind: Any, value: Any, at: str = "answer") -> Iterator[str]:
    """What is wrong with a value, each with its place."""
    origin, args = get_origin(kind), get_args(kind)
    if kind is Any:
        return
    if is_typeddict(kind):
        yield from _of_object(kind, value, at)
    elif origin in (Union, types.UnionType):
        found = [list(faults(one, value, at)) for one in args]
        if all(found):  # what it comes nearest to says most
            yield from max(found, key=lambda some: max(len(one.partition(": ")[0]) for one in some))
    elif origin is Literal:
        if value not in args:
            yield f"{at}: {value!r} is none of {args}"
    elif origin is list and isinstance(value, list):
        for place, one in enumerate(value):
            yield from faults(args[0], one, f"{at}[{place}]")
    elif origin is dict and isinstance(value, dict):
        for name, one in value.items():
            yield from faults(args[1], one, f"{at}.{name}")
    elif type(value) not in _KINDS.get(kind, (kind,)):
        yield f"{at}: {value!r} is no {kind}"


def _of_object(kind: Any, value: Any, at: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{at}: {value!r} is no {kind.__name__}"
        return
    hints = get_type_hints(kind)
    for name in kind.__required_keys__ - value.keys():
        yield f"{at}.{name}: is in {kind.__name__}, and not in the answer"
    for name, one in value.items():
        if name in hints:
            yield from faults(hints[name], one, f"{at}.{name}")
        else:
            yield f"{at}.{name}: is in the answer, and not in {kind.__name__}"
