"""The projector against a real PostgreSQL and the memory twin of the event store."""

import asyncio
import functools
import json
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from libs.events import InvalidFact, TariffPrices
from libs.eventstore import Frame, GapFound, MemoryStore, StreamSpec
from libs.eventstore.memory import MemoryServer
from libs.runtime.failures import BrokenLaw, FencedOff
from libs.runtime.health import Health
from services.projection import schema
from services.projection.settings import ProjectionSettings
from services.projection.tables import TABLES
from services.projection.views.text import json_of
from tests.projection.ownership_story import tell_pay_to_own
from tests.projection.pg import Server
from tests.projection.running import caught_up, contents, projecting, run_once, until
from tests.projection.story import tell
from tests.projection.world import World, specs


async def test_a_told_world_stands_in_every_table(
    world: World, settings: ProjectionSettings, health: Health, database: Any
) -> None:
    await tell(world)
    await tell_pay_to_own(world)
    async with projecting(settings, world.store, health):
        await until(lambda: caught_up(database, world))
        assert health.is_ready()
    found = await contents(database)
    assert {name for name, rows in found.items() if not rows} == {"refusal"}


async def test_tables_are_declared_as_they_are_written(
    settings: ProjectionSettings, store: MemoryStore, health: Health, database: Any
) -> None:
    await run_once(settings, store, health)
    rows = await database.fetch(
        "SELECT table_name, column_name FROM information_schema.columns "
        "JOIN information_schema.tables USING (table_schema, table_name) "
        "WHERE table_schema = 'heliograph' AND table_type = 'BASE TABLE' "
        "ORDER BY table_name, ordinal_position"
    )
    declared: dict[str, list[str]] = {}
    for row in rows:
        declared.setdefault(row["table_name"], []).append(row["column_name"])
    assert declared.keys() == {"projection_schema", "projection_position"} | {
        table.name for table in TABLES
    }
    for table in TABLES:
        assert sorted(declared[table.name]) == sorted(table.columns)


async def test_every_fact_is_counted_and_every_counted_fact_has_its_row(
    world: World, settings: ProjectionSettings, health: Health, database: Any
) -> None:
    await tell(world)
    await tell_pay_to_own(world)
    await run_once(settings, world.store, health)
    totals = Counter(
        {
            row["fact"]: row["total"]
            for row in await database.fetch(
                "SELECT fact, sum(total)::int AS total FROM fact_total GROUP BY fact"
            )
        }
    )
    assert totals.total() == sum(end.sequence for end in world.ends.values())
    for fact, table in (
        ("ReadingRecorded", "reading"),
        ("ReadingRefused", "reading_refused"),
        ("MemberRegistered", "member"),
        ("InvoiceIssued", "invoice"),
        ("PaymentSettled", "payment"),
        ("AnchorPrepared", "anchor_prepared"),
        ("InvoiceDrafted", "invoice_draft"),
        ("CreditNoteIssued", "credit_note"),
        ("StageAdvanced", "stage_advanced"),
        ("PricePublished", "price_published"),
    ):
        assert await database.fetchval(f"SELECT count(*) FROM {table}") == totals[fact]


async def test_the_two_halves_of_the_books_balance_when_joined(
    world: World, settings: ProjectionSettings, health: Health, database: Any
) -> None:
    await tell(world)
    await run_once(settings, world.store, health)
    rows = await database.fetch(
        "SELECT asset, account, sum(balance) AS balance FROM "
        "(SELECT * FROM account_balance UNION ALL SELECT * FROM claim_balance) both_halves "
        "GROUP BY asset, account"
    )
    balance = {(row["asset"], row["account"]): row["balance"] for row in rows}
    assert balance["U:USD", "wallet:ann"] == 50_000_000 - 10_000_000
    assert balance["T:roof", "own:sunrise"] == 9_000_000
    assert balance["T:roof", "title:roof:bob"] == 40_000_000_000 - 9_000_000
    assert balance["C:USD", "due:sunrise"] == 9_602_000  # the second invoice
    assert balance["U:USD", "credit:sunrise"] == 10_000_000 - 602_000 - 9_000_000
    debits = {"issuer", "due", "return_due", "issued"}
    for asset in ("U:USD", "T:roof"):
        sides: dict[bool, Decimal] = {True: Decimal(0), False: Decimal(0)}
        for (of, account), amount in balance.items():
            if of == asset:
                sides[account.partition(":")[0] in debits] += amount
        assert sides[True] == sides[False]


