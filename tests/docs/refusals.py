"""Everything that the energy network refuses, asked through HTTP with real signatures."""

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from libs.events.jws import SigningKey
from libs.events.quantities import format_instant
from libs.runtime.clock import SystemClock

JOSE = {"content-type": "application/jose"}
NOW = SystemClock().now()
SLOT = datetime.fromtimestamp((NOW.timestamp() // 900 + 2) * 900, UTC)
ROUTES = {
    "RegisterFactory": "factory/register",
    "MintEnergy": "energy/mint",
    "TransferEnergy": "energy/transfer",
    "RetireEnergy": "energy/retire",
    "CreateTrade": "trade/create",
    "ExecuteTrade": "trade/execute",
    "CancelTrade": "trade/cancel",
}


@dataclass
class People:
    """Everybody who has a key, and the gateway to which they send."""

    http: httpx.AsyncClient
    gateway: str
    keys: dict[str, SigningKey]
    heard: set[str] = field(default_factory=set)
    """Every code that was heard."""

    async def send(self, text: str, route: str) -> tuple[int, dict[str, Any]]:
        """Send until there is an answer."""
        while True:
            answer = await self.http.post(f"{self.gateway}/api/{route}", content=text, headers=JOSE)
            said = answer.json()
            if answer.status_code != 503:
                return answer.status_code, said
            await asyncio.sleep(0.1)

    def signed(
        self,
        member: str,
        command: str,
        body: Mapping[str, Any],
        /,
        *,
        key: SigningKey | None = None,
        **claims: Any,
    ) -> str:
        """Sign what no careful program would: a `Signer` refuses to."""
        whole = {
            "deployment": "embedded",
            "service": "ledger",
            "book": "register" if command == "RegisterFactory" else "pilot",
            "id": os.urandom(8).hex(),
            "member": member,
            "nbf": int(NOW.timestamp()) - 600,
            "exp": int(NOW.timestamp()) + 3_600,
            "command": command,
            "body": body,
        }
        text = json.dumps(whole | claims).encode()
        return (key or self.keys[member]).sign("hg-command+jws", text)

    async def refused(
        self,
        member: str,
        command: str,
        body: Mapping[str, Any],
        status: int,
        code: str,
        /,
        **claims: Any,
    ) -> None:
        text = self.signed(member, command, body, **claims)
        got, said = await self.send(text, ROUTES.get(command, "commands"))
        assert (got, said.get("code")) == (status, code), (command, body, said)
        self.heard.add(code)

    async def done(self, member: str, command: str, body: Mapping[str, Any]) -> dict[str, Any]:
        text = self.signed(member, command, body)
        status, said = await self.send(text, ROUTES.get(command, "commands"))
        assert status == 200, said
        return said


TRADE = {
    "tradeId": "TRADE002",
    "sellerId": "Factory01",
    "buyerId": "Factory04",
    "amount": "10",
    "pricePerUnit": "0.08",
}
GIFT = {"fromFactoryId": "Factory01", "toFactoryId": "Factory04", "amount": "1"}
MINT = {"factoryId": "Factory01", "amount": "1"}
ORDER = {
    "orderId": "O1",
    "side": "bid",
    "slot": format_instant(SLOT),
    "amount": "1",
    "pricePerUnit": "0.01",
}
TOKENS = {"to_member": "Factory02", "asset": "TOKEN", "amount_stroops": 100}
ENERGY = {"to_member": "Factory02", "energy_wh": 100}
UNTIL = format_instant((NOW + timedelta(days=1)).replace(microsecond=0))


def factory(name: str, key: SigningKey) -> dict[str, str]:
    return {
        "factoryId": name,
        "address": key.address,
        "name": "Electronics Assembly",
        "energyType": "wind",
        "book": "pilot",
        "initialBalance": "600",
    }


async def refuse_registrations(people: People) -> None:
    five = people.keys["Factory05"] = SigningKey(os.urandom(32))
    ask, new = people.refused, factory("Factory05", five)
    await ask("Factory01", "RegisterFactory", new, 422, "wrong-role")
    await ask("approver", "RegisterFactory", new | {"factoryId": "market"}, 422, "member-reserved")
    await ask("approver", "RegisterFactory", new | {"factoryId": "Factory01"}, 422, "member-exists")
    await ask("approver", "RegisterFactory", new | {"book": "nowhere"}, 404, "unknown-book")
    taken = {"address": people.keys["Factory01"].address}
    await ask("approver", "RegisterFactory", new | taken, 422, "address-exists")
    await ask("approver", "RegisterFactory", new | {"initialBalance": 600}, 422, "command-schema")
    await people.done("approver", "RegisterFactory", new)
    suspension = {"member": "Factory05", "suspended": True, "reason": "unpaid-dues"}
    text = people.signed("approver", "SuspendMember", suspension, book="register")
    status, said = await people.send(text, "commands")
    assert status == 200
    after = {"after": said["position"]}
    await ask("Factory05", "CreateTrade", TRADE, 422, "member-suspended", **after)


async def refuse_energy(people: People) -> None:
    ask = people.refused
    await ask("Factory01", "MintEnergy", MINT, 422, "wrong-role")
    await ask("approver", "MintEnergy", MINT | {"factoryId": "F99"}, 404, "unknown-party")
    await ask("approver", "MintEnergy", MINT | {"factoryId": "Factory05"}, 422, "party-suspended")
    await ask("approver", "MintEnergy", MINT | {"amount": "0"}, 422, "amount-not-positive")
    most = {"amount": "9007199254740.991"}
    await ask("approver", "MintEnergy", MINT | most, 422, "too-much-energy")
    money = {"member": "Factory01", "asset": "TOKEN", "amount_stroops": 2**53 - 1}
    await ask("approver", "DepositFunds", money, 422, "too-much-money")
    await ask("Factory04", "TransferEnergy", GIFT, 422, "wrong-signer")
    away = {"toFactoryId": "Factory01"}
    await ask("Factory01", "TransferEnergy", GIFT | away, 422, "same-party")
    await ask("Factory01", "TransferEnergy", GIFT | {"amount": "1301"}, 422, "too-little-energy")
    used = {"factoryId": "Factory01", "amount": "1300.001"}
    await ask("Factory01", "RetireEnergy", used, 422, "too-little-energy")
    await ask("Factory04", "RetireEnergy", used, 422, "wrong-signer")


async def refuse_trades(people: People) -> None:
    create: list[tuple[dict[str, Any], int, str]] = [
        ({"buyerId": "Factory01"}, 422, "same-party"),
        ({"buyerId": "F99"}, 404, "unknown-party"),
        ({"buyerId": "Factory05"}, 422, "party-suspended"),
        ({"sellerId": "Factory04"}, 422, "wrong-signer"),
        ({"amount": "0"}, 422, "amount-not-positive"),
        ({"amount": "-1"}, 422, "command-schema"),
        ({"amount": 10}, 422, "command-schema"),
        ({"amount": 10.5}, 422, "command-schema"),
        ({"amount": "0.0001"}, 422, "command-schema"),
        ({"pricePerUnit": "0"}, 422, "price-not-positive"),
        ({"pricePerUnit": "-0.08"}, 422, "command-schema"),
        ({"pricePerUnit": "100000.0000001"}, 422, "out-of-range"),
        ({"amount": "0.001", "pricePerUnit": "0.0000001"}, 422, "total-rounds-to-zero"),
        ({"amount": "1300.001"}, 422, "too-little-energy"),
        ({"asset": f"USDC:{people.keys['approver'].address}"}, 422, "not-book-money"),
        ({"expiresAt": "2020-01-01T00:00:00Z"}, 422, "expiry-past"),
        ({"expiresAt": "2099-01-01T00:00:00Z"}, 422, "expiry-too-far"),
        ({"tradeId": "TRADE001"}, 422, "trade-exists"),
    ]
    for changes, status, code in create:
        await people.refused("Factory01", "CreateTrade", TRADE | changes, status, code)
    await people.done("Factory01", "CreateTrade", TRADE | {"amount": "1200"})
    again = TRADE | {"tradeId": "TRADE003", "amount": "101"}
    await people.refused("Factory01", "CreateTrade", again, 422, "too-little-energy")
    dear = {"tradeId": "TRADE004", "amount": "100", "pricePerUnit": "3"}
    await people.done("Factory01", "CreateTrade", TRADE | dear)
    execute: list[tuple[str, str, int, str]] = [
        ("Factory04", "TRADE099", 404, "unknown-trade"),
        ("Factory04", "TRADE001", 422, "trade-closed"),
        ("Factory02", "TRADE002", 422, "wrong-signer"),
        ("Factory01", "TRADE002", 422, "wrong-signer"),
        ("Factory04", "TRADE004", 422, "insufficient-funds"),
    ]
    for member, trade, status, code in execute:
        await people.refused(member, "ExecuteTrade", {"tradeId": trade}, status, code)
    ended = {"tradeId": "TRADE002"}
    await people.refused("Factory02", "CancelTrade", ended, 422, "wrong-signer")
    await people.done("Factory04", "CancelTrade", ended)
    await people.refused("Factory04", "ExecuteTrade", ended, 422, "trade-closed")
    await people.refused("Factory01", "CancelTrade", ended, 422, "trade-closed")


async def refuse_orders(people: People) -> None:
    ask, offer = people.refused, {"side": "offer"}
    odd, far = SLOT + timedelta(seconds=1), SLOT + timedelta(days=8)
    past = SLOT - timedelta(days=1)
    rows: list[tuple[dict[str, Any], str]] = [
        ({"slot": format_instant(odd)}, "not-a-slot"),
        ({"slot": format_instant(far)}, "slot-too-far"),
        ({"slot": format_instant(past)}, "slot-closed"),
        ({"amount": "0"}, "amount-not-positive"),
        ({"pricePerUnit": "0.0000999"}, "price-too-low"),
        ({"pricePerUnit": "200000"}, "out-of-range"),
        ({"amount": "100000000"}, "insufficient-funds"),
        (offer, "not-minted-in-slot"),
    ]
    for changes, code in rows:
        await ask("Factory02", "PlaceOrder", ORDER | changes, 422, code)
    for number in range(1, 21):
        await people.done("Factory02", "PlaceOrder", ORDER | {"orderId": f"O{number}"})
    await ask("Factory02", "PlaceOrder", ORDER, 422, "order-exists")
    await ask("Factory02", "PlaceOrder", ORDER | {"orderId": "O21"}, 422, "too-many-orders")
    new = {"orderId": "O22"} | offer
    await ask("Factory02", "PlaceOrder", ORDER | new, 422, "own-order-crosses")
    await ask("Factory02", "WithdrawOrder", {"orderId": "O99"}, 404, "unknown-order")
    await ask("Factory04", "WithdrawOrder", {"orderId": "O1"}, 422, "not-your-order")
    await people.done("Factory02", "WithdrawOrder", {"orderId": "O1"})
    await ask("Factory02", "WithdrawOrder", {"orderId": "O1"}, 422, "order-closed")


async def refuse_transfers(people: People) -> None:
    async def ask(member: str, command: str, body: dict[str, Any], status: int, code: str) -> None:
        await people.refused(member, command, body, status, code)

    def held(name: str, *legs: dict[str, Any], **more: str) -> dict[str, Any]:
        return {"transfer": name, "legs": legs, "expires_at": UNTIL} | more

    own, known = "Factory04", {"transfer": "T1"}
    await ask(own, "ReserveTransfer", held("T1", TOKENS, to_book="pilot"), 422, "same-book")
    await ask(own, "ReserveTransfer", held("T1", TOKENS, to_book="moon"), 404, "unknown-book")
    await people.done(own, "ReserveTransfer", held("T1", TOKENS))
    await people.done(own, "ReserveTransfer", held("T2", TOKENS, ENERGY))
    await ask(own, "ReserveTransfer", held("T1", TOKENS), 422, "transfer-exists")
    away = {"to_member": own}
    await ask(own, "TransferFunds", {"transfer": "T3", "legs": [TOKENS | away]}, 422, "same-party")
    await ask(own, "PostTransfer", known, 422, "wrong-signer")
    await ask("Factory02", "PostTransfer", {"transfer": "T9"}, 404, "unknown-transfer")
    await ask("Factory02", "PostTransfer", known | {"amount_stroops": 101}, 422, "more-than-held")
    await ask("Factory02", "PostTransfer", known | {"energy_wh": 1}, 422, "other-kind")
    await ask(
        "Factory02", "PostTransfer", {"transfer": "T2", "amount_stroops": 1}, 422, "not-one-leg"
    )
    why = {"reason": "by mistake"}
    await ask("approver", "ReverseTransfer", known | why, 422, "transfer-not-posted")
    await people.done("Factory02", "PostTransfer", known)
    await ask("Factory02", "VoidTransfer", known, 422, "transfer-closed")
    await people.done("Factory02", "VoidTransfer", {"transfer": "T2"})
    await ask("approver", "ReverseTransfer", {"transfer": "T2"} | why, 422, "not-reversible")
    await people.done("approver", "ReverseTransfer", known | why)
    await ask("approver", "ReverseTransfer", known | why, 422, "transfer-reversed")


async def refuse_commands(people: People) -> None:
    """What stands around a body."""
    ask, now = people.refused, int(NOW.timestamp())
    strange = SigningKey(os.urandom(32))
    rows: list[tuple[dict[str, Any], str]] = [
        ({"key": strange}, "wrong-key"),
        ({"member": "nobody"}, "unknown-member"),
        ({"nbf": now - 7_200, "exp": now - 3_600}, "expired"),
        ({"nbf": now + 3_600, "exp": now + 7_200}, "not-valid-yet"),
        ({"deployment": "elsewhere"}, "wrong-deployment"),
        ({"service": "nobody"}, "unknown-service"),
        ({"book": "*"}, "invalid-book"),
        ({"command": "ExecuteTrade", "body": {"tradeId": "TRADE004"}}, "wrong-command"),
    ]
    for claims, code in rows:
        await ask("Factory01", "CreateTrade", TRADE, 422, code, **claims)
    await ask("Factory01", "CreateTrade", TRADE, 409, "wrong-service", book="register")
    body = {"factoryId": "Factory01", "amount": "1"}
    first = people.signed("Factory01", "RetireEnergy", body, id="once")
    assert await people.send(first, "energy/retire") == await people.send(first, "energy/retire")
    await ask("Factory01", "RetireEnergy", body | {"amount": "2"}, 422, "id-reused", id="once")
    head, payload, _ = first.split(".")
    forged = f"{head}.{payload}.{people.signed('Factory01', 'RetireEnergy', body).split('.')[2]}"
    for text, code in ((forged, "bad-signature"), ("no.such.text", "not-a-command")):
        status, said = await people.send(text, "energy/retire")
        assert (status // 100, said["code"]) == (4, code)
        people.heard.add(code)


async def refuse_everything(people: People) -> None:
    """Ask in vain for everything; what an earlier part leaves, a later one builds on."""
    await refuse_registrations(people)
    await refuse_energy(people)
    await refuse_trades(people)
    await refuse_orders(people)
    await refuse_transfers(people)
    await refuse_commands(people)
