"""The rules of ingest for READINGS: which reports are readings, and why the others are not.

Pure: facts in, facts out. State is a fold: the enrolments of METERS in one part, the time of PRICES
in another, the own facts (heads, refusals, what was reached) in a third.

Steps of judging a report that could be opened (`reports`), in order:

1. The meter of its topic is enrolled, and its key signed. What fails here is a stranger's: no fact.
2. A report whose very bytes were refused before is refused again, without a second fact.
3. Form, deployment, and topic against payload.
4. Its sequence: used before with the same bytes is a repeat, with others `sequence-reused`.
5. Registers, epoch and energy of the meter.
6. Its time against the last `TimeAdvanced`: refused, or not yet.
7. Its place: behind the head, in a gap, or nowhere (`heads`).

Source: eventing contract, section 6.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from libs.events.commands import CorrectReading
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.metering import (
    MeterEnrolled,
    MeterHead,
    ReadingCorrected,
    ReadingRecorded,
    ReadingRefused,
    Report,
)
from libs.events.positions import Position, write_cause
from libs.events.quantities import format_instant
from libs.events.timekeeping import TimeAdvanced, TimeReached
from libs.rules.authority import Authority, Order
from libs.rules.timekeeper import Timekeeper
from libs.runtime.failures import Refused
from services.ingest.corrections import Corrections
from services.ingest.heads import after_report, check_device, end_of, first_head, gap_of
from services.ingest.past import Past, digest_of
from services.ingest.reports import Breach, Breached, Incoming

EARLY_S_MAX = 5 * 60
"""Seconds beyond the expected time at which an interval may end and still be taken at once."""

FUTURE_S_MAX = 24 * 3600
"""Seconds beyond the expected time at which an interval may end and still be waited for."""

REFUSALS_KEPT = 100_000
"""Refused reports whose hashes are remembered, over all meters."""

REFUSALS_PER_TIME = 100
"""Most refusals of one meter that become facts between two `TimeReached`."""


class Outcome(Enum):
    """What becomes of a report."""

    ACCEPTED = auto()
    """It is a reading: a fact is to be staged."""
    REPEATED = auto()
    """It is a reading already."""
    REFUSED = auto()
    """A rule said no, for good."""
    NOT_YET = auto()
    """It is to come again later; nothing is said about it."""
    LOOK_BACK = auto()
    """Its sequence was used so long ago that only the stream knows with which bytes."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of one report."""

    outcome: Outcome
    """What becomes of it."""
    breach: Breach | None = None
    """Why it is refused, or why it must come again."""
    draft: Draft | None = None
    """The fact that follows."""
    position: Position | None = None
    """Of a repeat: where the reading stands."""
    ours: bool = False
    """Whether meter and signature are right, so that a receipt is owed."""


@dataclass(slots=True)
class _Enrolled:
    """A meter as METERS says."""

    fact: MeterEnrolled
    at: datetime


