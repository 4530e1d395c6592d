"""One entry of the double-entry books."""

from typing import NamedTuple


class Posting(NamedTuple):  # a frozen dataclass takes three times as long to make
    """One entry of the double-entry books."""

    asset: str
    """What moves: `U:<asset>`, `C:<asset>`, `T:<system>` or `W`."""
    debit: str
    """The account that is debited."""
    credit: str
    """The account that is credited."""
    amount: int
    """How much, above zero: stroops, shares or Wh."""
