"""The `condition` measurement: how many of the labelled failures in real temperature series limits find, and how many
breaches they tell of elsewhere (tests/support/real_temperatures.py). Needs ../shared/data.
"""

from typing import Any

from real_temperatures import MOTES, Found, machine, mote


def condition() -> list[dict[str, Any]]:
    """A row for each series: the precision, against that of the plain rule."""
    series = {"machine": machine(), **{name.replace("_", "-"): mote(name) for name in MOTES}}
    return [_row(f"condition-{name}", found) for name, found in series.items()]


def _row(name: str, found: Found) -> dict[str, Any]:
    value, plain = found.precision(found.breaches), found.precision(found.plain)
    told = f"precision of {len(found.breaches)} breaches, recall {_share(found.recall(found.breaches))}"
    told += f" of {len(found.labelled)}; plain rule: {len(found.plain)}, recall {_share(found.recall(found.plain))}"
    ratio = round(value / plain, 2) if value is not None and plain else None
    return {"name": name, "value": _share(value), "unit": told, "baseline": _share(plain), "ratio": ratio, "runs": 1}


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
