"""Money in minor units, with every rounding named.

A collateral value rounds down and a loan-to-value ratio rounds up: where a fraction must go somewhere, it goes
against the borrowing base, so that rounding alone can never release a cent.

What is done to columns is done exactly: a quotient is estimated with floating numbers, which cannot be off by more than
one for what is allowed here, and set right by its remainder, which whole numbers of 64 bits hold although the product
does not fit.
"""

from typing import NamedTuple

import numpy as np

from pledgewatch_cloud.decide.columns import Numbers, Truths

BASIS_POINTS = 10_000
AMOUNT_MAX_MINOR = 10**15
"""The most that one amount may be: below it whole numbers and floating ones agree."""
TOTAL_MAX_MINOR = 4 * 10**18
"""The most that amounts may add up to, so that a sum fits into 64 bits."""
_EXACT_BELOW = 2.0**53
_LOW_BITS = 26


class Amount(NamedTuple):
    """A decimal number: `units` of 10^-`exponent`."""

    units: int
    exponent: int

    def text(self, *, grouped: bool = False) -> str:
        """As decimal text, with commas between thousands where `grouped`."""
        whole, rest = divmod(abs(self.units), 10**self.exponent)
        sign = "-" if self.units < 0 else ""
        decimals = f".{rest:0{self.exponent}d}" if self.exponent else ""
        return f"{sign}{whole:{',' if grouped else ''}d}{decimals}"


def ratio_bp(part_minor: int, whole_minor: int) -> int | None:
    """`part ÷ whole` in basis points, rounded up; None where the whole is nothing, for then there is no ratio."""
    if whole_minor == 0:
        return None
    return -(-part_minor * BASIS_POINTS // whole_minor)


def portion_minor(whole_minor: int, share_bp: int) -> int:
    """A share of an amount, rounded down."""
    return whole_minor * share_bp // BASIS_POINTS


def share_down(values: Numbers, numerator: Numbers | int, denominator: Numbers | int) -> Numbers:
    """`values × numerator ÷ denominator`, rounded down.

    For values and numerators from 0 to AMOUNT_MAX_MINOR, denominators from 1 to 10^18, and results up to
    AMOUNT_MAX_MINOR; a greater result is not exact.
    """
    found: Numbers = (values * (numerator / denominator)).astype(np.int64)
    # Both products may wrap round; their difference, the remainder, is small and does not.
    remainder = values * numerator
    remainder -= found * denominator
    found -= remainder < 0
    found += remainder >= denominator
    return found


def shares_down(values: Numbers, numerators: Numbers, denominators: Numbers, of: Numbers) -> tuple[Numbers, Truths]:
    """The same with numerators and denominators that are looked up: those of value v are at `of[v]`.

    Beside it, where the result is more than AMOUNT_MAX_MINOR; it is 0 there. A denominator of 0 counts as 1.
    """
    denominators = np.maximum(denominators, 1)
    if (numerators == denominators).all():
        is_beyond = values > AMOUNT_MAX_MINOR
        return np.where(is_beyond, 0, values), is_beyond
    estimate = values * (numerators / denominators)[of]
    is_beyond = estimate > AMOUNT_MAX_MINOR
    if is_beyond.any():
        values, estimate = np.where(is_beyond, 0, values), np.where(is_beyond, 0.0, estimate)
    found: Numbers = estimate.astype(np.int64)
    denominator = denominators[of]
    remainder = values * numerators[of]
    remainder -= found * denominator
    found -= remainder < 0
    found += remainder >= denominator
    return found, is_beyond


def share_bp_down(values: Numbers, share_bp: Numbers) -> Numbers:
    """A share of each value, rounded down: values from 0 to AMOUNT_MAX_MINOR, shares from 0 to 10,000 basis points.

    The product is at most 10^19, which 64 bits without a sign hold.
    """
    product = values.view(np.uint64) * share_bp.view(np.uint64)
    product //= np.uint64(BASIS_POINTS)
    return product.view(np.int64)


def totals(places: Numbers, amounts: Numbers, count: int) -> Numbers:
    """The sum of the amounts (from 0) at each of `count` places, each below 2^62: the caller sees to that."""
    if float(amounts.sum(dtype=np.float64)) < _EXACT_BELOW:
        return np.bincount(places, amounts, count).astype(np.int64)
    high = np.bincount(places, amounts >> _LOW_BITS, count).astype(np.int64)
    low = np.bincount(places, amounts & (2**_LOW_BITS - 1), count).astype(np.int64)
    summed: Numbers = (high << _LOW_BITS) + low
    return summed
