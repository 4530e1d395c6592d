"""Logs: one JSON line per event, the same for libraries, and never a secret."""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from libs.runtime.clock import ManualClock
from libs.runtime.logs import get_logger, set_up_logs
from libs.runtime.redact import DEPTH_MAX, HIDDEN, hide_secrets

SEED = "S" + "A" * 55


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


class Lines(io.StringIO):
    """Where the lines go."""

    def read_all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def lines(clock: ManualClock) -> Lines:
    stream = Lines()
    set_up_logs("ingest", "1.2.3", stream=stream, clock=clock)
    return stream


def test_a_line_is_json_with_time_service_and_version(lines: Lines) -> None:
    get_logger("services.ingest").info("report-refused", reason="bad-signature", count=2)

    assert lines.read_all() == [
        {
            "time": "2025-01-01T00:00:00.000Z",
            "level": "info",
            "event": "report-refused",
            "service": "ingest",
            "reason": "bad-signature",
            "count": 2,
            "logger": "services.ingest",
            "version": "1.2.3",
        }
    ]


def test_the_standard_librarys_logging_goes_the_same_way(lines: Lines) -> None:
    logging.getLogger("some.library").warning("met %s", "trouble")
    (line,) = lines.read_all()

    assert (line["event"], line["logger"], line["level"]) == (
        "met trouble",
        "some.library",
        "warning",
    )
    assert line["service"] == "ingest"


def test_warnings_become_lines(lines: Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old way", DeprecationWarning, stacklevel=1)

    assert "old way" in lines.read_all()[0]["event"]


def test_lines_below_the_level_and_chatter_of_libraries_are_left_out(lines: Lines) -> None:
    get_logger("a").debug("detail")
    logging.getLogger("a").debug("detail")
    logging.getLogger("httpx").info("chatter")

    assert lines.getvalue() == ""


def test_setting_up_again_replaces_the_former_one(lines: Lines) -> None:
    again = Lines()
    set_up_logs("ledger", "2", level="debug", stream=again)
    get_logger("a").debug("detail")

    assert lines.getvalue() == ""
    assert again.read_all()[0]["service"] == "ledger"


def test_an_exception_is_one_line(lines: Lines) -> None:
    try:
        int(f"the seed {SEED}")
    except ValueError:
        get_logger("a").exception("failed")
    (line,) = lines.read_all()

    assert line["exception"].startswith("Traceback")
    assert "the seed **" in line["exception"]


def test_secrets_never_reach_a_line(lines: Lines) -> None:
    get_logger("a").info(
        "told-too-much",
        password="hunter2",
        nats_password=SecretStr("hunter2"),
        nested={"api_token": "hunter2", "list": [{"Authorization": "hunter2"}]},
        url="nats://user:hunter2@host:4222",
        text=f"my seed is {SEED}!",
    )
    logging.getLogger("a").warning("connecting to nats://user:hunter2@host with %s", SEED)

    assert "hunter2" not in lines.getvalue()
    assert SEED not in lines.getvalue()
    assert len(lines.read_all()) == 2


def test_fields_that_json_lacks_are_written_as_text(lines: Lines) -> None:
    get_logger("a").info("odd", data=b"\x00", what=ManualClock)

    assert "ManualClock" in lines.read_all()[0]["what"]


def test_people_on_a_terminal_get_no_json(clock: ManualClock) -> None:
    stream = Lines()
    set_up_logs("ingest", "1.2.3", log_format="console", stream=stream, clock=clock)
    get_logger("a").info("report-refused", reason="bad-signature", password="hunter2")
    try:
        int("x")
    except ValueError:
        get_logger("a").exception("failed", seed=SEED)

    assert "report-refused" in stream.getvalue()
    assert "{" not in stream.getvalue().splitlines()[0]
    assert "hunter2" not in stream.getvalue()
    assert SEED not in stream.getvalue()


def test_hiding_keeps_what_is_no_secret() -> None:
    value = {"keys": 3, "password": None, "meter": "SEEDLING", "at": [1, "x"], "tokens": 5}

    assert hide_secrets(value) == value


def test_what_lies_too_deep_is_hidden_whole() -> None:
    deep: dict[str, Any] = {}
    deep["self"] = deep
    hidden = hide_secrets(deep)
    for _ in range(DEPTH_MAX - 1):
        hidden = hidden["self"]

    assert hidden["self"] == HIDDEN
