"""The anchor's rules: when a round is due, what it says, and how it ends. Pure.

A round goes through these states, each a fact of ANCHORS:

    due -> AnchorPrepared -> HeadAnchored
                          -> AnchorFailed -> due again

The transaction stands in `AnchorPrepared` before it is sent for the first time, and from then on
only those bytes are sent. There is never more than one round without an end. Asking and sending
happens outside; what comes back is decided here.

Source: design, section 7; stellar.md, section 4.2; eventing contract, section 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from libs.events.anchoring import AnchorFailed, AnchorPrepared, HeadAnchored
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.positions import write_cause
from libs.events.quantities import format_instant
from libs.events.subjects import TIME_KEY
from libs.events.timekeeping import TimeAdvanced, TimeReached
from libs.merkle import Checkpoint, parse_checkpoint
from libs.proof.rounds import round_sha256, split_round, write_round
from libs.runtime.failures import BrokenLaw
from services.anchor.logs import Logs

ROUNDS_KEY = "rounds"
"""The key of all facts about rounds."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A round that is due, as it would be signed now."""

    round: int
    """Its number."""
    time: datetime
    """Its domain time: the last `TimeAdvanced`."""
    cause: str
    """Position and id of that fact."""
    text: str
    """The signed checkpoints of all logs."""

    @property
    def memo(self) -> bytes:
        """What the transaction carries, 32 bytes."""
        return round_sha256(self.text)


@dataclass(frozen=True, slots=True)
class Transaction:
    """The signed transaction of a round."""

    account: str
    """The anchor's address."""
    network: str
    """Passphrase of the network."""
    account_sequence: int
    """Sequence number that it uses."""
    envelope_xdr: str
    """Base64 XDR of the signed envelope."""
    transaction_hash: str
    """Its hash, 64 hexadecimal digits."""
    valid_until: datetime
    """Upper time bound."""


@dataclass(frozen=True, slots=True)
class Open:
    """A round that was prepared and has no end yet."""

    fact: AnchorPrepared
    """What was prepared."""
    time: datetime
    """The round's domain time."""
    cause: str
    """Position and id of `AnchorPrepared`: the cause of the round's end."""
    time_cause: str
    """Position and id of the `TimeAdvanced` that made it due."""


