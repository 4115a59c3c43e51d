"""Tells the demo's story on the terminal: one line that stays, and one for each thing that happens."""

from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from pledgewatch_sim.both_ends import Loan, total
from pledgewatch_sim.demo.beats import Told
from pledgewatch_sim.demo.story import AGENTS, HAZEL, PEARL
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
    "raise_alert": "[red]an alert is raised[/] at the bank: {rule}",
    "amend_alert": "an alert is amended at the bank, by what is known since: {rule}",
    "clear_alert": "[green]an alert is cleared[/] at the bank: {rule}",
    "withdraw_alert": "an alert is withdrawn at the bank: it rested on what did not happen",
    "release_disbursement": "[bold green]the bank is asked to release {amount} to {payee}[/]",
    "hold_release": "[bold magenta]a release is held before the bank has booked it[/]",
    "retract_release": "[bold magenta]a release is retracted before the bank has booked it[/]",
    "resume_release": "[green]what was taken back holds again[/]: the bank is asked to release {amount} to {payee}",
    "record_expiry": "a milestone was not met in time",
    "question_release": "[bold magenta]the bank is asked to question a release[/]",
    "reaffirm_release": "the bank is told that a release stands",
    "record_base": "eligible {eligible}, lent {outstanding}, available {available}, loan to value {ltv}",
    "record_breach": "[bold red]a covenant is breached[/]: headroom {headroom}",
    "call_margin": "[bold red]a margin is called[/]: {call}",
    "record_cover": "[green]cover is restored[/]: headroom {headroom}",
}

_TOLD_OF = {HAZEL.name, PEARL.name, *(one.name for one in AGENTS)}
"""Whose events are told: of the others the console tells."""
_MOVEMENTS = {
    "drawdown": "[bold green]the bank pays {amount}[/], and tells pledgewatch that the loan has grown",
    "repayment": "[bold green]the bank receives {amount}[/], and tells pledgewatch that the loan has shrunk",
}