async def test_live_equals_rebuilt_row_by_row(
    world: World, settings: ProjectionSettings, health: Health, database: Any
) -> None:
    async with projecting(settings, world.store, health):
        await tell(world)  # projected while it happens, in small batches
        await tell_pay_to_own(world)
        await world.readings(300, first=100)
        await until(lambda: caught_up(database, world))
    live = await contents(database)
    await run_once(settings, world.store, health, rebuild=True)
    rebuilt = await contents(database)
    assert rebuilt == live


async def test_a_restarted_projector_goes_on_where_it_was(
    world: World, settings: ProjectionSettings, health: Health, database: Any
) -> None:
    await world.readings(50)
    await run_once(settings, world.store, health)
    await world.readings(50, first=51)
    await run_once(settings, world.store, health)
    await run_once(settings, world.store, health)
    assert await caught_up(database, world)
    assert await database.fetchval("SELECT count(*) FROM reading") == 100


async def test_a_second_projector_is_fenced_and_nothing_is_projected_twice(
    world: World, settings: ProjectionSettings, health: Health, database: Any
) -> None:
    async with (
        projecting(settings, world.store, health) as one,
        projecting(settings, world.store, health) as other,
    ):
        for turn in range(500):  # until both follow, however long each takes to begin
            await world.readings(20, first=1 + 20 * turn)
            await asyncio.sleep(0.01)
            if one.done() or other.done():
                break
        await until(lambda: caught_up(database, world))
        ended = [task for task in (one, other) if task.done()]
        assert len(ended) == 1
        with pytest.RaisesGroup(FencedOff, flatten_subgroups=True):
            ended[0].result()
    assert (
        await database.fetchval("SELECT count(*) FROM reading") == world.ends["READINGS_0"].sequence
    )


@pytest.fixture
async def own_postgres() -> AsyncIterator[Server]:
    server = await Server().start()
    yield server
    server.close()


