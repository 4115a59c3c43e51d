"""What the description says of answers: the types of pledgewatch_cloud.answers, as JSON Schema."""

import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from fastapi import FastAPI

from pledgewatch_cloud.answers.paths import READ, WRITTEN
from pledgewatch_cloud.api import examples

Schema = dict[str, Any]
JSON = "application/json"
_PLAIN: Mapping[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


class Described(FastAPI):
    """An application that says what its answers are made of."""

    def openapi(self) -> Schema:
        """The description."""
        if self.openapi_schema is None:
            document = super().openapi()
            known = document["components"]["schemas"]
            for method, answers in (("get", READ), ("post", WRITTEN)):
                for path, kind in answers.items():
                    _json_of(document, path, method)["schema"] = schema_of(kind, known)
            # Put in here, for FastAPI takes out of its document whatever is null.
            for path, example in examples.OF_ANSWERS.items():
                _json_of(document, path, "get")["example"] = example
        return self.openapi_schema or {}


def _json_of(document: Schema, path: str, method: str) -> Schema:
    """What is answered where all is well."""
    answers = document["paths"][path][method]["responses"]
    found: Schema = next(one for status, one in answers.items() if status.startswith("2"))["content"][JSON]
    return found


def schema_of(kind: Any, known: dict[str, Schema]) -> Schema:
    """The schema of a type; of objects with names by reference, what they are goes to `known`."""
    origin, args = get_origin(kind), get_args(kind)
    found: Schema = {}
    if is_typeddict(kind):
        found = _of_object(kind, known)
    elif origin in (Union, types.UnionType):
        found = {"anyOf": [schema_of(one, known) for one in args]}
    elif origin is Literal:
        found = {"enum": list(args)}
    elif origin is list:
        found = {"type": "array", "items": schema_of(args[0], known)}
    elif origin is dict:
        found = {"type": "object", "additionalProperties": schema_of(args[1], known)}
    elif kind is not Any:
        found = {"type": _PLAIN[kind]}
    return found


def _of_object(kind: Any, known: dict[str, Schema]) -> Schema:
    name = kind.__name__
    if name not in known:
        hints = get_type_hints(kind)
        known[name] = {
            "type": "object",
            "description": kind.__doc__ or name,
            "properties": {field: schema_of(one, known) for field, one in hints.items()},
            "required": [field for field in hints if field in kind.__required_keys__],
        }
    return {"$ref": f"#/components/schemas/{name}"}
