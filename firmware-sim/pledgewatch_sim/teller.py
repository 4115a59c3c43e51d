"""Tells the demo's story on the terminal: one table that stays, and a line for each thing that happens."""

from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pledgewatch_sim.story import Character
from pledgewatch_sim.voyage import PORTS

_EVENTS = {
    "fence_entered": "[green]enters[/] {place}",
    "fence_left": "leaves {place}",
    "condition_breached": "[bold red]too warm[/]: {value} °C for longer than its grace",
    "condition_restored": "[green]cold again[/]: {value} °C",
    "source_fell_silent": "[yellow]silent[/]: nothing measured for longer than allowed",
    "source_reported_again": "reports again",
    "tamper_suspected": "[bold red]tampering suspected[/]",
}
# What is said of an event above that late readings or a changed book have overtaken.
_TAKEN_BACK = {
    "fence_entered": "that it had come in",
    "fence_left": "that it had left",
    "condition_breached": "that it was too warm",
    "condition_restored": "that it was cold again",
    "source_fell_silent": "that it had fallen silent",
    "source_reported_again": "that it had reported again",
}
_MESSAGES = {
    "raise_alert": "[red]alert raised[/] at the bank",
    "clear_alert": "[green]alert cleared[/] at the bank",
    "withdraw_alert": "alert withdrawn at the bank",
    "release_disbursement": "[bold green]the bank is asked to release {amount} to {payee}[/]",
    "hold_release": "[bold magenta]a release is held before the bank has booked it[/]",
    "retract_release": "[bold magenta]a release is retracted before the bank has booked it[/]",
    "resume_release": "[green]what was taken back holds again[/]: the bank is asked to release {amount} to {payee}",
    "record_expiry": "a milestone was not met in time",
    "question_release": "[bold magenta]the bank is asked to question a release[/]",
    "reaffirm_release": "the bank is told that a release stands",
    "record_base": "eligible {eligible}, lent {outstanding}, available {available}, loan to value {ltv}",
    "record_breach": "[bold red]a covenant is breached[/]: {cover}",
    "call_margin": "[bold red]a margin is called[/]: {call}",
    "record_cover": "[green]cover is restored[/]: {cover}",
}


