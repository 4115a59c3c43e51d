"""Money in minor units, with every rounding named.

A collateral value rounds down and a loan-to-value ratio rounds up: where a fraction must go somewhere, it goes
against the borrowing base, so that rounding alone can never release a cent.
"""

BASIS_POINTS = 10_000


def after_haircut_minor(amount_minor: int, haircut_bp: int) -> int:
    """`amount × (1 − haircut)`, rounded down. `haircut_bp` is 0 to 10,000 basis points."""
    return amount_minor * (BASIS_POINTS - haircut_bp) // BASIS_POINTS


def ratio_bp(part_minor: int, whole_minor: int) -> int | None:
    """`part ÷ whole` in basis points, rounded up; None where the whole is nothing, for then there is no ratio."""
    if whole_minor == 0:
        return None
    return -(-part_minor * BASIS_POINTS // whole_minor)