class Ingest:
    """State and rules of READINGS of one partition."""

    def __init__(self, *, deployment: str, stream: str, authority: Authority) -> None:
        """Begin with no meter and no time.

        Args:
            deployment: Reports for another installation are refused.
            stream: The own stream, `READINGS_<p>`.
            authority: Judges corrections; fed by this object.
        """
        self._deployment, self._stream = deployment, stream
        self.authority = authority
        self.corrections = Corrections()
        self._enrolled: dict[str, _Enrolled] = {}
        self._time: TimeAdvanced | None = None
        self._keeper = Timekeeper(stream, ())
        self._heads: dict[str, MeterHead] = {}
        self._refused: OrderedDict[tuple[str, str], Breach] = OrderedDict()
        self._refusals: dict[str, int] = {}
        self.past = Past()
        """The hashes of the reports that were accepted lately."""

    # Folding.

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold a fact of READINGS, METERS, MEMBERS or PRICES."""
        self.authority.evolve(recorded, own=recorded.stream == self._stream)
        match recorded.fact:
            case ReadingCorrected():
                self.corrections.evolve(recorded)
            case ReadingRecorded() as fact:
                self._heads[fact.meter] = fact.head
                self.past.keep(fact.meter, fact.seq, digest_of(fact.report), recorded.position)
            case ReadingRefused() as fact:
                self._remember_refusal(fact)
            case TimeReached():
                self._keeper.evolve(recorded)
                self._refusals.clear()
            case MeterEnrolled() as fact:
                self._enrolled[fact.meter] = _Enrolled(fact, recorded.envelope.time)
            case TimeAdvanced() as fact:
                self._keeper.evolve(recorded)
                self._time = fact
            case _:
                pass

    def _remember_refusal(self, fact: ReadingRefused) -> None:
        self._refused[fact.meter, fact.sha256] = Breach(fact.reason, fact.detail)
        if len(self._refused) > REFUSALS_KEPT:
            self._refused.popitem(last=False)
        self._refusals[fact.meter] = self._refusals.get(fact.meter, 0) + 1

    def due(self) -> Sequence[Draft]:
        """`TimeReached` for the last `TimeAdvanced` that was read: everything read is decided."""
        return self._keeper.due()

    def head(self, meter: str) -> MeterHead | None:
        """The head of an enrolled meter."""
        head = self._heads.get(meter)
        if head is None and (enrolled := self._enrolled.get(meter)) is not None:
            head = first_head(enrolled.fact)
        return head

    def is_enrolled(self, meter: str) -> bool:
        """Tell whether a meter was enrolled, as far as METERS was read."""
        return meter in self._enrolled

    def correct(self, order: Order) -> Sequence[Draft]:
        """Decide a correction, the only command of this stream.

        Raises:
            NotFound, Refused: By the rule that the code names.
            LookBackNeeded: What was recorded must be looked up first.
        """
        if not isinstance(order.command.body, CorrectReading):
            raise Refused("wrong-service", f"{order.command.command} is not for readings")
        meter = order.body(CorrectReading).meter
        enrolled = self._enrolled.get(meter)
        fact, at = (None, None) if enrolled is None else (enrolled.fact, enrolled.at)
        return (self.corrections.decide(order, fact, at, self.head(meter)),)

    # Judging.

    def judge(
        self, incoming: Incoming, *, looked_back: Past | None = None, hold: bool = False
    ) -> Verdict:
        """Judge one report; see the steps above.

        Args:
            incoming: The opened message.
            looked_back: What the stream holds of this meter's old sequences, once it was asked.
            hold: Whether a report that would open a gap in the sequence, or that is of a meter that
                nobody knows, is to come again first.
        """
        enrolled = self._enrolled.get(incoming.meter) if incoming.meter is not None else None
        if (stranger := _stranger(incoming, enrolled)) is not None:
            # An enrolment may be on its way: METERS is another stream.
            waits = hold and stranger.reason == "unknown-meter"
            return Verdict(Outcome.NOT_YET if waits else Outcome.REFUSED, stranger)
        assert enrolled is not None
        assert incoming.meter is not None
        known = self._refused.get((incoming.meter, incoming.sha256))
        if known is not None:
            return Verdict(Outcome.REFUSED, known, ours=True)
        if self._time is None:
            return _not_yet("no-time-yet", "no TimeAdvanced was read yet")
        try:
            return self._place(incoming, enrolled, looked_back, hold=hold)
        except Breached as error:
            return self._refuse(incoming, error.breach)

    def _place(
        self, incoming: Incoming, enrolled: _Enrolled, looked_back: Past | None, *, hold: bool
    ) -> Verdict:
        """Steps 3 to 7, for a report of an enrolled meter.

        Raises:
            Breached: The first rule that it breaks.
        """
        report = self._belonging(incoming, enrolled.fact)
        head = self._heads.get(report.meter) or first_head(enrolled.fact)
        if report.seq <= head.seq and gap_of(head, report.seq) is None:
            return self._used(incoming, report, looked_back)
        check_device(report, enrolled.fact, head)
        if (early := self._early(report)) is not None:
            return early
        after = after_report(head, report, enrolled.at)
        if hold and report.seq > head.seq + 1:
            return _not_yet("out-of-order", f"seq: {head.seq + 1} is expected next")
        return Verdict(Outcome.ACCEPTED, draft=_reading(report, after, incoming.text), ours=True)

    def _belonging(self, incoming: Incoming, enrolled: MeterEnrolled) -> Report:
        """The report, known to be well formed, for this installation, and of its topic's meter.

        Raises:
            Breached: The first rule that it breaks.
        """
        if incoming.breach is not None:
            raise Breached(incoming.breach.reason, incoming.breach.detail)
        report = incoming.report
        assert report is not None
        if report.deployment != self._deployment:
            raise Breached(
                "wrong-deployment",
                f"deployment: meant for {report.deployment}, this is {self._deployment}",
            )
        if report.meter != incoming.meter:
            raise Breached(
                "topic-differs", f"meter: {report.meter}, sent under the topic of {incoming.meter}"
            )
        if enrolled.site != incoming.site:
            raise Breached(
                "topic-differs",
                f"topic: site {incoming.site}, the meter is enrolled at {enrolled.site}",
            )
        return report

    def _used(self, incoming: Incoming, report: Report, looked_back: Past | None) -> Verdict:
        """A sequence at or below the head that no gap lacks: a repeat, or a breach."""
        accepted = self.past.find(report.meter, report.seq)
        if accepted is None and looked_back is None:
            return Verdict(Outcome.LOOK_BACK, ours=True)
        if accepted is None and looked_back is not None:
            accepted = looked_back.find(report.meter, report.seq)
        if accepted is None:
            raise Breached("overlap", f"seq: {report.seq} was passed over, and no gap lacks it")
        if accepted.digest.hex() != incoming.sha256:
            raise Breached(
                "sequence-reused", f"seq: another report was accepted as {report.seq} before"
            )
        return Verdict(Outcome.REPEATED, position=accepted.position, ours=True)

    def _early(self, report: Report) -> Verdict | None:
        """Compare the end of a report with the time that is expected by now.

        Raises:
            Breached: `future-time`.
        """
        assert self._time is not None
        # Whole seconds: a stranger's instant near the year 9999 has no later one to be added.
        expected_s = int(self._time.to.timestamp()) + self._time.cadence_s
        length_s = report.interval_s * report.interval_count
        early_s = int(report.first_interval_at.timestamp()) + length_s - expected_s
        if early_s <= EARLY_S_MAX:
            return None
        told = f"ends {early_s} s after {format_instant(self._time.to)} and one cadence"
        if early_s > FUTURE_S_MAX:
            raise Breached("future-time", f"first_interval_at: the last interval {told}")
        return _not_yet("time-ahead", f"first_interval_at: the last interval {told}")

    def _refuse(self, incoming: Incoming, breach: Breach) -> Verdict:
        """Refuse a report of an enrolled meter: a fact, within limits."""
        assert incoming.meter is not None
        assert self._time is not None
        if self._refusals.get(incoming.meter, 0) >= REFUSALS_PER_TIME:
            return Verdict(Outcome.REFUSED, breach, ours=True)
        meter, seq = incoming.meter, incoming.seq
        name = f"{meter}.{'x' if seq is None else seq}"
        fact = ReadingRefused(
            meter=meter,
            seq=seq,
            reason=breach.reason,
            detail=breach.detail,
            sha256=incoming.sha256,
            report=incoming.text,
        )
        fact_id = f"{name}.refused.{incoming.sha256[:16]}"
        draft = Draft(meter, fact, fact_id, self._time.to, write_cause(None, name))
        return Verdict(Outcome.REFUSED, breach, draft=draft, ours=True)


def _stranger(incoming: Incoming, enrolled: _Enrolled | None) -> Breach | None:
    """Why a message is nobody's that we know; `None` when an enrolled meter's key signed it."""
    if incoming.meter is None or incoming.kid is None:
        assert incoming.breach is not None
        return incoming.breach
    if enrolled is None:
        return Breach("unknown-meter", f"topic: meter {incoming.meter} is not enrolled here")
    if enrolled.fact.address != incoming.kid:
        return Breach("wrong-key", f"kid: not the key with which {incoming.meter} is enrolled")
    return None


def _not_yet(reason: str, detail: str) -> Verdict:
    return Verdict(Outcome.NOT_YET, Breach(reason, detail))


def _reading(report: Report, head: MeterHead, text: str) -> Draft:
    name = f"{report.meter}.{report.seq}"
    fact = ReadingRecorded(
        meter=report.meter,
        seq=report.seq,
        epoch=report.epoch,
        first_interval_at=report.first_interval_at,
        interval_s=report.interval_s,
        registers=report.registers,
        head=head,
        report=text,
    )
    return Draft(report.meter, fact, name, end_of(report), write_cause(None, name))