@dataclass(frozen=True, slots=True)
class Anchored:
    """Good end: the transaction stands in a closed ledger, and its evidence was verified."""

    ledger: int
    closed_at: datetime
    result_set_xdr: str
    header_xdr: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Bad end: the transaction can never succeed any more."""

    reason: str


class Anchor:
    """State and rules of ANCHORS."""

    def __init__(self, *, logs: Logs, stream: str, interval_s: int, log_seed: bytes) -> None:
        """Begin with no time and no round.

        Args:
            logs: Empty logs of every stream; filled here.
            stream: The own stream.
            interval_s: Seconds of domain time between rounds.
            log_seed: Seed of the key that signs checkpoints, 32 bytes.
        """
        self._logs, self._stream = logs, stream
        self._interval_s, self._log_seed = interval_s, log_seed
        self._begun: datetime | None = None
        self._now: tuple[datetime, str] | None = None
        self._reached: datetime | None = None
        self._rounds = 0
        self._published: dict[str, Checkpoint] = {}
        self._last: tuple[datetime, str] | None = None
        self._anchored_sizes: dict[str, int] = {}
        self.open: Open | None = None
        """The round that has no end yet."""

    @property
    def now(self) -> datetime | None:
        """The last `TimeAdvanced` that was read."""
        return self._now[0] if self._now else None

    @property
    def rounds(self) -> int:
        """Number of rounds that were prepared."""
        return self._rounds

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold a fact: its bytes into its log, time and own facts into the state."""
        self._logs.add(recorded.stream, recorded.data)
        fact = recorded.fact
        if isinstance(fact, TimeAdvanced):
            self._begun = self._begun or fact.to
            self._now = (fact.to, write_cause(recorded.position, recorded.envelope.id))
        elif recorded.stream == self._stream:
            self._evolve_own(recorded)

    def _evolve_own(self, recorded: Recorded[Fact]) -> None:
        fact, time = recorded.fact, recorded.envelope.time
        if isinstance(fact, AnchorPrepared):
            self._rounds = fact.round
            self._published = published_heads(fact.round_text)
            cause = write_cause(recorded.position, recorded.envelope.id)
            self.open = Open(fact, time, cause, recorded.envelope.cause)
        elif isinstance(fact, HeadAnchored):
            assert self.open is not None, "a round is prepared before it ends"
            self._last = (self.open.time, self.open.time_cause)
            self._anchored_sizes = {
                origin.rpartition("/")[2]: head.size for origin, head in self._published.items()
            }
            self.open = None
        elif isinstance(fact, AnchorFailed):
            self.open = None
        elif isinstance(fact, TimeReached):
            self._reached = fact.to

    def check(self) -> None:
        """Make sure that what was signed last is still the beginning of every log.

        Raises:
            BrokenLaw: It is not; the process stops and nothing is signed.
        """
        self._logs.check(self._published)

    def due(self) -> Sequence[Draft]:
        """`TimeReached` for the newest time whose round, if one was due, is confirmed."""
        reachable = self._now
        if self._now is not None and self._is_due(self._now[0]):
            reachable = self._last
        if reachable is None or (self._reached is not None and reachable[0] <= self._reached):
            return ()
        time, cause = reachable
        fact = TimeReached(to=time)
        return (Draft(TIME_KEY, fact, f"time.{format_instant(time)}", time, cause),)

    def _is_due(self, now: datetime) -> bool:
        """Tell whether a round is due: a new stretch of the raster has begun, and a log grew.

        Stretches count from the last round, and before the first one from the first time ever.
        """
        since = self._last[0] if self._last is not None else self._begun
        if since is None or self._stretch(now) <= self._stretch(since):
            return False
        return any(
            size > self._anchored_sizes.get(stream, 0)
            for stream, size in self._logs.sizes().items()
            if stream != self._stream
        )

    def _stretch(self, time: datetime) -> int:
        return int(time.timestamp()) // self._interval_s

    def plan(self) -> Plan | None:
        """Say what the next round would be; nothing while none is due or one has no end.

        Raises:
            BrokenLaw: A log is not consistent with what was signed last.
        """
        if self._now is None or self.open is not None or not self._is_due(self._now[0]):
            return None
        self.check()
        time, cause = self._now
        return Plan(self._rounds + 1, time, cause, write_round(self._logs.heads(), self._log_seed))

    def prepared(self, plan: Plan, signed: Transaction) -> Draft:
        """The fact that a round was prepared; it is durable before its transaction is sent."""
        fact = AnchorPrepared(
            round=plan.round,
            round_text=plan.text,
            round_sha256=plan.memo.hex(),
            account=signed.account,
            network=signed.network,
            account_sequence=str(signed.account_sequence),
            envelope_xdr=signed.envelope_xdr,
            transaction_hash=signed.transaction_hash,
            valid_until=signed.valid_until,
        )
        return Draft(ROUNDS_KEY, fact, f"round.{plan.round}.prepared", plan.time, plan.cause)

    def conclude(self, number: int, end: Anchored | Failed) -> Draft:
        """The fact that ends the open round.

        Args:
            number: The round that is meant.
            end: How it ended.

        Raises:
            BrokenLaw: Another round, or none, is open: our bug.
        """
        if self.open is None or self.open.fact.round != number:
            raise BrokenLaw("round-not-open", f"round {number} is not the open one")
        opened, tx_hash = self.open, self.open.fact.transaction_hash
        if isinstance(end, Failed):
            failed = AnchorFailed(round=number, transaction_hash=tx_hash, reason=end.reason)
            name = f"round.{number}.failed"
            return Draft(ROUNDS_KEY, failed, name, opened.time, opened.cause)
        anchored = HeadAnchored(
            round=number,
            transaction_hash=tx_hash,
            ledger=end.ledger,
            closed_at=end.closed_at,
            result_set_xdr=end.result_set_xdr,
            header_xdr=end.header_xdr,
        )
        return Draft(ROUNDS_KEY, anchored, f"round.{number}.anchored", opened.time, opened.cause)


def published_heads(round_text: str) -> dict[str, Checkpoint]:
    """The heads that a round of our own published, by origin."""
    heads = (
        parse_checkpoint(note[: note.rindex("\n\n") + 1])
        for note in split_round(round_text).values()
    )
    return {head.origin: head for head in heads}
