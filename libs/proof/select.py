"""Chooses the facts that a proof of an invoice needs, out of whole streams. Pure.

The verifier refuses a file in which a needed fact is missing and one with a fact that nothing
needs, so this module and the steps of the verification agree on every single fact.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Protocol, TypeVar, cast

from libs.events.books import (
    HoldingOpened,
    OwnershipTransferred,
    PaymentSettled,
    SystemApproved,
    SystemProposed,
)
from libs.events.command import read_command
from libs.events.envelope import Recorded, decode
from libs.events.fact import LATEST, Fact
from libs.events.invoicing import AgreementOpened, InvoiceIssued, InvoicePaid
from libs.events.jws import parse
from libs.events.metering import MeterEnrolled, ReadingRecorded
from libs.events.positions import parse_seen
from libs.events.pricing import TariffPublished
from libs.events.subjects import MEMBERS, TIME_KEY, family_of
from libs.events.timekeeping import TimeReached
from libs.proof.bill import readings_stream
from libs.proof.errors import NotProvable
from libs.proof.steps_readings import until_of

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
    system = agreement.fact.system
    knew = _knew_by(invoice)
    holdings = archive.all(HoldingOpened, rule=lambda fact: fact.system == system)
    meters = archive.all(
        MeterEnrolled, rule=lambda fact: fact.system == system and fact.role != "grid"
    )
    chosen: list[Recorded[Fact]] = [
        invoice,
        agreement,
        _one(archive.all(SystemProposed, key=system), f"proposal of {system}"),
        _one(archive.all(SystemApproved, key=system), f"approval of {system}"),
        *(each for each in holdings if knew(each)),
        *_tariffs(archive, invoice, agreement, knew),
        *_payments(archive, invoice),
    ]
    streams = set()
    for meter in meters:
        if knew(meter):
            chosen += [meter, *_row(archive, meter, invoice, agreement)]
            streams.add(readings_stream(meter))
    for stream in sorted(streams):
        chosen += _times(archive, stream, invoice, agreement)
    return [*chosen, *_members(archive, chosen)]


def _knew_by(invoice: Recorded[InvoiceIssued]) -> Callable[[Recorded[Fact]], bool]:
    """Tell of a fact whether billing had read it when it issued an invoice."""
    seen = parse_seen(invoice.envelope.seen)

    def knew(recorded: Recorded[Fact]) -> bool:
        position = seen.get(recorded.stream)
        return position is not None and recorded.sequence <= position.sequence

    return knew


def _tariffs(
    archive: Archive,
    invoice: Recorded[InvoiceIssued],
    agreement: Recorded[AgreementOpened],
    knew: Callable[[Recorded[Fact]], bool],
) -> Iterable[Recorded[Fact]]:
    """The versions that hold in the period, and the first one behind it."""
    versions = [
        each for each in archive.all(TariffPublished, key=agreement.fact.tariff) if knew(each)
    ]
    until, begin = invoice.fact.period_until, invoice.fact.period_from
    for place, each in enumerate(versions):
        behind = versions[place + 1 : place + 2]
        is_over = bool(behind) and behind[0].fact.effective_from <= begin
        is_later = place > 0 and versions[place - 1].fact.effective_from >= until
        if not is_over and not is_later:
            yield each


def _payments(archive: Archive, invoice: Recorded[InvoiceIssued]) -> Iterable[Recorded[Fact]]:
    """The payments that cleared something of the invoice, and what followed from them."""
    name, agreement = invoice.fact.invoice, invoice.fact.agreement
    payments = archive.all(
        PaymentSettled,
        key=agreement,
        rule=lambda fact: any(part.invoice == name for part in fact.cleared),
    )
    ids = {payment.fact.payment for payment in payments}
    yield from payments
    yield from archive.all(
        OwnershipTransferred, key=agreement, rule=lambda fact: fact.payment in ids
    )
    yield from archive.all(InvoicePaid, key=agreement, rule=lambda fact: fact.invoice == name)


def _cutoff(
    archive: Archive,
    stream: str,
    invoice: Recorded[InvoiceIssued],
    agreement: Recorded[AgreementOpened],
) -> list[Recorded[TimeReached]]:
    """The first `TimeReached` that makes the invoice final, with the one before it."""
    final = invoice.fact.period_until + timedelta(seconds=agreement.fact.settlement_lag_s)
    before: list[Recorded[TimeReached]] = []
    for each in archive.under(stream, TIME_KEY):
        reached = cast("Recorded[TimeReached]", each)
        if reached.fact.to >= final:
            return [*before, reached]
        before = [reached]
    raise NotProvable(f"{stream} has not reached {final:%Y-%m-%d %H:%M} among the anchored facts")


def _times(
    archive: Archive,
    stream: str,
    invoice: Recorded[InvoiceIssued],
    agreement: Recorded[AgreementOpened],
) -> Iterable[Recorded[Fact]]:
    return _cutoff(archive, stream, invoice, agreement)


def _row(
    archive: Archive,
    meter: Recorded[MeterEnrolled],
    invoice: Recorded[InvoiceIssued],
    agreement: Recorded[AgreementOpened],
) -> list[Recorded[Fact]]:
    """A meter's facts from its first reading in the period to the first behind the cut-off."""
    stream, period = readings_stream(meter), invoice.fact
    cutoff = _cutoff(archive, stream, invoice, agreement)[-1].sequence
    row = archive.under(stream, meter.fact.meter)
    touching = [
        place
        for place, each in enumerate(row)
        if isinstance(each.fact, ReadingRecorded)
        and each.sequence < cutoff
        and each.fact.first_interval_at < period.period_until
        and until_of(each.fact) > period.period_from
    ]
    if not touching:
        return []
    before = sum(each.sequence < cutoff for each in row)
    return row[touching[0] : before + 1]


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
    return None if text is None else read_command(parse(text, "hg-command+jws")).member
