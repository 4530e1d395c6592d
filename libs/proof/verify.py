"""Verify a proof file, step by step; the first step that fails refuses it.

1. file: one strict JSON document within limits, spelt in the one way.
2. trust: deployment, network, anchor account and log keys are those of the trust file. Without one
   everything below is checked against the file itself, and the verdict is "consistent".
3. ledger: the SHA-256 of the round's text is the memo of a payment of 1 stroop from the anchor's
   account to itself; signed by that account, successful, and named by the ledger's header.
4. checkpoints: the checkpoint of every log stands in the round, signed by the log's key.
5. inclusion: the bytes of every fact lead to the root of its log.
6. facts: every fact is of a known kind and belongs where it stands; positions agree with bytes.
7. people and meters: commands are signed by registered members in the right roles, down to the
   first approver; enrolments bind meters to keys.
8. reports: every report is signed by its meter's key, and the fact repeats it member by member.
9. sequences: nothing is left out and nothing stands twice up to the cut-off, but for gaps that are
   declared; registers join.
10. energy and price: allocation, price, proration and rounding, computed again, give every line.
11. invoice: agreement, holding, recipient, period of local time, due time, named readings; credit
    notes, and the invoice that it replaces.
12. payment and title, where present: amounts are conserved, classes cleared in their order, and
    title follows cash.
13. nothing else: every fact of the file was needed by a step.

The verifier is pure and works offline. It imports no service. What it does not prove is named in
its result.

Source: design, section 7; docs/verify.md; docs/formats/proof.md.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from libs.proof.bill import Bill, check_people
from libs.proof.case import Case, Step, require
from libs.proof.errors import ProofFailed
from libs.proof.model import NotAFile, ProofFile, TrustFile
from libs.proof.steps_anchor import (
    check_checkpoints,
    check_facts,
    check_inclusion,
    check_ledger,
    check_trust,
)
from libs.proof.steps_bill import check_energy, check_invoice
from libs.proof.steps_payment import check_nothing_else, check_payments
from libs.proof.steps_readings import check_reports, check_sequences

STEPS_COUNT = 13
"""Number of steps."""

_MALFORMED = (ValueError, ArithmeticError, LookupError, OSError, RecursionError)
"""What values that nobody foresaw may raise; each of them refuses the file."""


class Verdict(Enum):
    """What a proof is worth."""

    PROVED = "proved"
    """Everything holds, and the keys are those that the reader trusts."""
    CONSISTENT = "consistent"
    """Everything holds together, but whose keys these are was not established."""


@dataclass(frozen=True, slots=True)
class Verified:
    """The result of a verification that passed."""

    verdict: Verdict
    """What it is worth."""
    steps: tuple[Step, ...]
    """The steps, in order."""
    not_covered: tuple[str, ...]
    """What the proof leaves open, one sentence each."""
    invoice: str
    """The invoice."""
    number: int
    """Its number in its book."""
    recipient: str
    """Who owes it."""
    period_from: datetime
    """Start of its period."""
    period_until: datetime
    """End of its period."""
    energy_wh: int
    """Energy that is billed, in Wh."""
    total_stroops: int
    """Its total, in stroops."""
    asset: str
    """What the total is in."""
    network: str
    """Passphrase of the network of the anchor."""
    ledger: int
    """The ledger of the anchor."""
    ledger_hash: str
    """Its hash."""
    closed_at: datetime
    """When it closed: everything proved existed before."""


class Refused(ProofFailed):
    """A proof was refused; carries the steps that passed before."""

    def __init__(self, error: ProofFailed, passed: tuple[Step, ...]) -> None:
        """Keep step, message and what passed before."""
        super().__init__(error.step, error.message)
        self.passed = passed


def verify_proof(proof: bytes, trust: bytes | None = None) -> Verified:
    """Verify a proof file.

    Args:
        proof: The file's bytes.
        trust: The trust file's bytes, from another source; `None` leaves trust open.

    Raises:
        Refused: A step failed; `step` and `message` say which and why.
    """
    steps: list[Step] = []
    try:
        return _verify(proof, trust, steps)
    except ProofFailed as error:
        raise Refused(error, tuple(steps)) from error
    except _MALFORMED as error:
        # Signed and anchored nonsense: a number out of range, a day that does not exist.
        failed = ProofFailed(len(steps) + 1, f"it cannot be judged: {error}")
        raise Refused(failed, tuple(steps)) from error


def _verify(proof: bytes, trust: bytes | None, steps: list[Step]) -> Verified:
    case = _read(proof, trust)
    logs = case.file.logs
    counts = {"bytes": len(proof), "logs": len(logs)}
    steps.append(Step(1, "file", "the file is well-formed and spelt in the one way", counts))
    steps.append(check_trust(case))
    steps.append(check_ledger(case))
    step, checkpoints = check_checkpoints(case)
    steps.append(step)
    steps.append(check_inclusion(case, checkpoints))
    steps.append(check_facts(case))
    step, people, bill = check_people(case)
    steps.append(step)
    steps.append(check_reports(case, bill, people))
    step, rows = check_sequences(case, bill)
    steps.append(step)
    steps.append(check_energy(case, bill, rows))
    step, documents = check_invoice(case, bill, rows, people)
    steps.append(step)
    steps.append(check_payments(case, bill, people, documents))
    steps.append(check_nothing_else(case, people))
    assert [step.number for step in steps] == list(range(1, STEPS_COUNT + 1))
    return _result(case, bill, tuple(steps))


def _read(proof: bytes, trust: bytes | None) -> Case:
    """Steps 1 and the reading of the trust file."""
    try:
        file = ProofFile.from_bytes(proof)
    except NotAFile as error:
        raise ProofFailed(1, str(error)) from error
    streams = [log.stream for log in file.logs]
    require(1, streams == sorted(set(streams)), "the logs are not in order, each once")
    try:
        return Case(file, None if trust is None else TrustFile.from_bytes(trust))
    except NotAFile as error:
        raise ProofFailed(2, f"the trust file: {error}") from error


def _result(case: Case, bill: Bill, steps: tuple[Step, ...]) -> Verified:
    invoice, anchor = bill.invoice.fact, case.file.round
    return Verified(
        verdict=Verdict.CONSISTENT if case.trust is None else Verdict.PROVED,
        steps=steps,
        not_covered=tuple(case.not_covered),
        invoice=invoice.invoice,
        number=invoice.number,
        recipient=invoice.recipient,
        period_from=invoice.period_from,
        period_until=invoice.period_until,
        energy_wh=sum(line.energy_wh for line in invoice.lines),
        total_stroops=invoice.total_stroops,
        asset=invoice.asset,
        network=anchor.network,
        ledger=anchor.ledger,
        ledger_hash=anchor.ledger_hash,
        closed_at=anchor.closed_at,
    )
