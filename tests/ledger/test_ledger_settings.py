"""Which streams a ledger process writes, and where its snapshots stand."""

from pathlib import Path

import pytest

from libs.runtime.clock import ManualClock
from libs.runtime.health import Health
from libs.runtime.settings import SettingsError
from libs.runtime.snapshots import Snapshots
from services.ledger.app import build
from services.ledger.settings import LedgerSettings
from tests.histories import DEPLOYMENT, key_of

APPROVER = key_of("approver").address


def made(**variables: str) -> LedgerSettings:
    told = {"DEPLOYMENT": DEPLOYMENT, "LEDGER_FIRST_APPROVER": APPROVER, **variables}
    return LedgerSettings.from_environment({f"HELIOGRAPH_{n}": v for n, v in told.items()})


@pytest.mark.parametrize(
    ("variables", "books"),
    [
        ({}, ("pilot",)),
        ({"BOOK": "valley"}, ("valley",)),
        ({"BOOKS": "valley,hill"}, ("valley", "hill")),
        ({"BOOKS": "valley,hill", "LEDGER_SERVES": "*"}, ("valley", "hill")),
        ({"BOOKS": "valley,hill", "LEDGER_SERVES": "hill"}, ("hill",)),
        ({"BOOKS": "valley,hill", "LEDGER_SERVES": "[]"}, ()),
    ],
)
def test_a_ledger_serves_all_books_unless_it_is_told_which(
    variables: dict[str, str], books: tuple[str, ...]
) -> None:
    assert made(**variables).served_books == books


@pytest.mark.parametrize(
    "variables", [{"BOOKS": "a.b"}, {"LEDGER_SERVES": "a*"}, {"LEDGER_SNAPSHOTS_URL": "/folder"}]
)
def test_names_and_places_that_cannot_be_are_refused(variables: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=next(iter(variables))):
        made(**variables)


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"LEDGER_SERVES": "[]", "LEDGER_REGISTERS": "false"}, "LEDGER_SERVES"),
        ({"LEDGER_SNAPSHOTS_URL": "nowhere://folder"}, "LEDGER_SNAPSHOTS_URL"),
        ({"LEDGER_SNAPSHOTS_URL": "file:///dev/null/folder"}, "LEDGER_SNAPSHOTS_URL"),
    ],
)
async def test_a_ledger_that_could_write_nothing_or_nowhere_does_not_start(
    variables: dict[str, str], named: str
) -> None:
    with pytest.raises(SettingsError, match=named):
        await build(made(**variables), ManualClock(), Health("ledger", "0", ManualClock()))


def test_the_folder_of_the_snapshots_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "with a space" / "snapshots"
    Snapshots(url=folder.as_uri(), deployment=DEPLOYMENT, code="", every=1)
    assert folder.is_dir()