async def test_postgres_killed_midway_leaves_every_row_exactly_once(
    world: World,
    settings: ProjectionSettings,
    health: Health,
    own_postgres: Server,
) -> None:
    postgres, dsn = own_postgres, await own_postgres.new_database()
    settings = settings.model_copy(update={"postgres_dsn": SecretStr(dsn)})
    async with projecting(settings, world.store, health) as task:
        for turn in range(3):
            await world.readings(2_900, first=1 + 3_000 * turn)
            await asyncio.sleep(0.15)
            postgres.kill()
            # Should all have been projected by then, the rest finds nobody there.
            await world.readings(100, first=2_901 + 3_000 * turn)

            async def noticed() -> bool:
                return not health.is_ready()

            await until(noticed)
            await postgres.start()
        if task.done() and (failure := task.exception()):
            raise failure
        database = await asyncpg.connect(dsn, server_settings={"search_path": "heliograph"})
        await until(lambda: caught_up(database, world))

        async def ready() -> bool:
            return health.is_ready()

        await until(ready)
    row = await database.fetchrow(
        "SELECT count(*) AS n, sum(sequence) AS s, sum(generated_wh) AS e FROM reading"
    )
    await database.close()
    assert row is not None
    assert (row["n"], row["s"], row["e"]) == (9_000, 9_000 * 9_001 // 2, 9_000 * 400)


async def test_another_history_at_the_position_stops_the_projector(
    world: World, settings: ProjectionSettings, health: Health, database: Any
) -> None:
    await world.readings(5)
    await run_once(settings, world.store, health)
    await database.execute("UPDATE projection_position SET hash = 'f' WHERE sequence > 0")
    with pytest.RaisesGroup(pytest.RaisesExc(BrokenLaw, match="other-history")):
        await run_once(settings, world.store, health)


async def test_a_rewound_stream_stops_the_projector(
    world: World, store: MemoryStore, settings: ProjectionSettings, health: Health
) -> None:
    await world.readings(5)
    await run_once(settings, store, health)
    store.server.rewind("READINGS_0", 3)
    with pytest.RaisesGroup(pytest.RaisesExc(BrokenLaw, match="rewound")):
        await run_once(settings, store, health)


async def test_a_lost_fact_stops_the_projector(
    world: World, store: MemoryStore, settings: ProjectionSettings, health: Health
) -> None:
    await world.readings(5)
    store.server.hide("READINGS_0", 3)
    with pytest.RaisesGroup(GapFound):
        await run_once(settings, store, health)


async def test_what_is_no_fact_stops_the_projector_and_leaves_no_trace(
    world: World, settings: ProjectionSettings, health: Health, database: Any
) -> None:
    await world.readings(5)
    await world.append_frames("READINGS_0", [Frame("readings.0.m1.ReadingRecorded", b"{}")])
    with pytest.RaisesGroup(InvalidFact):
        await run_once(settings, world.store, health)
    rows = await database.fetchrow(
        "SELECT (SELECT count(*) FROM reading) AS rows, sequence FROM projection_position "
        "WHERE stream = 'READINGS_0'"
    )
    assert rows["rows"] == rows["sequence"]


async def test_a_missing_stream_is_waited_for_and_shows_as_not_ready(
    settings: ProjectionSettings, health: Health, database: Any
) -> None:
    store = MemoryStore(MemoryServer())
    for spec in specs():
        if spec.name != "ANCHORS":
            store.server.declare(spec)
    world = World(store)
    async with projecting(settings, store, health):

        async def waits() -> bool:
            part = health.status()["parts"].get("view-ANCHORS", {})
            return "waiting" in part.get("detail", "")

        await until(waits)
        assert not health.is_ready()
        store.server.declare(next(spec for spec in specs() if spec.name == "ANCHORS"))
        await tell(world)
        await until(lambda: caught_up(database, world))
        assert health.is_ready()


async def test_refusals_may_have_gaps_lose_their_beginning_and_hold_anything(
    store: MemoryStore, settings: ProjectionSettings, health: Health, database: Any
) -> None:
    bodies = [b"\x00\xff", b"[]", b'{"reason": "x\\u0000y", "count": "many", "detail": "\\ud800"}']
    bodies += [b'{"reason": "bad-signature", "detail": "no", "count": 7}'] * 5
    frames = [
        Frame(f"refusals.bad-signature.m{number}", body) for number, body in enumerate(bodies)
    ]
    await store.append("REFUSALS", frames, expected=0)
    store.server.trim("REFUSALS", 1)

    async def rows(count: int) -> bool:
        try:
            return bool(await database.fetchval("SELECT count(*) FROM refusal") == count)
        except asyncpg.UndefinedTableError:
            return False

    async with projecting(settings, store, health):
        await until(lambda: rows(7))

        async def ready() -> bool:
            return health.is_ready()

        await until(ready)
    await store.append("REFUSALS", frames[:2], expected=8)
    store.server.trim("REFUSALS", 9)
    async with projecting(settings, store, health):
        await until(lambda: rows(8))
    found = await database.fetch("SELECT * FROM refusal ORDER BY sequence")
    assert [row["sequence"] for row in found] == [2, 3, 4, 5, 6, 7, 8, 10]
    assert found[0]["detail"] == "This message cannot be read."
    assert found[1]["reason"] == "x\N{REPLACEMENT CHARACTER}y"
    assert (found[1]["count"], found[2]["count"]) == (1, 7)


async def test_refusals_made_anew_replace_the_old_ones(
    settings: ProjectionSettings, health: Health, database: Any
) -> None:
    frames = [Frame("refusals.bad.m", b'{"reason": "old"}')] * 4
    old, new = MemoryStore(MemoryServer()), MemoryStore(MemoryServer())
    for store in (old, new):
        for spec in specs():
            store.server.declare(spec)

    async def stands(reason: str, count: int) -> bool:
        try:
            found = await database.fetch("SELECT reason FROM refusal")
        except asyncpg.UndefinedTableError:
            return False
        return [row["reason"] for row in found] == [reason] * count

    await old.append("REFUSALS", frames, expected=0)
    async with projecting(settings, old, health):
        await until(lambda: stands("old", 4))
    await new.append("REFUSALS", [Frame("refusals.bad.m", b'{"reason": "new"}')] * 2, expected=0)
    async with projecting(settings, new, health):
        await until(lambda: stands("new", 2))


async def test_the_schema_is_applied_once_however_many_apply_it(dsn: str) -> None:
    connections = [await asyncpg.connect(dsn) for _ in range(3)]
    try:
        applied = await asyncio.gather(*(schema.apply(one, "views") for one in connections))
        newest = len(schema.versions())
        assert applied == [newest] * 3
        counted = await connections[0].fetchval("SELECT count(*) FROM views.projection_schema")
        assert counted == newest
        await connections[0].execute("INSERT INTO views.projection_schema VALUES (99)")
        with pytest.raises(BrokenLaw, match="schema-newer"):
            await schema.apply(connections[0], "views")
    finally:
        for one in connections:
            await one.close()


async def test_rows_of_an_older_release_become_as_if_they_were_built_anew(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a first version of a fact did not say is filled in as its upcast does."""
    known = schema.versions()
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "views"})
    try:
        with monkeypatch.context() as older:
            older.setattr(schema, "versions", lambda: known[:5])
            await schema.apply(connection, "views")
        await connection.execute(
            """
            INSERT INTO tariff VALUES ('PRICES', 1, 'h', 'flat', 1, 'USD', 2000000, now(), now());
            INSERT INTO investment VALUES ('LEDGER_p', 1, 'i', 's', 'bob', 'USD', 70, now());
            INSERT INTO raise_accepted VALUES ('LEDGER_p', 2, 's', 'ann', 'USD', now());
            INSERT INTO title_move VALUES
                ('LEDGER_p', 2, 1, 'raise', 's', NULL, NULL, NULL, NULL, 'bob', 40, now()),
                ('LEDGER_p', 2, 2, 'raise', 's', NULL, NULL, NULL, NULL, 'bea', 30, now());
            """
        )
        assert await schema.apply(connection, "views") == len(known)
        (tariff,) = await connection.fetch("SELECT * FROM tariff")
        prices = TariffPrices(price_stroops_per_kwh=2_000_000)
        assert json.loads(tariff["prices"]) == json.loads(json_of(prices))
        assert (tariff["kind"], tariff["standing_stroops_per_month"]) == ("fixed", 0)
        (investment,) = await connection.fetch("SELECT round, units, is_at_risk FROM investment")
        assert tuple(investment) == ("raise", 70, False)
        assert await connection.fetchval("SELECT units FROM raise_accepted") == 70
    finally:
        await connection.close()


async def test_an_idle_projector_shows_a_fact_at_once(
    world: World, settings: ProjectionSettings, health: Health, database: Any
) -> None:
    await world.readings(1)

    async def shown(number: int) -> bool:
        return health.positions["READINGS_0"] >= number

    async with projecting(settings, world.store, health):
        await until(lambda: caught_up(database, world))
        loop = asyncio.get_running_loop()
        lags = []
        for number in range(2, 12):
            began = loop.time()
            await world.readings(1, first=number)
            await until(functools.partial(shown, number), every=0.001)
            lags.append(loop.time() - began)
    assert sorted(lags)[5] < 0.1, lags


def test_the_streams_follow_from_partitions_and_book(settings: ProjectionSettings) -> None:
    two = settings.model_copy(update={"partitions": 2, "book": "hill"})
    assert set(two.fact_streams()) == {
        *("READINGS_0", "READINGS_1", "METERS_0", "METERS_1"),
        *("MEMBERS", "PRICES", "LEDGER_hill", "BILLING_hill", "ANCHORS"),
    }
    assert isinstance(specs()[0], StreamSpec)