class Teller:
    """Use as a context manager. Headless it says each line plainly and keeps no table."""

    def __init__(self, characters: Sequence[Character], *, headless: bool) -> None:
        self._console = Console(highlight=False, soft_wrap=headless)
        self._headless = headless
        self._live = None if headless else Live(console=self._console, refresh_per_second=4, transient=False)
        self._goods = {one.name: f"{one.quantity:,} × {one.goods}" for one in characters}
        self._ways = {one.name: f"{PORTS[one.origin].name} → {PORTS[one.destination].name}" for one in characters}
        self._now_ms: int | None = None

    def __enter__(self) -> Self:
        self._console.print("[bold]pledgewatch[/]: three containers, one bank, twelve days in a moment. Setting out …")
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def address(self, console: str, ledger: str) -> None:
        """Where to look meanwhile."""
        self.say(f"console and API: [link]{console}[/link]   the bank's ledger: [link]{ledger}[/link]")

    def say(self, text: str) -> None:
        """One line, with the simulated moment before it once there is one."""
        moment = "" if self._now_ms is None else f"[dim]{_moment(self._now_ms)}[/]  "
        self._console.print(f"{moment}{text}")

    def news(self, events: list[dict[str, Any]], messages: list[dict[str, Any]]) -> None:
        """What the cloud found, and what reached the bank."""
        for one in events:
            words = _EVENTS.get(one["type"])
            if one["type"] == "event_retracted" and one["facts"]["retracted_type"] in _TAKEN_BACK:
                words = f"[magenta]taken back[/], {_TAKEN_BACK[one['facts']['retracted_type']]}"
            if words:
                self._now_ms = one["at_ms"]
                self.say(f"[bold]{one['subject']}[/]: {words.format(**_facts(one['facts']))}")
        for one in messages:
            self.say(
                f"   ↳ {one['facility']}: {_MESSAGES.get(one['type'], one['type']).format(**_amounts(one['data']))}"
            )

    def now(self, now_ms: int, assets: dict[str, Any], status: dict[str, Any]) -> None:
        """The table."""
        self._now_ms = now_ms
        if self._live is None:
            return
        table = Table(expand=False)
        for head in ("container", "goods", "way", "place", "inside", "condition", "signal"):
            table.add_column(head)
        for one in assets["features"]:
            facts = one["properties"]
            place = one["geometry"]["coordinates"] if one["geometry"] else None
            table.add_row(
                one["id"],
                self._goods.get(one["id"], ""),
                self._ways.get(one["id"], ""),
                f"{place[1]:8.3f} {place[0]:9.3f}" if place else "no fix yet",
                ", ".join(PORTS[fence].name for fence in facts["fences"]) or "at sea",
                _condition(facts["conditions"]),
                _signal(facts["sources"]),
            )
        line = Text.from_markup(
            f"[dim]{_moment(now_ms)}  ·  {status['readings']:,} readings committed in {status['entry']:,} entries  ·  "
            f"{status['counts']['outbox_delivered']} messages delivered[/]"
        )
        self._live.update(Group(table, line))

    def end(self, report: dict[str, Any]) -> None:
        """The count at both ends."""
        readings, messages = report["readings"], report["messages"]
        self._now_ms = None
        self.say(
            f"\n[bold]Counted at both ends:[/] {readings['measured']:,} readings measured by the devices, "
            f"{readings['committed']:,} in the journal, {readings['lost']} lost, {readings['duplicated']} twice, "
            f"{readings['refused']} refused; "
            f"{messages['sent']} messages sent, {messages['verified']} verified and booked by the bank, "
            f"{messages['duplicated']} twice."
        )
        digest, service = report["journal"]["digest"][:16], report["journal"]["service_digest"][:16]
        self.say(f"The journal replays to the digest {digest}…, the service stopped with {service or 'none'}….")


def _condition(limits: list[dict[str, Any]]) -> str:
    """How an asset's goods are kept, in a word."""
    if any(one["state"] == "breached" for one in limits):
        return "[bold red]breached[/]"
    if any(one["state"] == "unknown" for one in limits):
        return "[yellow]unknown[/]"
    return "[red]was breached[/]" if any(one["breaches"] for one in limits) else "[green]kept[/]"


def _signal(sources: list[dict[str, Any]]) -> str:
    """Whether an asset is heard, in a word."""
    states = {one["state"] for one in sources}
    for state, word in (
        ("silent", "[red]silent[/]"),
        ("overdue", "[yellow]overdue[/]"),
        ("expected_dark", "dark, as planned"),
    ):
        if state in states:
            return word
    return "[green]live[/]"


def _moment(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1_000, UTC):%d %b %H:%M}"


def _facts(facts: dict[str, Any]) -> dict[str, Any]:
    shown = {"place": "", "value": "", **facts}
    if "fence" in facts:
        shown["place"] = PORTS[facts["fence"]].name if facts["fence"] in PORTS else facts["fence"]
    if "value" in facts:
        shown["value"] = f"{facts['value'] / 1_000:.1f}"
    return shown


def _amounts(data: dict[str, Any]) -> dict[str, str]:
    currency = data.get("currency", "")
    return {
        "amount": f"{data.get('amount_minor', 0) / 100:,.2f} {currency}",
        "payee": str(data.get("payee", {}).get("name", "")),
        "eligible": f"{data.get('eligible_minor', 0) / 100:,.2f} {currency}",
        "available": f"{data.get('availability_minor', 0) / 100:,.2f}",
        "call": f"{data.get('call_minor', 0) / 100:,.2f} {currency}",
        "cover": str(data.get("cover", "")),
        "outstanding": f"{data.get('outstanding_minor', 0) / 100:,.2f}",
        # Where nothing is eligible there is no ratio.
        "ltv": f"{data['ltv_bp'] / 100:.1f} %" if data.get("ltv_bp", -1) >= 0 else "not known",
    }
