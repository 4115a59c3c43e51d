"""How lots stand by their electronic receipts, by dice instead of what warehouses and receipts say: for laws of what is
made of it. The same entry of the same journal always leads to the same."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from random import Random

import pytest
from lending import at_ms

from pledgewatch_cloud.decide.batch import Batch
from pledgewatch_cloud.decide.log import Log
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.warehouse import half, heard
from pledgewatch_cloud.decide.warehouse.counting import Count
from pledgewatch_cloud.decide.warehouse.held import STATES, HeldByReceipt


def by_dice(
    state: State, batch: Batch, refolded: Iterable[str], count: Count | None, is_amended: bool, log: Log
) -> State:
    """In place of the warehouse half: after each entry a third of the lots, or so, stand otherwise than before."""
    held = {
        lot: state.held[lot] if lot in state.held and not _is_otherwise(state.entry, lot) else _thrown(state, lot)
        for receipt in state.book.electronic_receipts
        for lot in (one.id for one in state.book.lots_on_receipt(receipt))
    }
    return state if held == state.held else replace(state, held=held)


@contextmanager
def held_by_dice() -> Iterator[None]:
    """While this lasts, dice say how lots stand."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(half, "judge", by_dice)
        patch.setattr(heard, "followed", lambda before, state: state)
        yield


def _is_otherwise(entry: int, lot: str) -> bool:
    return Random(f"{entry} {lot}").random() < 0.3


def _thrown(state: State, lot: str) -> HeldByReceipt:
    dice, quantity = Random(f"{state.entry} {lot} as"), state.book.lots[lot].quantity
    missing = dice.choice((0, 0, 1, dice.randint(0, quantity), quantity))
    until_ms = dice.choice((NEVER, at_ms(60), state.recorded_at_ms + dice.randint(0, 9_000_000)))
    cases = tuple(f"case-{number}" for number in range(dice.randint(0, 2))) if missing else ()
    state_of, there = dice.choice(("valid", "valid", "valid", *STATES)), min(missing, quantity)
    heard_ms = dice.choice((-NEVER, state.recorded_at_ms, state.recorded_at_ms - dice.randint(0, 9_000_000)))
    return HeldByReceipt(state_of, until_ms, there, cases, heard_ms)
