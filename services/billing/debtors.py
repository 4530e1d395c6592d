"""Whom a rule of lateness looks at: an agreement, and the member who has to pay it today. Pure."""

from collections.abc import Callable
from typing import NamedTuple

from libs.events.invoicing import AgreementOpened


class Debtor(NamedTuple):
    """An agreement and its recipient."""

    opened: AgreementOpened
    """What was agreed."""
    recipient: str
    """Who holds the holding now; a holding may change hands, with its debt and its clock."""


Debtors = Callable[[str], Debtor | None]
"""Gives the debtor of an agreement; none while there is no such agreement."""
