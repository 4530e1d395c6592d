"""Corrections of readings: shown, signed by an approver, and none is left out."""

import json
from typing import Any

import pytest

from libs.events.jws import MessageType
from libs.eventstore import Stored
from tests.proof.test_forgeries import Forgery, edit, refusal, sign_again

Season = dict[str, list[Stored]]
COMMAND: MessageType = "hg-command+jws"


def larger(document: dict[str, Any]) -> None:
    document["data"]["registers"][0]["deltas_wh"][0] += 1


def larger_and_signed(document: dict[str, Any]) -> None:
    larger(document)
    registers = document["data"]["registers"]

    def say_the_same(claims: dict[str, Any]) -> None:
        claims["body"]["registers"] = registers

    sign_again("command", "approver", COMMAND, say_the_same)(document)


FORGERIES: list[tuple[str, Forgery, int, str]] = [
    ("another amount", edit("ReadingCorrected", larger), 8, "registers"),
    (
        "signed by a stranger",
        edit("ReadingCorrected", sign_again("command", "neighbour", COMMAND)),
        8,
        "not signed by",
    ),
    ("another amount, signed", edit("ReadingCorrected", larger_and_signed), 10, "generated_wh"),
    (
        "left out",
        lambda forge: forge.drop(forge.find("ReadingCorrected")),
        9,
        "not numbered without a gap",
    ),
]


@pytest.mark.parametrize(
    ("forgery", "step", "message"),
    [each[1:] for each in FORGERIES],
    ids=[each[0].replace(" ", "-") for each in FORGERIES],
)
def test_a_forged_correction_is_refused(
    troubled: Season, forgery: Forgery, step: int, message: str
) -> None:
    refused = refusal(troubled, forgery)
    assert (refused.step, message in refused.message) == (step, True), refused.message


def test_the_corrections_of_the_season_are_of_one_approver(troubled: Season) -> None:
    found = [row for row in troubled["READINGS_0"] if row.subject.endswith("ReadingCorrected")]
    assert [json.loads(row.data)["data"]["meter"] for row in found] == [
        "pv-1",
        "pv-1",
        "household-1",
    ]
