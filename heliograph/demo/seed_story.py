"""The first part of the trading demonstration: the seed's story, by the seed's own routes.

Twenty factories are registered, energy is minted, promised and sold, as in the network that this
one follows; and what went wrong there is tried here and must be refused, each by its own rule.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import httpx

from heliograph.demo import cast
from heliograph.demo.factories import BOOK, FACTORIES
from heliograph.errors import StackError
from heliograph.signing import Window
from libs.events.decimals import MONEY_PLACES, write_decimal
from libs.runtime.failures import Transient

DEADLINE_S: Final = 60.0
"""Seconds in which a route must answer."""

SHOWN: Final = ("Factory01", "Factory04")
"""Whose balances the story follows."""

EXPECTED: Final = {
    "at the beginning": {"Factory01": ("1000", "1000"), "Factory04": ("300", "300")},
    "500 kWh minted": {"Factory01": ("1500", "1000"), "Factory04": ("300", "300")},
    "trade executed": {"Factory01": ("1300", "1016"), "Factory04": ("500", "284")},
}
"""kWh and tokens after each act, as the seed tells them."""

TRADE: Final = {
    "tradeId": "TRADE001",
    "sellerId": "Factory01",
    "buyerId": "Factory04",
    "amount": "200",
    "pricePerUnit": "0.08",
}
"""The seed's trade: 200 kWh at 0.08 are 16 tokens."""


@dataclass(frozen=True, slots=True)
class Act:
    """Something that somebody asks for by one of the seed's routes."""

    what: str
    """It in words."""
    route: str
    """Path behind `/api/`."""
    command: str
    """The command that the route takes."""
    member: str
    """Who signs."""
    body: Mapping[str, Any]
    """What is asked, in the seed's field names."""
    book: str = BOOK
    """`register` for a registration."""
    code: str = ""
    """The rule by which it must be refused; empty for what must be carried out."""


APPROVER: Final = Act(
    "register the approver",
    "commands",
    "RegisterMember",
    "approver",
    {
        "member": "approver",
        "address": cast.key_of("approver").address,
        "roles": cast.ROLES["approver"],
    },
    "register",
)
"""Who registers the others: until he stands in the register, the settings name him."""


def _register(number: int) -> Act:
    factory = FACTORIES[number]
    body = {
        "factoryId": factory.id,
        "address": factory.key.address,
        "name": factory.name,
        "energyType": factory.energy_type,
        "book": BOOK,
        "initialBalance": str(factory.balance_kwh),
        "currencyBalance": str(factory.balance_kwh),
        "dailyConsumption": str(factory.use_kwh),
        "availableEnergy": str(factory.available_kwh),
    }
    what, route = f"register {factory.id}", "factory/register"
    return Act(what, route, "RegisterFactory", "approver", body, "register")


def _trade(what: str, code: str, **other: str) -> Act:
    body = {**TRADE, "tradeId": "TRADE002", **other}
    return Act(what, "trade/create", "CreateTrade", "Factory01", body, code=code)


def _execute(what: str, member: str, code: str) -> Act:
    body = {"tradeId": "TRADE001"}
    return Act(what, "trade/execute", "ExecuteTrade", member, body, code=code)


def _mint(what: str, member: str, code: str, **other: str) -> Act:
    body = {"factoryId": "Factory01", "amount": "500", **other}
    return Act(what, "energy/mint", "MintEnergy", member, body, code=code)


def _give(what: str, member: str, code: str, **other: str) -> Act:
    body = {"fromFactoryId": "Factory01", "toFactoryId": "Factory04", "amount": "100", **other}
    return Act(what, "energy/transfer", "TransferEnergy", member, body, code=code)


MINT: Final = _mint("mint 500 kWh for Factory01", "approver", "")
CREATE: Final = Act(
    "Factory01 offers 200 kWh at 0.08", "trade/create", "CreateTrade", "Factory01", TRADE
)
EXECUTE: Final = _execute("Factory04 executes it", "Factory04", "")

