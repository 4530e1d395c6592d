"""The anchor's wiring: one writer of ANCHORS that follows every stream, and a courier."""

import asyncio
from collections.abc import Iterable, Sequence

from nacl.signing import SigningKey
from typing_extensions import override

from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.subjects import ANCHORS, BILLING, LEDGER, MEMBERS, METERS, PRICES, READINGS
from libs.proof.rounds import vkey_of
from libs.runtime.clock import Clock
from libs.runtime.health import Health
from libs.runtime.logs import get_logger
from libs.runtime.process import Service
from libs.runtime.writer import Writer
from libs.runtime.writing import WritingService, connect_store
from libs.stellar.gateway import HorizonGateway
from services.anchor.courier import Courier
from services.anchor.domain import Anchor
from services.anchor.faucet import DevnetFaucet
from services.anchor.ledgerwork import LedgerWork
from services.anchor.logs import Logs
from services.anchor.settings import AnchorSettings

_log = get_logger(__name__)


def streams_of(books: Iterable[str], partitions: int) -> tuple[str, ...]:
    """Every fact stream of an installation but the anchor's own."""
    parts = [str(part) for part in range(partitions)]
    return (
        *(READINGS.stream(part) for part in parts),
        *(METERS.stream(part) for part in parts),
        MEMBERS.stream(""),
        PRICES.stream(""),
        *(family.stream(book) for book in books for family in (LEDGER, BILLING)),
    )


class WatchedAnchor(Anchor):
    """The anchor's rules, telling the courier that a fact was folded."""

    def __init__(
        self,
        *,
        logs: Logs,
        stream: str,
        interval_s: int,
        log_seed: bytes,
        changed: asyncio.Event,
    ) -> None:
        """As the rules; and what is set after every fact."""
        super().__init__(logs=logs, stream=stream, interval_s=interval_s, log_seed=log_seed)
        self._changed = changed

    @override
    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold a fact and say so."""
        super().evolve(recorded)
        self._changed.set()


async def build(settings: AnchorSettings, clock: Clock, health: Health) -> Service:
    """Connect the anchor.

    Raises:
        Transient: The event store is away. Stellar may be away; the courier waits for it.
    """
    del clock  # time is a fact
    account_seed = settings.account_seed.get_secret_value()
    faucet = DevnetFaucet(settings.horizon_url, settings.network_passphrase)
    gateway = HorizonGateway(settings.horizon_url, network_passphrase=settings.network_passphrase)
    work = LedgerWork(
        gateway=gateway,
        account_seed=account_seed,
        network=settings.network_passphrase,
        fee_stroops_max=settings.fee_stroops_max,
        faucet=faucet if settings.friendbot else None,
    )
    own, inputs = ANCHORS.stream(""), streams_of(settings.all_books, settings.partitions)
    _announce(settings, health, work.account, (own, *inputs))
    store = await connect_store(settings, health)
    changed = asyncio.Event()
    rules = WatchedAnchor(
        logs=Logs(settings.deployment, (own, *inputs)),
        stream=own,
        interval_s=settings.interval_s,
        log_seed=settings.log_seed_bytes,
        changed=changed,
    )
    writer = Writer(
        store=store, rules=rules, deployment=settings.deployment, stream=own, inputs=inputs
    )
    courier = Courier(writer=writer, rules=rules, work=work, health=health, changed=changed)

    async def carry(stop: asyncio.Event) -> None:
        async with gateway:
            await courier.run(stop)

    return WritingService(
        settings=settings, health=health, store=store, writers=(writer,), tasks=(carry,)
    )


def _announce(
    settings: AnchorSettings, health: Health, account: str, streams: Sequence[str]
) -> None:
    """Say with which public keys this anchor speaks: they belong into trust files."""
    public_key = bytes(SigningKey(settings.log_seed_bytes).verify_key)
    vkeys = [vkey_of(settings.deployment, stream, public_key) for stream in sorted(streams)]
    health.set("identity", ok=True, detail=f"account {account}; log keys {' '.join(vkeys)}")
    _log.info(
        "anchor-identity", account=account, network=settings.network_passphrase, log_keys=vkeys
    )
