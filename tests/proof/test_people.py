"""People change: who signed is judged as the writer of that very fact knew him."""

import base64
import json
from typing import Any

import pytest

from libs.events.jws import MessageType
from libs.eventstore import Stored
from libs.proof.build import build_proof
from libs.proof.model import ProofFile, TrustFile
from libs.proof.verify import Verdict, verify_proof
from tests.proof.forge import Forge
from tests.proof.play import key
from tests.proof.test_forgeries import INVOICE, Forgery, edit, put, refusal, sign_again

Season = dict[str, list[Stored]]
COMMAND: MessageType = "hg-command+jws"


def told(season: Season, member: str) -> list[int]:
    """Indices of what MEMBERS tells of a member."""
    return [n for n, row in enumerate(season["MEMBERS"]) if f".{member}." in row.subject]


def test_keys_and_roles_that_change_are_proved(renewed: Season, trusted: TrustFile) -> None:
    file = build_proof(renewed, INVOICE)
    result = verify_proof(file.to_bytes(), trusted.to_bytes())

    assert result.verdict is Verdict.PROVED
    assert len(_members_of(file, "household")) == len(told(renewed, "household")) == 5
    assert len(_members_of(file, "deputy")) == 2
    assert _members_of(file, "investor-1") == []
    assert any("key, roles or suspension" in sentence for sentence in result.not_covered)


def _members_of(file: ProofFile, member: str) -> list[Any]:
    facts = next(log.facts for log in file.logs if log.stream == "MEMBERS")
    found = [json.loads(fact.data) for fact in facts]
    return [each for each in found if each["key"] == member]


def with_old_key(kind: str, member: str, place: int = 0) -> Forgery:
    return edit(kind, sign_again("command", member, COMMAND), place)


def by_somebody(document: dict[str, Any]) -> None:
    sign_again("command", "developer", COMMAND, lambda d: d.update(member="developer"))(document)
    command_id = json.loads(_payload(document["data"]["command"]))["id"]
    document["id"] = f"developer.{command_id}.key"


def _payload(text: str) -> bytes:
    part = text.split(".")[1]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def by_a_ghost(document: dict[str, Any]) -> None:
    """The first approver's old key, for a member whom nobody registered."""
    sign_again("command", "approver", COMMAND, lambda d: d.update(member="ghost"))(document)


PEOPLE: list[tuple[str, Forgery, int, str]] = [
    (
        "a payment with the key before",
        with_old_key("PaymentSettled", "household"),
        12,
        "not signed by household's key",
    ),
    (
        "a price with the approver's key before",
        with_old_key("TariffPublished", "approver", 1),
        7,
        "not signed by approver's key",
    ),
    (
        "a rotation signed with the new key",
        edit("KeyRotated", sign_again("command", "approver renewed", COMMAND)),
        7,
        "not signed by approver's key",
    ),
    (
        "a rotation by somebody who is no approver",
        edit("KeyRotated", by_somebody, 1),
        7,
        "developer is no approver",
    ),
    (
        "another new key",
        edit("KeyRotated", put("address", value=key("forger").address)),
        7,
        "address is",
    ),
    ("other roles", edit("RoleGranted", put("roles", value=["recipient"])), 7, "roles is"),
    (
        "another opening",
        lambda forge: forge.edit(
            ("MEMBERS", told_first(forge, "deputy")), put("opening", "energy_wh", value=1)
        ),
        7,
        "opening is",
    ),
    ("another reason", edit("MemberSuspended", put("reason", value="x")), 7, "reason is"),
    (
        "the first approver's key for a ghost",
        edit("TariffPublished", by_a_ghost, 1),
        7,
        "ghost was not registered",
    ),
    (
        "a rotation left out",
        lambda forge: forge.drop(forge.find("KeyRotated", 1)),
        7,
        "something about household is left out",
    ),
    (
        "a registration left out",
        lambda forge: forge.drop(("MEMBERS", told_first(forge, "household"))),
        7,
        "the registration of household is missing",
    ),
    (
        "the end of a suspension left out",
        lambda forge: forge.drop(forge.find("MemberSuspended", 1)),
        12,
        "household was suspended",
    ),
    (
        "a change under another key",
        edit("RoleGranted", put("member", value="household")),
        7,
        "household stands under another key",
    ),
]


def told_first(forge: Forge, member: str) -> int:
    places = [("MEMBERS", index) for index in forge.chosen["MEMBERS"]]
    return next(place[1] for place in places if forge.read(place)["key"] == member)


@pytest.mark.parametrize(
    ("forgery", "step", "message"),
    [each[1:] for each in PEOPLE],
    ids=[each[0].replace(" ", "-") for each in PEOPLE],
)
def test_a_forgery_about_people_is_refused(
    renewed: Season, forgery: Forgery, step: int, message: str
) -> None:
    refused = refusal(renewed, forgery)

    assert (refused.step, message in refused.message) == (step, True), refused.message


def test_somebody_whom_nothing_needs_is_refused(renewed: Season) -> None:
    """His own signature on his own new key does not make him needed."""

    def add(forge: Forge) -> None:
        for index in told(renewed, "investor-1"):
            forge.add("MEMBERS", index)

    refused = refusal(renewed, add)

    assert (refused.step, "investor-1" in refused.message) == (13, True)
