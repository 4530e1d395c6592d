"""A service of its own, for tests that kill it: `python -m tests.runtime.hot_service URL`."""

import asyncio
import sys

from libs.eventstore import JetStreamStore
from libs.runtime.clock import SystemClock
from libs.runtime.commands import command_subject
from libs.runtime.health import Health
from libs.runtime.hot_commands import serve_commands_plain
from tests.runtime.trades import BOOK, desk_on


async def main(url: str) -> None:
    store = await JetStreamStore.connect(url, "sample", "secret")
    desk, _ = desk_on(store)
    stop, health = asyncio.Event(), Health("sample", "0", SystemClock())
    async with asyncio.TaskGroup() as group:
        group.create_task(desk.writer.run(stop))
        subject = command_subject("ledger", BOOK)
        group.create_task(
            serve_commands_plain(store.client, subject, desk.take, health=health, stop=stop)
        )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
