"""Execute a trade: sign the command, keep its text, send it until it is answered.

Start it as often as you like: it sends the text that it kept, so the trade is executed once.
"""

import asyncio
import os
from pathlib import Path

import httpx
from heliograph.client import CommandClient
from heliograph.signing import Signer
from libs.events.trade_commands import ExecuteTrade

KEPT = Path("execute-TRADE001.jws")


def signed(deployment: str) -> str:
    """Give the kept text; sign and keep it first where there is none."""
    if not KEPT.exists():
        signer = Signer.from_file(Path("Factory04.key"), member="Factory04", deployment=deployment)
        part = KEPT.with_suffix(".part")
        part.write_text(signer.sign(ExecuteTrade(tradeId="TRADE001"), book="pilot"))
        part.replace(KEPT)
    return KEPT.read_text()


async def main() -> None:
    """Ask once."""
    gateway, deployment = os.environ["GATEWAY"], os.environ["DEPLOYMENT"]
    async with httpx.AsyncClient() as http:
        client = CommandClient(http, gateway_url=gateway, deployment=deployment)
        accepted = await client.send(signed(deployment))
    print(f"done: {accepted.first} to {accepted.last}")


if __name__ == "__main__":
    asyncio.run(main())
