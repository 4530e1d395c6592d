"""Chooses the facts that a proof of an invoice needs, out of whole streams. Pure.

The verifier refuses a file in which a needed fact is missing and one with a fact that nothing
needs, so this module and the steps of the verification agree on every single fact.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar, cast

from libs.events.books import (
    HoldingOpened,
    OwnershipTransferred,
    PaymentSettled,
    SystemApproved,
)
from libs.events.command import read_command
from libs.events.dunning import DisputeResolved
from libs.events.envelope import Recorded, decode
from libs.events.fact import LATEST, Fact
from libs.events.invoicing import AgreementOpened, CreditNoteIssued, InvoiceIssued, InvoicePaid
from libs.events.jws import parse
from libs.events.metering import MeterEnrolled, ReadingCorrected, ReadingRecorded
from libs.events.positions import parse_cause, parse_seen
from libs.events.pricing import PricePublished, RatePublished, TariffPublished
from libs.events.repaying import (
    CreditApplied,
    CreditNoteSettled,
    InvoiceCapped,
    PrepaidApplied,
    StandingOrderSet,
)
from libs.events.subjects import MEMBERS, family_of
from libs.events.supply import SupplyDiverted, SupplyRestored
from libs.events.systems import (
    HoldingAccepted,
    HoldingOffered,
    HoldingOwned,
    HoldingReclaimed,
    HoldingTransferred,
    RaiseAccepted,
    SystemProposed,
)
from libs.events.timekeeping import TimeAdvanced, TimeReached
from libs.proof.bill import counts_for, grid_of, readings_stream
from libs.proof.errors import NotProvable, ProofFailed
from libs.proof.prices import STREAM, feeds_of, published, rate_named
from libs.proof.steps_readings import touches
from libs.proof.supply import latest
from libs.proof.times import AsOf, Time, Times

F = TypeVar("F", bound=Fact)


class StoredFact(Protocol):
    """A stored message, as `libs.eventstore` gives it."""

    @property
    def stream(self) -> str:
        """The stream."""
        ...

    @property
    def sequence(self) -> int:
        """Its place, from 1."""
        ...

    @property
    def subject(self) -> str:
        """Its subject."""
        ...

    @property
    def data(self) -> bytes:
        """The stored bytes."""
        ...


Streams = Mapping[str, Sequence[StoredFact]]
"""Every stream from its first fact on, in order."""


class Archive:
    """All streams of an installation, decoded where somebody asks."""

    def __init__(self, deployment: str, streams: Streams, sizes: Mapping[str, int]) -> None:
        """Look at streams up to given sizes.

        Args:
            deployment: Id of the installation.
            streams: Every stream.
            sizes: How many facts of each stream count; the others are as if they were not there.
        """
        self._deployment = deployment
        self._streams = {name: facts[: sizes.get(name, 0)] for name, facts in streams.items()}

    def all(
        self, kind: type[F], *, key: str | None = None, rule: Callable[[F], bool] = lambda _: True
    ) -> list[Recorded[F]]:
        """Every fact of a kind under a key that fits a rule, by stream and sequence."""
        families = {family.name for family in LATEST[kind.fact_name].families}
        ending = f".{kind.fact_name}" if key is None else f".{key}.{kind.fact_name}"
        found: list[Recorded[F]] = []
        for name, facts in sorted(self._streams.items()):
            if family_of(name)[0].name not in families:
                continue
            for stored in facts:
                if stored.subject.endswith(ending):
                    recorded = cast("Recorded[F]", self.decode(stored))
                    if rule(recorded.fact):
                        found.append(recorded)
        return found

    def under(self, stream: str, key: str) -> list[Recorded[Fact]]:
        """Every fact under a key of one stream, in order."""
        facts = self._streams.get(stream, ())
        return [self.decode(each) for each in facts if each.subject.split(".")[-2:-1] == [key]]

    def decode(self, stored: StoredFact) -> Recorded[Fact]:
        """Read one fact."""
        return decode(
            deployment=self._deployment,
            stream=stored.stream,
            sequence=stored.sequence,
            subject=stored.subject,
            data=stored.data,
        )


def _one(found: Sequence[Recorded[F]], what: str) -> Recorded[F]:
    if len(found) != 1:
        raise NotProvable(f"{what}: {len(found)} anchored facts, one is needed")
    return found[0]


def select(archive: Archive, invoice_id: str) -> list[Recorded[Fact]]:
    """Choose the facts that the proof of an invoice needs.

    Raises:
        NotProvable: One of them is missing among the facts that are anchored.
    """
    invoice = _one(
        archive.all(InvoiceIssued, rule=lambda fact: fact.invoice == invoice_id),
        f"invoice {invoice_id}",
    )
    agreement = _one(
        archive.all(AgreementOpened, key=invoice.fact.agreement),
        f"agreement {invoice.fact.agreement}",
    )
    try:
        chosen = _Choice(archive, invoice, agreement).facts()
    except ProofFailed as error:
        raise NotProvable(error.message) from error
    unique = {(each.stream, each.sequence): each for each in chosen}
    return [*unique.values(), *_members(archive, chosen)]


def _says(member: str, wanted: Collection[str]) -> Callable[[Any], bool]:
    """A rule: a member of a fact is one of some values."""
    return lambda fact: getattr(fact, member) in wanted


class _Choice:
    """Chooses what one invoice needs, but for the members."""

    def __init__(
        self,
        archive: Archive,
        invoice: Recorded[InvoiceIssued],
        agreement: Recorded[AgreementOpened],
    ) -> None:
        self._archive, self._invoice, self._agreement = archive, invoice, agreement
        self._seen = parse_seen(invoice.envelope.seen)
        self._chosen: list[Recorded[Fact]] = [invoice, agreement]
        advanced: list[Time] = [*archive.all(TimeAdvanced), *archive.all(TimeReached)]
        self._times = Times(advanced, self._chosen.append)
        lag = timedelta(seconds=agreement.fact.settlement_lag_s)
        final_at = invoice.fact.period_until + lag
        self._now = AsOf(self._times, final_at, invoice.fact.cutoff_at or final_at)
        self._before = self._now
        self._grid = grid_of(invoice.fact, agreement.fact.rating_interval_s)

    def _knew(self, recorded: Recorded[Fact]) -> bool:
        """Tell whether billing had read a fact when it issued the invoice."""
        if recorded.stream == self._invoice.stream:
            return recorded.sequence < self._invoice.sequence
        position = self._seen.get(recorded.stream)
        return position is not None and recorded.sequence <= position.sequence

    def facts(self) -> list[Recorded[Fact]]:
        """Everything but what MEMBERS tells."""
        self._documents()
        held = self._system()
        streams = set()
        for meter in self._archive.all(
            MeterEnrolled, rule=lambda fact: counts_for(fact, self._agreement.fact.system, held)
        ):
            if self._knew(meter):
                self._chosen.append(meter)
                stream = readings_stream(meter)
                streams.add(stream)
                self._chosen += self._row(meter, stream)
        for stream in sorted(streams):
            self._now.cutoff(stream)
        self._prices()
        self._payments()
        self._transfers()
        return self._chosen

    def _documents(self) -> None:
        """Credit notes, the invoice that is replaced, and the disputes that were decided."""
        archive, invoice = self._archive, self._invoice.fact
        names = {invoice.invoice, invoice.replaces} - {None}
        if invoice.replaces is not None:
            replaced = _one(
                archive.all(InvoiceIssued, rule=lambda fact: fact.invoice == invoice.replaces),
                f"invoice {invoice.replaces}",
            )
            self._chosen.append(replaced)
            before_at = replaced.fact.cutoff_at or self._now.final_at
            self._before = AsOf(self._times, self._now.final_at, before_at)
        notes = archive.all(CreditNoteIssued, rule=lambda fact: fact.invoice in names)
        self._chosen += notes
        causes = {parse_cause(note.envelope.cause)[0] for note in notes}
        self._chosen += [each for each in archive.all(DisputeResolved) if each.position in causes]

    def _system(self) -> set[str]:
        """The system, its holdings and what happened to them; gives the holdings."""
        archive, name = self._archive, self._agreement.fact.system
        proposed = _one(archive.all(SystemProposed, key=name), f"proposal of {name}")
        self._chosen.append(proposed)
        self._chosen.append(_one(archive.all(SystemApproved, key=name), f"approval of {name}"))
        if proposed.fact.seed is not None:
            self._chosen.append(_one(archive.all(RaiseAccepted, key=name), f"raise of {name}"))
        holdings = archive.all(HoldingOpened, rule=lambda fact: fact.system == name)
        holdings = [each for each in holdings if self._knew(each)]
        held, mine = {each.fact.holding for each in holdings}, self._agreement.fact.holding
        happened: list[Recorded[Fact]] = [*holdings]
        happened += archive.all(SupplyDiverted, rule=_says("holding", held))
        happened += archive.all(SupplyRestored, rule=_says("holding", held))
        happened += archive.all(HoldingReclaimed, rule=_says("holding", held))
        happened += archive.all(HoldingOwned, key=mine)
        happened += archive.all(AgreementOpened, rule=_says("system", {name}))
        self._chosen += [each for each in happened if self._knew(each)]
        return held

    def _prices(self) -> None:
        """The versions that hold in the period, the next one, market prices and the rate."""
        archive, invoice, tariff = self._archive, self._invoice.fact, self._agreement.fact.tariff
        versions = [each for each in archive.all(TariffPublished, key=tariff) if self._knew(each)]
        kept = list(_holding(versions, invoice.period_from, invoice.period_until))
        self._chosen += kept
        length = self._agreement.fact.rating_interval_s
        for feed in sorted(feeds_of(kept)):
            self._now.cutoff(STREAM)
            for each in published(archive.all(PricePublished, key=feed), feed, self._grid, length):
                first = each.fact.published.first_at
                if self._now.counts(each, first):
                    self._chosen.append(each)
                    self._before.counts(each, first)
        position = rate_named(invoice)
        if position is not None:
            rates = archive.all(RatePublished)
            self._chosen += [each for each in rates if str(each.position) == position]
            self._times.place(STREAM, self._now.final_at)

    def _payments(self) -> None:
        """What the ledger did to the invoice, and what followed from it."""
        archive, name, key = (
            self._archive,
            self._invoice.fact.invoice,
            self._agreement.fact.agreement,
        )
        payments = archive.all(
            PaymentSettled, key=key, rule=lambda fact: any(p.invoice == name for p in fact.cleared)
        )
        applied = archive.all(
            CreditApplied, key=key, rule=lambda fact: any(p.invoice == name for p in fact.cleared)
        )
        ids = {each.fact.payment for each in payments} | {each.fact.application for each in applied}
        self._chosen += [*payments, *applied]
        self._chosen += archive.all(OwnershipTransferred, key=key, rule=_says("payment", ids))
        self._chosen += archive.all(PrepaidApplied, key=key, rule=_says("invoice", {name}))
        self._chosen += archive.all(InvoiceCapped, key=key, rule=_says("invoice", {name}))
        self._chosen += archive.all(CreditNoteSettled, key=key, rule=_says("invoice", {name}))
        self._chosen += archive.all(InvoicePaid, key=key, rule=_says("invoice", {name}))
        orders = archive.all(StandingOrderSet, key=key)
        for each in payments:
            order = latest(orders, each) if each.fact.kind == "standing-order" else None
            self._chosen += [order] if order is not None else []

    def _transfers(self) -> None:
        """When the holding changed hands, and with whose signatures."""
        archive, mine = self._archive, self._agreement.fact.holding
        accepted, offered = (
            archive.all(HoldingAccepted, key=mine),
            archive.all(HoldingOffered, key=mine),
        )
        for moved in archive.all(HoldingTransferred, key=mine):
            self._chosen.append(moved)
            taken = latest(accepted, moved)
            given = None if taken is None else latest(offered, taken)
            self._chosen += [each for each in (taken, given) if each is not None]
            if not self._invoice.envelope.type.endswith(".v1"):
                self._now.cutoff(moved.stream)

    def _row(self, meter: Recorded[MeterEnrolled], stream: str) -> list[Recorded[Fact]]:
        """A meter's facts from its first reading in the period to the first behind the cut-off."""
        cutoff = self._now.cutoff(stream)
        row = self._archive.under(stream, meter.fact.meter)
        touching = [
            place
            for place, each in enumerate(row)
            if isinstance(each.fact, ReadingRecorded | ReadingCorrected)
            and each.sequence < cutoff
            and touches(each.fact, self._grid, self._agreement.fact.rating_interval_s)
        ]
        first = [place for place in touching if isinstance(row[place].fact, ReadingRecorded)]
        if not first:
            return []
        for place in touching:
            fact = row[place].fact
            assert isinstance(fact, ReadingRecorded | ReadingCorrected)
            if self._now.counts(row[place], fact.first_interval_at):
                self._before.counts(row[place], fact.first_interval_at)
        before = sum(each.sequence < cutoff for each in row)
        return row[first[0] : before + 1]


