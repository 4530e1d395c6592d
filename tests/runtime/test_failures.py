"""The one table of failures: what each class leads to, and problems there and back."""

import copy
import importlib
import pickle
import subprocess
import sys
from typing import Any

import pytest

from libs.runtime import failures
from libs.runtime.failures import (
    HANDLING,
    Alarm,
    BrokenLaw,
    Delivery,
    FailureClass,
    FencedOff,
    HeliographError,
    NotFound,
    NotYet,
    Poison,
    Refused,
    Transient,
    classify,
    from_problem,
    gravest,
    is_problem,
    problem_document,
    retry_after_s,
)

KINDS: list[type[HeliographError]] = [
    Refused,
    NotFound,
    NotYet,
    Transient,
    Poison,
    FencedOff,
    BrokenLaw,
]


@pytest.mark.parametrize(
    ("kind", "delivery", "status", "alarm", "retries"),
    [
        (Refused, Delivery.ACK, 409, Alarm.NEVER, False),
        (NotFound, Delivery.ACK, 404, Alarm.NEVER, False),
        (NotYet, Delivery.RETRY, 503, Alarm.AFTER_A_TIME, True),
        (Transient, Delivery.RETRY, 503, Alarm.AFTER_A_TIME, True),
        (Poison, Delivery.DEAD_LETTER, 400, Alarm.AT_ONCE, False),
        (FencedOff, Delivery.EXIT, 503, Alarm.AT_ONCE, True),
        (BrokenLaw, Delivery.EXIT, 500, Alarm.AT_ONCE, False),
    ],
)
def test_the_table_says_what_the_contract_says(
    kind: type[HeliographError], delivery: Delivery, status: int, alarm: Alarm, retries: bool
) -> None:
    error = kind("some-code", "Something.")

    assert error.handling is HANDLING[error.failure]
    assert (error.handling.delivery, error.status, error.handling.alarm) == (
        delivery,
        status,
        alarm,
    )
    assert (retry_after_s(error) is not None) is retries


def test_every_class_has_a_row_and_an_exception() -> None:
    assert set(HANDLING) == set(FailureClass) == {kind.failure for kind in KINDS}


def test_a_refusal_that_names_a_field_is_422() -> None:
    assert Refused("too-little", "Less than one stroop.", field="body.amount").status == 422
    assert (
        Refused("too-little", "Less than you own.", field="body.amount", status=409).status == 409
    )


def test_the_delay_grows_and_its_last_value_repeats() -> None:
    handling = HANDLING[FailureClass.TRANSIENT]
    delays = [handling.delay_s(attempt) for attempt in range(1, 20)]

    assert delays == sorted(delays)
    assert (delays[0], delays[-1]) == (1.0, 60.0)
    assert HANDLING[FailureClass.REFUSED].delay_s(1) == 0


@pytest.mark.parametrize("kind", KINDS[:5])
def test_a_problem_document_gives_the_same_error_back(kind: type[HeliographError]) -> None:
    error = kind("some-code", "Words.", field="body.x", retry_after_s=2.5)
    document = problem_document(error)
    again = from_problem(document)

    assert is_problem(document)
    assert type(again) is kind
    assert problem_document(again) == document


def test_a_problem_document_has_the_members_of_the_standard() -> None:
    assert problem_document(Refused("sequence-reused", "Taken.", field="seq")) == {
        "type": "urn:heliograph:problem:sequence-reused",
        "title": "A rule said no.",
        "status": 422,
        "detail": "Taken.",
        "code": "sequence-reused",
        "failure": "refused",
        "field": "seq",
    }


@pytest.mark.parametrize(
    "error", [BrokenLaw("debits-differ", "Member 7 lacks 5."), ValueError("x7")]
)
def test_a_bug_tells_strangers_its_code_only(error: Exception) -> None:
    document = problem_document(error)

    assert document["status"] == 500
    assert "7" not in str(document)


