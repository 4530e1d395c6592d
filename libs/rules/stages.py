"""The ten stages of a system: who leaves each, with which checklist and which document. Pure.

A stage is left one at a time. Two are left by themselves: the raise when it is accepted, operation
when the last holding is owned.

Source: domain rules, section 7; docs/decisions/0005.
"""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from libs.events.membership import Role
from libs.events.system_commands import AdvanceStage, DocumentNamed

RAISE: Final = 4
"""The stage in which money is raised."""

CONSTRUCTION: Final = 5
"""The stage that an accepted raise begins."""

INTERCONNECTION: Final = 6
"""The stage that is left once all units are held."""

OPERATION: Final = 7
"""The stage in which return accrues, until the last holding is owned."""

SEED_STAGES: Final = frozenset({1, 2})
"""The stages in which the seed round is open."""

Leaver = Literal["proposer", "approver"]
"""Who can leave a stage in every cast: whoever proposed the system, or an approver."""


class StageRule(NamedTuple):
    """What it takes to leave a stage."""

    stage: int
    """Its number, 0 to 9."""
    name: str
    """Its name."""
    roles: frozenset[Role] = frozenset()
    """Roles of which the signer has at least one; none: nobody leaves it by a command."""
    is_proposers: bool = False
    """True: the signer must be the member who proposed the system."""
    checklist: tuple[str, ...] = ()
    """What he confirms: every item, each once."""
    documents: tuple[str, ...] = ()
    """Kinds of documents of which there must be at least one each."""


_PROPOSERS: Final = frozenset[Role]({"originator", "developer"})
_BUILDERS: Final = frozenset[Role]({"contractor", "originator", "developer"})
_APPROVERS: Final = frozenset[Role]({"approver"})

STAGES: Final[tuple[StageRule, ...]] = (
    StageRule(
        stage=0,
        name="handshake",
        roles=_PROPOSERS,
        is_proposers=True,
        checklist=("recipient-agreed", "site-inspected"),
        documents=("memorandum",),
    ),
    StageRule(
        stage=1,
        name="engagement",
        roles=_PROPOSERS,
        is_proposers=True,
        checklist=("load-recorded", "design-drafted"),
        documents=("request-for-quotes",),
    ),
    StageRule(
        stage=2,
        name="quotes",
        roles=_PROPOSERS,
        is_proposers=True,
        checklist=("quotes-compared", "contractor-chosen"),
        documents=("quote",),
    ),
    StageRule(
        stage=3,
        name="signing",
        roles=_APPROVERS,
        checklist=("contracts-signed", "permits-obtained", "insurance-agreed"),
        documents=("contract",),
    ),
    StageRule(stage=RAISE, name="raise"),
    StageRule(
        stage=CONSTRUCTION,
        name="construction",
        roles=_BUILDERS,
        checklist=("plant-built", "plant-tested"),
        documents=("specification",),
    ),
    StageRule(
        stage=INTERCONNECTION,
        name="interconnection",
        roles=_APPROVERS,
        checklist=("operation-permitted", "meters-installed", "users-trained"),
        documents=("operating-permit",),
    ),
    StageRule(stage=OPERATION, name="operation"),
    StageRule(
        stage=8,
        name="handoff",
        roles=_APPROVERS,
        checklist=("papers-handed-over", "upkeep-arranged"),
        documents=("handover-record",),
    ),
    StageRule(stage=9, name="end-of-life"),
)
"""Every stage, by its number."""


def walk(
    system: str, from_stage: int, to_stage: int, hash_of: Callable[[str], str]
) -> list[tuple[Leaver, AdvanceStage]]:
    """The commands that lead a system through its stages, for demos and tests.

    Args:
        system: The system.
        from_stage: Stage in which it stands.
        to_stage: Stage that it shall reach. Stages that are left by themselves are passed over.
        hash_of: SHA-256 of the document of a kind, as 64 hexadecimal digits.

    Returns:
        Who signs, and what, in order. Whoever proposes may also say that construction is over.
    """
    steps: list[tuple[Leaver, AdvanceStage]] = []
    for rule in STAGES[from_stage:to_stage]:
        if not rule.roles:
            continue
        body = AdvanceStage(
            system=system,
            to_stage=rule.stage + 1,
            checklist=rule.checklist,
            documents=tuple(
                DocumentNamed(kind=kind, sha256=hash_of(kind)) for kind in rule.documents
            ),
        )
        steps.append(("approver" if rule.roles == _APPROVERS else "proposer", body))
    return steps
