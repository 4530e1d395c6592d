"""The page in a real browser: figures show, and hostile text stays text."""

import re
from pathlib import Path

import asyncpg
import pytest

from libs.runtime.health import Health
from tests.gateway.browser import LivePage, dumped
from tests.gateway.conftest import memory, project
from tests.gateway.test_live import serving
from tests.projection.pg import Server
from tests.projection.story import tell
from tests.projection.world import World

EVIL = "\"><img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


@pytest.mark.browser
async def test_the_figures_of_a_told_world_show(told: str, health: Health, tmp_path: Path) -> None:
    async with serving(told, health) as url:
        page = await dumped(f"{url}/?still#invoice-sunrise-2016-07", tmp_path)
    text = re.sub(r"<[^>]*>", " ", page.partition("<main")[2].partition("<script")[0])
    for words in (
        "9.6",
        "sunrise-2016-07",
        "0.9602 USD",
        "4.801 kWh x 0.2000000 USD per kWh = 0.9602000 USD",
        "0.0225",
        "devnet double, not Stellar",
        "READINGS_0:37",
        f"{161:064x}",
        "777",
    ):
        assert words in text, words
    assert "2016-08-02 06:00 UTC" in page
    assert "played clock" in page
    assert "alert('x')" in page  # shown,
    assert "<img" not in page  # as text


@pytest.mark.browser
async def test_an_empty_world_and_missing_views_are_told_in_words(
    postgres: Server, health: Health, tmp_path: Path
) -> None:
    dsn = await postgres.new_database()
    async with serving(postgres.reader(dsn), health) as url:
        page = await dumped(f"{url}/?still", tmp_path / "missing")
        assert page.count("The projection has not made the views yet. Try again.") >= 6
        await project(dsn, memory())
        page = await dumped(f"{url}/?still", tmp_path / "empty")
    for words in ("No reading yet", "No invoice yet", "Nothing is anchored yet", "no time yet"):
        assert words in page


@pytest.mark.browser
async def test_hostile_text_in_every_column_stays_text(
    postgres: Server, health: Health, tmp_path: Path
) -> None:
    dsn = await postgres.new_database()
    store = memory()
    await tell(World(store))
    await project(dsn, store)
    connection = await asyncpg.connect(dsn)
    columns = await connection.fetch(
        "SELECT table_name, column_name FROM information_schema.columns "
        "JOIN information_schema.tables USING (table_schema, table_name) "
        "WHERE data_type = 'text' AND table_type = 'BASE TABLE' "
        "AND table_schema = 'heliograph' AND column_name NOT IN ('account', 'asset') "
        "AND NOT (table_name IN ('clock', 'projection_position', 'fact_total') "
        "AND column_name = 'stream')"
    )
    assert len(columns) > 80
    for table, column in columns:
        await connection.execute(f"UPDATE heliograph.{table} SET {column} = {column} || $1", EVIL)
    await connection.close()
    async with serving(postgres.reader(dsn), health) as url:
        page = await dumped(f"{url}/?still", tmp_path)
    assert page.count("&lt;img src=x") > 15
    assert "<img" not in page
    assert page.count("<script") == 1
    assert "<title>Heliograph</title>" in page


@pytest.mark.browser
async def test_the_page_follows_without_being_asked(
    postgres: Server, health: Health, tmp_path: Path
) -> None:
    dsn = await postgres.new_database()
    store = memory()
    world = World(store)
    await project(dsn, store)
    async with (
        serving(postgres.reader(dsn), health) as url,
        LivePage(f"{url}/#invoice-sunrise-2016-07", tmp_path) as page,
    ):
        await page.becomes("document.getElementById('feed')?.textContent === 'live'")
        await page.becomes("document.body.innerText.includes('No invoice yet')")
        await tell(world)
        await project(dsn, store)
        await page.becomes("document.querySelectorAll('details.invoice').length === 2")
        await page.becomes("document.body.innerText.includes('= 0.9602000 USD')")
        await page.becomes("document.body.innerText.includes('devnet double, not Stellar')")
        await page.evaluate("document.querySelector('details.invoice summary').focus()")
        await world.readings(5, first=200)
        await project(dsn, store)
        reached = world.ends["READINGS_0"].sequence
        await page.becomes(f"document.body.innerText.includes('{reached}')")
        kept = "document.querySelector('#invoice-sunrise-2016-07').open"
        assert await page.evaluate(kept) is True
        assert await page.evaluate("document.activeElement.tagName") == "SUMMARY"
        assert await page.evaluate("document.title") == "Heliograph"
    assert health.is_ready()