def _holding(
    versions: Sequence[Recorded[TariffPublished]], begin: datetime, until: datetime
) -> Iterable[Recorded[TariffPublished]]:
    """The versions of a tariff that hold in a period, and the first one behind it."""
    for place, each in enumerate(versions):
        behind = versions[place + 1 : place + 2]
        is_over = bool(behind) and behind[0].fact.effective_from <= begin
        is_later = place > 0 and versions[place - 1].fact.effective_from >= until
        if not is_over and not is_later:
            yield each


def _members(archive: Archive, chosen: Sequence[Recorded[Fact]]) -> list[Recorded[Fact]]:
    """All that is told of everybody who signed or holds something, and of those behind them."""
    wanted = {each.fact.recipient for each in chosen if isinstance(each.fact, HoldingOpened)}
    wanted |= {signer for each in chosen if (signer := _signer(each.fact)) is not None}
    found: dict[str, list[Recorded[Fact]]] = {}
    while wanted:
        member = wanted.pop()
        found[member] = archive.under(MEMBERS.stream(""), member)
        signers = (_signer(each.fact) for each in found[member])
        wanted.update(each for each in signers if each is not None and each not in found)
    return [each for row in found.values() for each in row]


def _signer(fact: Fact) -> str | None:
    """Who signed the command in a fact, as the command says."""
    text = getattr(fact, "command", None)
    if isinstance(fact, TimeAdvanced):  # whoever plays the clock is nobody to this bill
        return None
    return None if text is None else read_command(parse(text, "hg-command+jws")).member
