"""Transfers that an approver can still undo: what each moved, for a while. Pure."""

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from libs.events.quantities import format_instant, parse_instant
from libs.rules.dumps import Dumped, Loaded

REVERSIBLE = timedelta(days=7)
"""How long after it took effect a transfer can be reversed, by the clock of facts."""

REVERSIBLE_MAX = 10_000
"""Most transfers of one giver that can be reversed, some 500 bytes each. It is per giver, so that
nobody can push another's transfers out by many of his own."""


@dataclass(frozen=True, slots=True)
class Effective:
    """A transfer that took effect within the book, not long ago."""

    giver: str
    """Who gave."""
    posted_at: datetime
    """When, by the clock of facts."""
    text: str
    """The fact that posted it, without command and metadata; empty once it was reversed."""


class Reversible:
    """The transfers of the last days, by id."""

    def __init__(self, most: int = REVERSIBLE_MAX) -> None:
        """Begin with none.

        Args:
            most: The most of one giver, at least 1.
        """
        self._most = most
        self._effective: dict[str, Effective] = {}
        self._oldest: deque[str] = deque()
        self._of_givers: dict[str, deque[str]] = {}

    def get(self, transfer: str, now: datetime) -> Effective | None:
        """Give a transfer that took effect lately enough."""
        found = self._effective.get(transfer)
        return None if found is None or now - found.posted_at > REVERSIBLE else found

    def keep(self, transfer: str, effective: Effective) -> None:
        """Keep what can be reversed, and let go of what cannot any more."""
        self._put(transfer, effective)
        end = effective.posted_at - REVERSIBLE
        while self._is_gone(self._oldest[0], end):
            self._drop(self._oldest.popleft())
        of_giver = self._of_givers[effective.giver]
        if len(of_giver) > self._most:
            self._drop(of_giver[0])

    def reverse(self, transfer: str) -> None:
        """Note that it was reversed; it stays known as long as it could have been."""
        done = self._effective[transfer]
        self._effective[transfer] = Effective(done.giver, done.posted_at, "")

    def _put(self, transfer: str, effective: Effective) -> None:
        self._effective[transfer] = effective
        self._oldest.append(transfer)
        self._of_givers.setdefault(effective.giver, deque()).append(transfer)

    def _is_gone(self, transfer: str, end: datetime) -> bool:
        found = self._effective.get(transfer)
        return found is None or found.posted_at < end

    def _drop(self, transfer: str) -> None:
        """Forget a transfer: the oldest of its giver, if it is known at all."""
        found = self._effective.pop(transfer, None)
        if found is None:
            return
        of_giver = self._of_givers[found.giver]
        assert of_giver[0] == transfer, "they are kept in the order of time"
        of_giver.popleft()
        if not of_giver:
            del self._of_givers[found.giver]

    def dump(self) -> Dumped:
        """Give them for a snapshot, oldest first."""
        effective = dict(self._effective)
        return {
            "effective": (
                [transfer, each.giver, format_instant(each.posted_at), each.text]
                for transfer, each in effective.items()
            )
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        for transfer, giver, posted_at, text in dumped["effective"]:
            self._put(transfer, Effective(giver, parse_instant(posted_at), text))
