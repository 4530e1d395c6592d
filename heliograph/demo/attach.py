"""Plays the demonstration on a stack that runs already: in Compose, in Kubernetes, anywhere.

    python -m heliograph.demo.attach        # settings: HELIOGRAPH_DEMO_<NAME>

The stack must be new, belong to the deployment `demo`, know the players' keys (`heliograph secrets
--played`) and run in played time (`HELIOGRAPH_PLAYED_TIME`, `HELIOGRAPH_ORACLE_PLAYED_FROM`,
`HELIOGRAPH_DEVNET_PLAYED`). Figures, result and proof are those of `heliograph demo`.
"""

import asyncio
import base64
import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import httpx
from pydantic import Field
from rich.console import Console

from heliograph.demo import cast
from heliograph.demo.check import Ledgers, invoices_of, report_digests, title_of
from heliograph.demo.command import SEASON_NAMEPLATE_W, SEASON_ZONE, read_scene, tell_source
from heliograph.demo.figures import Views, figures_of, money
from heliograph.demo.player import Player, Urls, calendar_of
from heliograph.demo.screen import Screen
from heliograph.demo.watch import Watch
from heliograph.environment import DEVNET_PASSPHRASE
from heliograph.errors import StackError
from heliograph.layout import Layout, fact_vaults
from libs.events.quantities import format_instant, parse_instant
from libs.eventstore import JetStreamStore, Stored
from libs.runtime.failures import HeliographError
from libs.runtime.settings import ServiceSettings, SettingsError
from libs.runtime.writing import API_PREFIX

READY_S: Final = 120.0
"""Seconds to wait for gateway, teller and devnet."""
CATCH_UP_S: Final = 60.0
"""Seconds in which the views must catch up after the play."""
_URL: Final = r"^https?://[^\s@]+$"


class DemoSettings(ServiceSettings):
    """What the player reads from the environment."""

    gateway_url: str = Field(
        "http://127.0.0.1:3000", pattern=_URL, description="Where the gateway is."
    )
    teller_url: str = Field(pattern=_URL, description="Where the teller serves health and control.")
    devnet_url: str = Field("http://127.0.0.1:8000", pattern=_URL, description="Where devnet is.")
    source: Path = Field(description="The CSV of power that the teller reports.")
    time_zone: str = Field(SEASON_ZONE, description="IANA time zone of the site.")
    nameplate_w: int = Field(SEASON_NAMEPLATE_W, ge=1, description="Nameplate of the plant in W.")
    load_w: int = Field(500, ge=1, description="The household's constant draw in W.")
    log_public_key: Path | None = Field(
        None, description="File with the public key of the logs, base64; no proof without it."
    )
    data: Path = Field(description="Folder for the result, the proof and the trust file.")


async def attach(settings: DemoSettings, screen: Screen) -> list[str]:
    """Play the season, check every figure and prove an invoice.

    Returns:
        What did not match; nothing when all is well.

    Raises:
        StackError, TimeoutError, HeliographError: It could not be played.
    """
    if settings.deployment != cast.DEPLOYMENT or not settings.played_time:
        raise StackError(
            f"The stack must be the deployment {cast.DEPLOYMENT!r} and run in played time."
        )
    began = time.monotonic()
    scene, source = read_scene(
        settings.source, settings.nameplate_w, settings.time_zone, settings.load_w
    )
    tell_source(screen, scene, source)
    calendar = calendar_of(
        parse_instant(source["first_at"]), parse_instant(source["until_at"]), scene.time_zone
    )
    screen.say(f"The clock begins at {format_instant(calendar.starts_at)}.")
    streams = [vault.stream for vault in fact_vaults(Layout(books=(settings.book,)))]
    password = settings.nats_password
    store = await JetStreamStore.connect(
        settings.nats_url,
        settings.nats_user or "auditor",
        password.get_secret_value() if password is not None else "",
        "heliograph-demo",
        api_prefix=API_PREFIX,
    )
    try:
        async with httpx.AsyncClient(timeout=10, event_hooks=_clockwork(settings)) as http:
            await _all_ready(http, settings)
            watch = Watch(
                store,
                deployment=cast.DEPLOYMENT,
                streams=(
                    "READINGS_0",
                    f"LEDGER_{settings.book}",
                    f"BILLING_{settings.book}",
                    "ANCHORS",
                ),
            )
            player = Player(
                urls=Urls(settings.gateway_url, settings.teller_url, settings.devnet_url),
                scene=scene,
                calendar=calendar,
                watch=watch,
                http=http,
                book=settings.book,
            )
            await _play(player, watch, len(calendar.midnights()), screen)
            stored = {stream: await _read(store, stream) for stream in streams}
            ledgers, views = Ledgers.read(stored), Views(http, settings.gateway_url)
            await _caught_up(views, stored)
            days = len(calendar.midnights())
            figures = await figures_of(ledgers, views, source, scene, days)
    finally:
        await store.close()
    screen.report(figures)
    wrong = [figure.name for figure in figures if not figure.agrees] + ledgers.faults()
    wrong += _keep(settings, ledgers, stored, screen)
    screen.say(f"{time.monotonic() - began:.0f} s in all.")
    return wrong


def _clockwork(settings: DemoSettings) -> dict[str, list[Any]]:
    """Let requests to the devnet say that they come from the player's own machine.

    The devnet lets nobody else set its clock. It believes this header only from those that its
    server was told to believe (`FORWARDED_ALLOW_IPS`), which a stack for a play does.
    """

    async def say_whence(request: httpx.Request) -> None:
        if str(request.url).startswith(settings.devnet_url):
            request.headers["X-Forwarded-For"] = "127.0.0.1"

    return {"request": [say_whence]}