BEFORE: Final = (
    Act(
        "register Factory04 again, with other balances",
        "factory/register",
        "RegisterFactory",
        "approver",
        {**_register(3).body, "initialBalance": "9000"},
        "register",
        code="member-exists",
    ),
    _mint("a factory mints for itself", "Factory01", "wrong-role"),
    _mint("mint for a factory that is not there", "approver", "unknown-party", factoryId="F99"),
    _give("give energy to oneself", "Factory01", "same-party", toFactoryId="Factory01"),
    _give("give another's energy away", "Factory04", "wrong-signer"),
    _trade("sell to oneself", "same-party", buyerId="Factory01"),
    _trade("a price of -0.08", "command-schema", pricePerUnit="-0.08"),
    _trade("a price of 0", "price-not-positive", pricePerUnit="0"),
    _trade("-200 kWh", "command-schema", amount="-200"),
    _trade("promise the same energy twice", "too-little-energy", amount="1400"),
    _execute("a stranger executes", "Factory05", "wrong-signer"),
)
"""What the original network allowed, tried while TRADE001 is pending."""

AFTER: Final = (_execute("execute twice", "Factory04", "trade-closed"),)
"""What it allowed of a trade that is done."""


@dataclass(slots=True)
class Story:
    """What was told."""

    balances: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)
    """After each act: kWh and tokens of those who are followed, as the routes answer them."""
    refusals: list[tuple[str, str, int]] = field(default_factory=list)
    """What was tried, the code of the refusal, and its HTTP status."""

    def faults(self) -> list[str]:
        """What is not as the seed tells it."""
        return [act for act, wanted in EXPECTED.items() if self.balances.get(act) != wanted]


class Storyteller:
    """Plays the story on a running stack."""

    def __init__(self, http: httpx.AsyncClient, gateway_url: str, now: datetime) -> None:
        """Prepare.

        Args:
            http: Does the requests.
            gateway_url: Such as `http://127.0.0.1:3000`.
            now: The played time, which does not move meanwhile.
        """
        self._http, self._url = http, f"{gateway_url}/api"
        self._window = Window.beginning(now)
        self._acts = 0

    async def tell(self) -> Story:
        """Register, mint, promise and sell; and try what must be refused.

        Raises:
            StackError: A route answered otherwise than it must.
        """
        story = Story()
        for act in (APPROVER, *map(_register, range(len(FACTORIES)))):
            await self._do(act, story)
        await self._look("at the beginning", story)
        await self._do(MINT, story)
        await self._look("500 kWh minted", story)
        for act in (CREATE, *BEFORE, EXECUTE, *AFTER):
            await self._do(act, story)
        await self._look("trade executed", story)
        return story

    async def _look(self, after: str, story: Story) -> None:
        found = {}
        for factory in SHOWN:
            answer = await self._http.get(f"{self._url}/factory/{factory}/balance")
            data = answer.raise_for_status().json()["data"]
            tokens = write_decimal(data["currency_balance_stroops"], MONEY_PLACES)
            found[factory] = f"{data['balance_wh'] / 1000:g}", tokens
        story.balances[after] = found

    async def _do(self, act: Act, story: Story) -> None:
        self._acts += 1
        answer = await self._post(act.route, self._sign(act))
        document = answer.json()
        code = "" if answer.is_success else str(document.get("code"))
        if code != act.code:
            wanted = f"it must be refused as {act.code}" if act.code else "it must be carried out"
            raise StackError(f"{act.what}: {wanted}, and the answer was {answer.text[:300]}")
        if code:
            story.refusals.append((act.what, code, answer.status_code))

    def _sign(self, act: Act) -> str:
        """Sign what is asked, right or wrong: `heliograph sign` would not sign the faults."""
        claims: dict[str, Any] = {
            "deployment": cast.DEPLOYMENT,
            "service": "ledger",
            "book": act.book,
            "id": f"story-{self._acts}",
            "member": act.member,
            "nbf": self._window.not_before,
            "exp": self._window.expires,
            "command": act.command,
            "body": act.body,
        }
        payload = json.dumps(claims, separators=(",", ":")).encode()
        return cast.key_of(act.member).sign("hg-command+jws", payload)

    async def _post(self, route: str, text: str) -> httpx.Response:
        """Post the same text until it is answered for good."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + DEADLINE_S
        headers = {"content-type": "application/jose"}
        while True:
            answer = await self._http.post(f"{self._url}/{route}", content=text, headers=headers)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return answer
            if loop.time() > deadline:
                raise Transient("no-answer", f"{route}: {answer.text[:300]}")
            await asyncio.sleep(0.05)
