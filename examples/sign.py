"""Execute a trade: sign the command, keep its text, send it until it is answered.

Start it as often as you like: it sends the text that it kept, so the trade is executed once.
"""

import asyncio
import os
import sys
from datetime import datetime
from pathlib import Path

import httpx
from heliograph.client import CommandClient
from heliograph.signing import Signer, Window
from libs.events.quantities import parse_instant
from libs.events.trade_commands import ExecuteTrade
from libs.runtime.failures import HeliographError

KEPT = Path("execute-TRADE101.jws")


def signed(now: datetime, deployment: str) -> str:
    """Give the kept text; sign and keep it first where there is none."""
    if not KEPT.exists():
        signer = Signer.from_file(Path("ben.key"), member="ben", deployment=deployment)
        part = KEPT.with_suffix(".part")
        window = Window.around(now)
        part.write_text(signer.sign(ExecuteTrade(tradeId="TRADE101"), book="pilot", window=window))
        part.replace(KEPT)
    return KEPT.read_text()


async def main() -> None:
    """Ask once."""
    gateway, deployment = os.environ["GATEWAY"], os.environ["DEPLOYMENT"]
    async with httpx.AsyncClient() as http:
        clock = (await http.get(f"{gateway}/api/clock")).raise_for_status().json()
        text = signed(parse_instant(clock["now_at"]), deployment)
        client = CommandClient(http, gateway_url=gateway, deployment=deployment)
        try:
            accepted = await client.send(text)
        except HeliographError as error:
            sys.exit(f"{error.code}: {error.message}")
    print(f"done: {accepted.first} to {accepted.last}")


if __name__ == "__main__":
    asyncio.run(main())
