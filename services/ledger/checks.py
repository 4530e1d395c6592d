"""What the rules of trades, transfers and the market ask in the same words. Pure.

Each check raises a refusal with a code of its own and the field of the command that is wrong.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from libs.events.pricing import Asset
from libs.events.trading import is_reserved_key
from libs.rules.authority import Authority, Order
from libs.rules.postings import Books
from libs.rules.trade_postings import ENERGY
from libs.runtime.failures import NotFound, Refused

OPEN_MAX = 10_000
"""Most open trades of one seller, and most reserved transfers of one payer: each takes some 3 KiB
of memory, and a stroop or a Wh is enough to make one."""

EXPIRY_S_MAX = 366 * 86_400
"""How far ahead something may expire, in seconds: a year, also a leap year."""


PART_MIN: Final = 100
"""What moves by itself clears at least one part in so many of what it is for; less waits for more.
Two who owe each other would hand the same stroop to and fro, each time as a fact."""


def is_enough(amount: int, wanted: int) -> bool:
    """Tell whether money that is there is worth a fact that nobody asked for.

    Args:
        amount: What is there, in stroops.
        wanted: What is open, in stroops.
    """
    return amount > 0 and wanted <= amount * PART_MIN


def check_open(count: int, code: str, field: str) -> None:
    """Refuse a member one more of what the book keeps in memory while it is open.

    Raises:
        Refused: By the code.
    """
    if count >= OPEN_MAX:
        raise Refused(code, f"at most {OPEN_MAX} of one member are open", field=field)


def check_name(name: str, field: str) -> None:
    """Refuse a name for a system or a holding that is a key of its own in the book's stream.

    Raises:
        Refused: Code `id-reserved`.
    """
    if is_reserved_key(name):
        raise Refused("id-reserved", f"nothing may be called {name}", field=field)


def check_id_unused(name: str, known: Collection[str]) -> None:
    """Refuse a command whose id names something that still stands.

    A command id is free again an hour after its window. What the first one led to may live longer:
    a second under the same name would take its place, and its money would be nobody's.

    Args:
        name: Signer and command id.
        known: What stands under such names.

    Raises:
        Refused: Code `id-used`.
    """
    if name in known:
        text = f"{name} still stands, from an earlier command: take another id"
        raise Refused("id-used", text, field="id")


def check_signer(order: Order, member: str, field: str) -> None:
    """Refuse unless the member himself signed.

    Raises:
        Refused: Code `wrong-signer`.
    """
    if order.signer.member != member:
        raise Refused("wrong-signer", f"{member} must sign it", field=field)


def check_party(authority: Authority, member: str, field: str) -> None:
    """Refuse a party that is not registered, or suspended.

    Raises:
        NotFound: Code `unknown-party`.
        Refused: Code `party-suspended`.
    """
    found = authority.member(member)
    if found is None:
        raise NotFound("unknown-party", f"{member} is not registered", field=field)
    if found.is_suspended:
        raise Refused("party-suspended", f"{member} is suspended", field=field)


def check_positive_energy(energy_wh: int, field: str = "body.amount") -> None:
    """Refuse an amount of nothing.

    Raises:
        Refused: Code `amount-not-positive`.
    """
    if energy_wh <= 0:
        raise Refused("amount-not-positive", "the amount must be above zero", field=field)


def check_book_money(asset: Asset, field: str) -> None:
    """Refuse an asset that lives on Stellar: a book moves only its own money by itself.

    Raises:
        Refused: Code `not-book-money`.
    """
    if ":" in asset:
        raise Refused("not-book-money", f"{asset} moves on Stellar only", field=field)


def check_energy(books: Books, member: str, energy_wh: int, field: str) -> None:
    """Refuse more energy than a member's free tokens.

    Raises:
        Refused: Code `too-little-energy`.
    """
    free = books.balance(ENERGY, f"kwh:{member}")
    if energy_wh > free:
        raise Refused("too-little-energy", f"{member} has {free} Wh that are free", field=field)


def check_money(books: Books, member: str, asset: Asset, amount: int, field: str) -> None:
    """Refuse more money than a member's wallet holds.

    Raises:
        Refused: Code `insufficient-funds`.
    """
    free = books.balance(f"U:{asset}", f"wallet:{member}")
    if amount > free:
        raise Refused(
            "insufficient-funds", f"the wallet of {member} holds {free} stroops", field=field
        )


def check_expiry(expires_at: datetime, now: datetime, field: str) -> None:
    """Refuse an expiry that is not ahead, or too far ahead.

    Raises:
        Refused: Code `expiry-past` or `expiry-too-far`.
    """
    if expires_at <= now:
        raise Refused("expiry-past", "it would have expired already", field=field)
    if expires_at - now > timedelta(seconds=EXPIRY_S_MAX):
        raise Refused("expiry-too-far", f"at most {EXPIRY_S_MAX // 86_400} days ahead", field=field)