async def _play(player: Player, watch: Watch, days: int, screen: Screen) -> None:
    """Set the stage and play to the end, unless what the player watches with fails."""

    async def on_day(now: datetime) -> None:
        billed = sum(invoice.total_stroops for invoice in player.invoices)
        screen.step(now, f"{len(player.invoices)} invoices paid, {money(billed)}")
        await asyncio.sleep(0)

    try:
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch.run())
            await player.set_up()
            screen.say(
                "Members, meters, system, raise, holding and agreement stand, all by signed "
                "commands."
            )
            screen.begin("Playing", days, "days")
            await player.play(on_day)
            watching.cancel()
    except ExceptionGroup as group_error:
        raise group_error.exceptions[0] from group_error


async def _all_ready(http: httpx.AsyncClient, settings: DemoSettings) -> None:
    """Wait until everything that the player talks to answers.

    Raises:
        TimeoutError: Something does not; the message names it.
    """
    waiting = [
        f"{settings.gateway_url}/api/positions",
        f"{settings.teller_url}/readyz",
        settings.devnet_url,
    ]
    deadline = time.monotonic() + READY_S
    while waiting:
        with suppress(httpx.HTTPError):
            if (await http.get(waiting[0])).is_success:
                waiting.pop(0)
                continue
        if time.monotonic() > deadline:
            raise TimeoutError(f"{waiting[0]} is not ready")
        await asyncio.sleep(0.2)


async def _read(store: JetStreamStore, stream: str) -> list[Stored]:
    """Every fact of a stream, as stored."""
    end = await store.end(stream)
    rows: list[Stored] = []
    if end:
        async for batch in store.read(stream, until=end):
            rows += batch
    return rows


async def _caught_up(views: Views, streams: Mapping[str, Sequence[Stored]]) -> None:
    """Wait until the views have come to the end of every stream."""
    deadline = time.monotonic() + CATCH_UP_S
    late = list(streams)
    while late:
        with suppress(httpx.HTTPError):
            read = await views.positions()
            late = [name for name, rows in streams.items() if read.get(name, 0) < len(rows)]
        if time.monotonic() > deadline:
            raise TimeoutError(f"the views have not caught up: {', '.join(late)}")
        await asyncio.sleep(0.1)


def _keep(
    settings: DemoSettings,
    ledgers: Ledgers,
    streams: Mapping[str, Sequence[Stored]],
    screen: Screen,
) -> list[str]:
    """Write the result, and the proof of the last invoice that asked for anything."""
    result: dict[str, Any] = {
        "invoices": invoices_of(ledgers),
        "title": title_of(ledgers),
        "reports": report_digests(ledgers),
    }
    path = settings.data / "result.json"
    path.write_text(f"{json.dumps(result, indent=1)}\n", encoding="utf-8")
    billed = [each["invoice"] for each in result["invoices"] if each["total_stroops"]]
    if not billed:
        return ["no invoice asked for anything, so nothing was proved"]
    if settings.log_public_key is None:
        return []
    public_key = base64.b64decode(settings.log_public_key.read_text("ascii"))
    return _prove(settings.data, streams, billed[-1], public_key, screen)


def _prove(
    folder: Path,
    streams: Mapping[str, Sequence[Stored]],
    invoice: str,
    public_key: bytes,
    screen: Screen,
) -> list[str]:
    """Write proof and trust file, the latter from the play's own keys, and verify."""
    from heliograph.verify import tell  # noqa: PLC0415 - XDR takes a while to load
    from libs.proof.build import (  # noqa: PLC0415 - as above
        build_proof,
        log_keys_of,
        rounds_of,
        trust_file,
    )
    from libs.proof.verify import Refused, Verdict, verify_proof  # noqa: PLC0415 - as above

    trust = trust_file(
        deployment=cast.DEPLOYMENT,
        network=DEVNET_PASSPHRASE,
        anchor_accounts=[rounds_of(streams)[-1].prepared.account],
        log_keys=log_keys_of(cast.DEPLOYMENT, streams, public_key),
        first_approver=cast.key_of("approver").address,
    ).to_bytes()
    proof = build_proof(streams, invoice).to_bytes()
    (folder / f"{invoice}.proof.json").write_bytes(proof)
    (folder / "trust.json").write_bytes(trust)
    screen.say(f"The proof of invoice {invoice} has {len(proof):,} bytes. Verifying:")
    try:
        found = verify_proof(proof, trust)
    except Refused as refused:
        return [f"proof of {invoice}: step {refused.step}: {refused.message}"]
    tell(found)
    return [] if found.verdict is Verdict.PROVED else [f"proof of {invoice}: {found.verdict}"]


def main() -> None:
    """Be the player; exit code 0 if every figure agrees and the proof holds."""
    try:
        with Screen(Console(width=120)) as screen:
            wrong = asyncio.run(attach(DemoSettings(), screen))
    except SettingsError as error:
        sys.exit(f"heliograph demo: these settings cannot be used:\n{error}")
    except (StackError, TimeoutError, OSError, HeliographError) as error:
        sys.exit(f"heliograph demo: the play did not get on: {error}")
    if wrong:
        sys.exit(f"heliograph demo: figures that do not match: {'; '.join(wrong)}")


if __name__ == "__main__":
    main()
