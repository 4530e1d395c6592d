"""The rules by which a system comes to be: proposed, approved, led through its stages, held. Pure.

Source: domain rules, section 7; docs/decisions/0005; `libs/rules/stages.py` has the table.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final
from zoneinfo import ZoneInfo

from libs.events.books import HoldingOpened, SystemApproved
from libs.events.envelope import Draft
from libs.events.system_commands import (
    AdvanceStage,
    ApproveSystem,
    DocumentNamed,
    OpenHolding,
    ProposeSystem,
)
from libs.events.systems import Document, StageAdvanced, SystemProposed
from libs.rules.authority import Authority, Order
from libs.rules.stages import INTERCONNECTION, OPERATION, STAGES, StageRule
from libs.runtime.failures import Refused
from services.ledger.checks import check_name, check_party
from services.ledger.system_state import System
from services.ledger.systems import Systems

HOLDINGS_MAX: Final = 90
"""Most holdings of a system, so that return on all of them accrues in one decision."""

_HOUR_S: Final = 3_600
_HASH: Final = re.compile(r"[0-9A-Fa-f]{64}")
_OF_A_HOST: Final = re.compile(r"localtime|posixrules|(posix|right)/.*")
"""Zones that mean something else, or nothing, on another computer: whoever reads the history again
must find the same days."""


class Staging:
    """Proposals, approvals, stages and the opening of holdings. It has no state of its own."""

    def __init__(self, authority: Authority, systems: Systems) -> None:
        """Begin.

        Args:
            authority: Members and time.
            systems: The systems of the book.
        """
        self._authority, self._systems = authority, systems

    def propose(self, order: Order) -> Sequence[Draft]:
        """A developer or originator proposes a system at a price."""
        body = order.body(ProposeSystem)
        if not {"developer", "originator"} & order.signer.roles:
            raise Refused("wrong-role", "only a developer or originator proposes", field="member")
        check_name(body.system, "body.system")
        if body.system in self._systems.systems:
            raise Refused("system-exists", f"{body.system} is proposed", field="body.system")
        self._check_site(body)
        if body.recipient is not None:
            self._check_recipient(body.recipient)
        if body.offtaker is not None:
            check_party(self._authority, body.offtaker, "body.offtaker")
        if body.seed is not None and body.seed.cap_stroops >= body.price_stroops:
            raise Refused(
                "seed-cap", "a seed round raises less than the price", field="body.seed.cap_stroops"
            )
        fact = SystemProposed(
            system=body.system,
            proposer=order.signer.member,
            asset=body.asset,
            price_stroops=body.price_stroops,
            nameplate_w=body.nameplate_w,
            site=body.site,
            time_zone=body.time_zone,
            rating_interval_s=body.rating_interval_s,
            terms=body.terms,
            recipient=body.recipient,
            seed=body.seed,
            cover_stroops=body.cover_stroops or 0,
            offtaker=body.offtaker,
            command=order.text,
        )
        return (Draft(body.system, fact, f"{order.id}.system", order.time),)

    def _check_site(self, body: ProposeSystem) -> None:
        field = "body.time_zone"
        if _OF_A_HOST.fullmatch(body.time_zone):
            text = f"{body.time_zone} is not the same everywhere: name a place"
            raise Refused("unknown-time-zone", text, field=field)
        try:
            ZoneInfo(body.time_zone)
        except (ValueError, KeyError, OSError) as error:
            text = f"no time zone {body.time_zone}"
            raise Refused("unknown-time-zone", text, field=field) from error
        if _HOUR_S % body.rating_interval_s:
            raise Refused(
                "rating-interval", "it must divide an hour", field="body.rating_interval_s"
            )

    def _check_recipient(self, recipient: str) -> None:
        found = self._authority.member(recipient)
        if found is None or "recipient" not in found.roles:
            raise Refused("no-recipient", f"{recipient} is none", field="body.recipient")

    def approve(self, order: Order) -> Sequence[Draft]:
        """The approver lets it raise money; he starts with all units."""
        order.require("approver")
        system = self._systems.find(order.body(ApproveSystem).system)
        check_not_cancelled(system)
        if system.approved:
            raise Refused("already-approved", "it is approved already", field="body.system")
        proposed = system.proposed
        fact = SystemApproved(
            system=proposed.system, shares=proposed.price_stroops, command=order.text
        )
        return (Draft(proposed.system, fact, f"{order.id}.approved", order.time),)

    def advance(self, order: Order) -> Sequence[Draft]:
        """Whoever answers for a stage leaves it, with its whole checklist and its documents."""
        body = order.body(AdvanceStage)
        system = self._systems.find(body.system)
        check_not_cancelled(system)
        rule = STAGES[system.stage]
        if body.to_stage != system.stage + 1:
            text = f"it is in stage {system.stage}: stages are left one at a time, upwards"
            raise Refused("stage-skipped", text, field="body.to_stage")
        _check_leaver(system, rule, order)
        if not system.approved:
            raise Refused("not-approved", "an approver approves it first", field="body.system")
        _check_list(rule, body.checklist)
        documents = _documents(rule, body.documents)
        if rule.stage == INTERCONNECTION and system.held_units != system.units:
            text = f"holdings have {system.held_units} of {system.units} units: open all of them"
            raise Refused("holdings-incomplete", text, field="body.to_stage")
        fact = StageAdvanced(
            system=body.system,
            from_stage=system.stage,
            to_stage=body.to_stage,
            checklist=body.checklist,
            documents=documents,
            command=order.text,
        )
        return (Draft(body.system, fact, f"{order.id}.stage", order.time),)

    def open_holding(self, order: Order) -> Sequence[Draft]:
        """The approver gives a recipient the right to use a part of a system that is funded."""
        order.require("approver")
        body = order.body(OpenHolding)
        system = self._systems.find(body.system)
        if not system.accepted:
            raise Refused("raise-not-accepted", "its raise is not accepted", field="body.system")
        check_name(body.holding, "body.holding")
        if body.holding in self._systems.holdings:
            raise Refused("holding-exists", f"{body.holding} was opened", field="body.holding")
        self._check_recipient(body.recipient)
        left = system.units - system.held_units
        if body.units > left:
            raise Refused("more-than-left", f"only {left} units are left", field="body.units")
        if len(system.holdings) >= HOLDINGS_MAX:
            text = f"at most {HOLDINGS_MAX} holdings of a system"
            raise Refused("too-many-holdings", text, field="body.holding")
        fact = HoldingOpened(
            holding=body.holding,
            system=body.system,
            recipient=body.recipient,
            units=body.units,
            command=order.text,
        )
        return (Draft(body.holding, fact, f"{order.id}.holding", order.time),)


def check_not_cancelled(system: System) -> None:
    """Refuse what a system whose raise has failed cannot do any more.

    Raises:
        Refused: Code `raise-cancelled`.
    """
    if system.cancelled:
        raise Refused("raise-cancelled", "its raise was cancelled", field="body.system")


def _check_leaver(system: System, rule: StageRule, order: Order) -> None:
    """Refuse a stage that nobody leaves by a command, and a signer who does not answer for it."""
    if not rule.roles:
        after = "the last holding that is owned" if rule.stage == OPERATION else "AcceptRaise"
        text = f"stage {rule.stage} ({rule.name}) is left by itself, by {after}"
        raise Refused("stage-by-itself", text, field="body.to_stage")
    if not rule.roles & order.signer.roles:
        roles = ", ".join(sorted(rule.roles))
        text = f"stage {rule.stage} ({rule.name}) is left by one of: {roles}"
        raise Refused("wrong-role", text, field="member")
    proposer = system.proposed.proposer
    if rule.is_proposers and order.signer.member != proposer:
        text = f"stage {rule.stage} ({rule.name}) is left by who proposed it: {proposer}"
        raise Refused("wrong-role", text, field="member")


def _check_list(rule: StageRule, checklist: Sequence[str]) -> None:
    """Refuse a checklist that is not the stage's, whole and each item once."""
    if unknown := [item for item in checklist if item not in rule.checklist]:
        text = f"{', '.join(unknown)}: not on the list of {rule.name}: {', '.join(rule.checklist)}"
        raise Refused("checklist-unknown-item", text, field="body.checklist")
    if missing := [item for item in rule.checklist if item not in checklist]:
        text = f"still missing: {', '.join(missing)}"
        raise Refused("checklist-incomplete", text, field="body.checklist")
    if len(checklist) != len(rule.checklist):
        raise Refused("checklist-item-twice", "each item once", field="body.checklist")


def _documents(rule: StageRule, named: Iterable[DocumentNamed]) -> tuple[Document, ...]:
    """The documents, each with a hash of 32 bytes, of every kind that the stage needs."""
    documents = []
    for place, each in enumerate(named):
        if not _HASH.fullmatch(each.sha256):
            text = f"the SHA-256 of {each.kind} has 32 bytes: 64 hexadecimal digits"
            raise Refused("document-hash", text, field=f"body.documents.{place}.sha256")
        documents.append(Document(kind=each.kind, sha256=each.sha256.lower()))
    kinds = {each.kind for each in documents}
    if missing := [kind for kind in rule.documents if kind not in kinds]:
        text = f"{rule.name} needs a document of each kind: {', '.join(missing)}"
        raise Refused("document-missing", text, field="body.documents")
    return tuple(documents)