class Teller:
    """Use as a context manager. Headless it says each line plainly and keeps no table."""

    def __init__(self, *, headless: bool) -> None:
        self._console = Console(highlight=False, soft_wrap=headless)
        self._live = None if headless else Live(console=self._console, refresh_per_second=4, transient=True)
        self._now_ms: int | None = None

    def __enter__(self) -> Self:
        self._console.print(
            "[bold]pledgewatch[/]: 24 containers, two warehouses, a bank; twelve days in a moment. Setting out …"
        )
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def address(self, console: str, ledger: str) -> None:
        """Where to look; it is of this machine alone, and asks for no key unless people log in."""
        self.say(f"console and API: [link]{console}[/link]   the bank's ledger: [link]{ledger}[/link]")

    def people(self, issuer: str, names: Sequence[str]) -> None:
        """Who may log in at the console, and where."""
        self.say(f"log in at the console, by the issuer [link]{issuer}[/link] and without a password, as one of:")
        for one in names:
            self.say(f"  {one}")

    def beat(self, told: Told) -> None:
        """A beat of the story that was found to have happened."""
        self.say(f"[bold cyan]▶ {told.head.en}[/]")
        self.say(f"  {told.why.en}")

    def beats(self, found: Sequence[Told]) -> None:
        """Every beat as the journal has it when the story is told."""
        self.say("\n[bold]The story, as the journal and the bank have it:[/]")
        for one in found:
            figures = "; ".join(
                f"{figure.name} {figure.found}" + ("" if figure.holds else f", expected {figure.expected}")
                for figure in one.figures
            )
            mark = "[green]happened[/]" if one.has_happened else "[bold red]NOT FOUND[/]"
            self.say(f"  {one.beat:14} {mark}: {figures}")

    def say(self, text: str) -> None:
        """One line, with the simulated moment before it once there is one."""
        moment = "" if self._now_ms is None else f"[dim]{_moment(self._now_ms)}[/]  "
        self._console.print(f"{moment}{text}")

    def news(
        self, events: list[dict[str, Any]], messages: list[dict[str, Any]], movements: list[dict[str, Any]]
    ) -> None:
        """What the cloud found, what reached the bank, and what money moved: a payment after what asked for it."""
        for one in events:
            words = _EVENTS.get(one["type"])
            if one["type"] == "event_retracted" and one["facts"]["retracted_type"] in _TAKEN_BACK:
                words = f"[magenta]taken back[/], {_TAKEN_BACK[one['facts']['retracted_type']]}"
            if words and one["subject"] in _TOLD_OF:
                self._now_ms = one["at_ms"]
                self.say(f"[bold]{one['subject']}[/]: {words.format(**_facts(one['facts']))}")
        asked = {one["data"]["release"] for one in messages if "release" in one["data"]}
        payments = {one["release"]: one for one in movements if one["release"] in asked}
        for one in movements:
            if one["release"] not in payments:
                self._say_moved(one)
        for one in messages:
            self.say(
                f"   ↳ {one['facility']}: {_MESSAGES.get(one['type'], one['type']).format(**_amounts(one['data']))}"
            )
            if payment := payments.pop(one["data"].get("release"), None):
                self._say_moved(payment)

    def _say_moved(self, movement: dict[str, Any]) -> None:
        amount = f"{movement['amount_minor'] / 100:,.2f} {movement['currency']}"
        self.say(f"   ↳ {movement['facility']}: {_MOVEMENTS[movement['kind']].format(amount=amount)}")

    def now(self, now_ms: int, status: dict[str, Any]) -> None:
        """The line that stays."""
        self._now_ms = now_ms
        if self._live is not None:
            counts = status["counts"]
            self._live.update(
                Text.from_markup(
                    f"[dim]{_moment(now_ms)}  ·  {status['readings']:,} readings committed in "
                    f"{status['entry']:,} entries  ·  {counts['outbox_delivered']} messages delivered[/]"
                )
            )

    def end(self, report: dict[str, Any], disagreements: Sequence[str]) -> None:
        """The count at both ends, and what does not agree."""
        readings, messages = report["readings"], report["messages"]
        waiting = f", {messages['waiting']} still to be sent" if messages["waiting"] else ""
        digest, service = report["journal"]["digest"][:16], report["journal"]["service_digest"][:16]
        self._now_ms = None
        self.say("\n[bold]Counted at both ends:[/]")
        self.say(
            f"  readings  {readings['measured']:,} measured by the devices, {readings['committed']:,} in the journal, "
            f"{readings['lost']} lost, {readings['duplicated']} twice, {readings['refused']} refused"
        )
        self.say(
            f"  messages  {messages['sent']} sent, {messages['verified']} verified and booked by the bank, "
            f"{messages['duplicated']} twice{waiting}"
        )
        self.say(f"  money     the bank's ledger:  {_loan(total(report, 'bank'))}")
        self.say(f"            pledgewatch's book: {_loan(total(report, 'pledgewatch'))}")
        for name, one in report["milestones"].items():
            missing = f": {'; '.join(one['missing'])}" if one["missing"] else ""
            self.say(f"  milestone {name} is {one['state']}{missing}")
        self.say(f"  journal   replays to the digest {digest}…, the service stopped with {service or 'none'}…")
        for one in disagreements:
            self.say(f"[bold red]The ends do not agree:[/] {one}.")
        if not disagreements:
            self.say("[green]Both ends agree.[/]")


def _loan(loan: Loan) -> str:
    """All that is lent, at an end."""
    return (
        f"{loan.opening_minor / 100:,.2f} lent before, {loan.drawn_minor / 100:,.2f} paid since, "
        f"{loan.repaid_minor / 100:,.2f} repaid, {loan.outstanding_minor / 100:,.2f} outstanding"
    )


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
        "headroom": f"{data.get('headroom_minor', 0) / 100:,.2f} {currency}",
        "rule": str(data.get("rule", "")).replace("-", " "),
        "outstanding": f"{data.get('outstanding_minor', 0) / 100:,.2f}",
        # Where nothing is eligible there is no ratio.
        "ltv": f"{data['ltv_bp'] / 100:.1f} %" if data.get("ltv_bp", -1) >= 0 else "not known",
    }
