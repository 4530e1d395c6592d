"""What the facts of one command name as their cause, where return accrues before it."""

from libs.events.books import FundsDeposited
from libs.events.envelope import Draft
from libs.events.repaying import FundsWithdrawn
from libs.events.timekeeping import TimeReached
from libs.rules.authority import Order
from libs.rules.membership import Member
from libs.runtime.orders import _with_causes
from tests.histories import ANY_COMMAND_SIGNED, START, key_of


def order() -> Order:
    # Nobody looks at the claims here.
    signer = Member("ann", key_of("ann").address, frozenset())
    return Order(None, signer, ANY_COMMAND_SIGNED, START)  # type: ignore[arg-type]


KEEPS = Draft(
    "ann",
    FundsWithdrawn(member="ann", asset="USD", amount_stroops=1, command=ANY_COMMAND_SIGNED),
    "ann.1.withdrawn",
    START,
)
BEFORE = Draft("ann", FundsDeposited(member="ann", asset="USD", amount_stroops=1), "before", START)
BEHIND = Draft("time", TimeReached(to=START), "behind", START)


def test_what_stands_before_the_fact_that_keeps_the_command_names_it_too() -> None:
    drafts = _with_causes([BEFORE, KEEPS, BEHIND], order(), "- ann.1")

    assert [draft.cause for draft in drafts] == ["- ann.1", "- ann.1", None]


def test_a_decision_that_begins_with_it_is_left_to_the_writer() -> None:
    drafts = _with_causes([KEEPS, BEHIND], order(), "- ann.1")

    assert [draft.cause for draft in drafts] == [None, None]
