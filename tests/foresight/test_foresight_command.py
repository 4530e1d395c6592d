"""The commands: what they read, print, and say when they cannot."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from heliograph.cli import make_app
from heliograph.errors import StackError
from heliograph.foresight.forecast import Future, forecast
from heliograph.foresight.history import Known
from heliograph.foresight.preview import preview
from heliograph.foresight.reading import fold, place_of
from heliograph.foresight.telling import (
    Teller,
    json_of_answer,
    json_of_forecast,
    json_of_preview,
)
from heliograph.foresight.what_if import Question, what_if
from heliograph.subscribe import Subscriber
from libs.events.subjects import family_of
from libs.eventstore import MemoryStore
from libs.eventstore.memory import MemoryServer
from libs.eventstore.model import Frame
from libs.eventstore.spec import StreamSpec
from tests.foresight.past import FIRST, known_of, publish, used
from tests.histories import DEPLOYMENT
from tests.ownership.playing import World
from tests.ownership.scenes import DAY, PRICE, UNIT, to, use

COMMANDS = ("preview", "what-if", "forecast")


def run(*arguments: str) -> Any:
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(make_app(), arguments)


async def stored(world: World) -> MemoryStore:
    """A store in which the history stands."""
    server, streams = MemoryServer(), {each.stream for each in world.real.history.facts}
    for name in streams:
        family, part = family_of(name)
        server.declare(StreamSpec(name=name, subjects=family.subjects(part)))
    store = MemoryStore(server)
    for each in world.real.history.facts:
        frame = Frame(each.envelope.subject, each.data)
        await store.append(each.stream, [frame], expected=each.sequence - 1)
    return store


async def test_what_a_subscriber_reads_is_what_was_recorded() -> None:
    world = used(10, 20, return_ppm=50_000)
    publish(world, "dear", 3 * PRICE, at=FIRST)
    use(world, 40)
    to(world, FIRST + 30 * DAY)
    store, told = await stored(world), list[tuple[str, int, int]]()
    subscriber = Subscriber(store, deployment=DEPLOYMENT)
    read = await fold(subscriber, Known("pilot"), lambda *step: told.append(step))
    known = known_of(world)
    assert read.now == known.now
    for question in (Question(), Question(tariff="dear"), Question(payment_stroops=UNIT)):
        assert what_if(read, "sun-0", question) == what_if(known, "sun-0", question)
    assert preview(read, "sun-0") == preview(known, "sun-0")
    assert forecast(read, "sun-0", Future()) == forecast(known, "sun-0", Future())
    ends = {stream: await store.end(stream) for stream in read.streams}
    assert {stream: place for stream, place, end in told if place == end} == ends


@pytest.mark.parametrize("width", [80, 160])
def test_tables_tell_every_figure(width: int) -> None:
    world = used(10, 20)
    publish(world, "late", 3 * PRICE, at=FIRST + 14 * DAY)
    use(world, 40)
    to(world, FIRST + 30 * DAY)
    known, console = known_of(world), Console(width=width, record=True)
    teller = Teller(console)
    teller.preview(preview(known, "sun-0"))
    teller.what_if(what_if(known, "sun-0", Question(tariff="late")))
    teller.what_if(what_if(known, "sun-0", Question(period="month")))
    opened = known.account("sun-0").opened
    teller.forecast(forecast(known, "sun-0", Future()), opened)
    teller.forecast(forecast(known, "sun-0", Future(payment_stroops=0)), opened)
    printed = console.export_text()
    for text in (
        "sun-0-2026-06-30: 2026-06-30 until 2026-07-14",
        "8.00",
        "1 intervals of what was billed have no price in this tariff",
        "2026-06-02 until 2026-06-30 *",
        "* a part of a period",
        "Repeats the mean of the known periods, 2026-06-02 to 2026-06-16.",
        "The holding would be owned on 20",
        "no-end: what is paid does not exceed the return",
    ):
        assert text in printed


def test_json_says_the_same_in_stroops() -> None:
    known = known_of(used(10, 20, price=60 * UNIT))
    opened = known.account("sun-0").opened
    answer = json_of_answer(what_if(known, "sun-0", Question()))
    ending = json_of_forecast(forecast(known, "sun-0", Future()), opened)
    assert json.loads(json.dumps(answer)) == answer
    assert json.loads(json.dumps(ending)) == ending
    assert [row["billed_stroops"] for row in answer["periods"]] == [2 * UNIT, 4 * UNIT]
    assert answer["supposed_stroops"] == answer["billed_stroops"] == 6 * UNIT
    assert (ending["outcome"], ending["owned_at"]) == ("owned", "2027-03-16T01:00:00Z")
    assert ending["paid_stroops"] == ending["principal_paid_stroops"] == 60 * UNIT


def test_the_preview_as_json_has_every_line() -> None:
    world = used(10)
    use(world, 40)
    to(world, FIRST + 20 * DAY)
    (each,) = json_of_preview(preview(known_of(world), "sun-0"))["periods"]
    assert [line["energy_wh"] for line in each["lines"]] == [40_000]
    assert each["total_stroops"] == 8 * UNIT
    assert each["drafted_stroops"] is None


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_it_does_and_gives_an_example(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"Example: heliograph {command}" in result.output
    assert "--json" in result.output


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("what-if", "home", "--tariff", "a", "--tariff-file", "b"), "either --tariff or"),
        (("what-if", "home", "--payment", "lots"), "--payment lots"),
        (("what-if", "home", "--from", "yesterday"), "--from yesterday"),
        (("what-if", "home", "--period", "week"), "--period"),
        (("forecast",), "Missing argument"),
    ],
)
def test_wrong_options_end_with_2_and_name_the_option(
    arguments: tuple[str, ...], text: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert text in result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_stack_it_says_where_it_looked(command: str, tmp_path: Path) -> None:
    result = run(command, "home", "--data", str(tmp_path / "none"))
    assert isinstance(result.exception, StackError)
    assert "none is not the data folder of a stack" in str(result.exception)


def test_a_broken_tariff_file_is_named_before_anything_is_read(tmp_path: Path) -> None:
    file, body = tmp_path / "tariff.json", {"tariff": "t", "asset": "USD"}
    at = {"effective_from": "2026-01-01T00:00:00Z"}
    for text in ("{", json.dumps(body), json.dumps(body | at)):
        file.write_text(text)
        result = run("forecast", "home", "--tariff-file", str(file), "--data", str(tmp_path))
        assert isinstance(result.exception, StackError)
        assert f"--tariff-file {file}" in str(result.exception)


def test_the_book_is_the_only_one_or_is_named(tmp_path: Path) -> None:
    state = {
        "ports": {"nats": 4222},
        "deployment": "d",
        "partitions": 2,
        "books": ["north", "south"],
    }
    (tmp_path / "stack.json").write_text(json.dumps(state))
    secrets = {"passwords": {"auditor": "secret"}, "seeds": {}}
    (tmp_path / "credentials.json").write_text(json.dumps(secrets))
    place = place_of(tmp_path, "south")
    assert (place.book, place.partitions, place.user) == ("south", 2, "auditor")
    with pytest.raises(StackError, match=r"--book: north, south"):
        place_of(tmp_path, None)
    with pytest.raises(StackError, match=r"no book west"):
        place_of(tmp_path, "west")