@pytest.mark.parametrize(("kind", "status"), [(FencedOff, 503), (BrokenLaw, 500)])
def test_what_ended_another_process_is_transient_for_the_asker(
    kind: type[HeliographError], status: int
) -> None:
    heard = from_problem(problem_document(kind("some-code", "Words.")))

    assert type(heard) is Transient
    assert (heard.code, heard.status) == ("some-code", status)


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (400, FailureClass.POISON),
        (404, FailureClass.NOT_FOUND),
        (409, FailureClass.REFUSED),
        (422, FailureClass.REFUSED),
        (503, FailureClass.TRANSIENT),
        (500, FailureClass.TRANSIENT),
        ("409", FailureClass.TRANSIENT),
    ],
)
def test_a_foreign_problem_is_read_by_its_status(status: object, failure: FailureClass) -> None:
    error = from_problem({"type": "about:blank", "status": status, "code": "Not Kebab", "field": 1})

    assert (error.failure, error.code, error.field) == (failure, "unnamed-problem", None)
    assert error.message == "No reason was given."


def test_only_our_documents_are_problems() -> None:
    assert not is_problem([])
    assert not is_problem({"type": "about:blank", "status": 409})


def test_the_retry_header_is_whole_seconds_and_never_zero() -> None:
    assert retry_after_s(Transient("busy", "Later.", retry_after_s=0)) == 1
    assert retry_after_s(Transient("busy", "Later.", retry_after_s=1.2)) == 2
    assert retry_after_s(Transient("busy", "Later.")) == 1


@pytest.mark.parametrize(
    "error",
    [TimeoutError(), ConnectionResetError(), BrokenPipeError()],
)
def test_what_is_away_for_a_while_is_transient(error: Exception) -> None:
    assert classify(error) is FailureClass.TRANSIENT
    assert problem_document(error)["code"] == "unavailable"


@pytest.mark.parametrize(
    "error", [ValueError(), AssertionError(), KeyError("x"), OSError(28, "full")]
)
def test_what_nobody_expected_is_a_bug(error: Exception) -> None:
    assert classify(error) is FailureClass.BUG
    assert problem_document(error)["code"] == "internal-error"


@pytest.mark.parametrize("name", sorted(failures._FOREIGN))
def test_every_foreign_name_in_the_table_exists(name: str) -> None:
    module, _, kind = name.rpartition(".")
    found = getattr(importlib.import_module(module), kind)
    subclass: Any = type("Subclass", (found,), {})
    raised = subclass.__new__(subclass)

    assert f"{found.__module__}.{found.__qualname__}" == name
    assert classify(raised) is failures._FOREIGN[name]
    assert problem_document(raised)["failure"] == failures._FOREIGN[name].value


def test_a_group_counts_as_its_gravest_member() -> None:
    fenced = FencedOff("fenced", "Another.")
    group = ExceptionGroup(
        "",
        [TimeoutError(), ExceptionGroup("", [Refused("no", "No."), fenced]), NotYet("later", "x")],
    )

    assert classify(group) is FailureClass.FENCED
    assert gravest(group) is fenced
    assert problem_document(group)["code"] == "fenced"


def test_a_code_must_be_kebab_case() -> None:
    for code in ("Busy", "too_many", "", "a--b", "1st"):
        with pytest.raises(AssertionError, match="kebab-case"):
            Refused(code, "Words.")


def test_an_error_survives_copying_and_pickling() -> None:
    error = Refused("too-little", "Less.", field="body.amount")

    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert str(twin) == "too-little: Less."
        assert (twin.code, twin.field, twin.status) == (error.code, error.field, 422)


def test_the_table_imports_nothing_but_the_standard_library() -> None:
    script = (
        "import sys; before = set(sys.modules); import libs.runtime.failures, libs.runtime.clock;"
        "print({name.split('.')[0] for name in set(sys.modules) - before}"
        " - set(sys.stdlib_module_names))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert found.stdout.strip() == "{'libs'}"
