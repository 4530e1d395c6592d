"""Ingest's wiring: settings in, a running service out."""

import asyncio
from functools import partial

from libs.events.subjects import MEMBERS, METERS, PRICES, READINGS
from libs.eventstore import JetStreamStore
from libs.rules.authority import Authority
from libs.runtime.broker import connect
from libs.runtime.clock import Clock
from libs.runtime.health import Health
from libs.runtime.orders import OrderDesk
from libs.runtime.process import Service
from libs.runtime.settings import SettingsError
from libs.runtime.writer import Writer
from libs.runtime.writing import WritingService, connect_store
from services.ingest.desk import PartitionDesk
from services.ingest.domain import Ingest
from services.ingest.intake import Intake
from services.ingest.lookback import LookBack
from services.ingest.meters import Meters
from services.ingest.pull import Puller
from services.ingest.refusals import Refusals
from services.ingest.settings import IngestSettings


async def build(settings: IngestSettings, clock: Clock, health: Health) -> Service:
    """Connect ingest: two writers, the desk for enrolments, and the intake.

    Raises:
        SettingsError: The partition is not one of the installation's.
        Transient: The broker is away.
    """
    if settings.partition >= settings.partitions:
        raise SettingsError(
            [f"HELIOGRAPH_INGEST_PARTITION: must be below PARTITIONS, {settings.partitions}."]
        )
    part = str(settings.partition)
    deployment, prices = settings.deployment, PRICES.stream("")
    store = await connect_store(settings, health)
    meters = Meters(
        authority=Authority(deployment=deployment, service="ingest", book=part),
        stream=METERS.stream(part),
        partition=settings.partition,
        partitions=settings.partitions,
    )
    meters_writer = Writer(
        store=store,
        rules=meters,
        deployment=deployment,
        stream=METERS.stream(part),
        inputs=(MEMBERS.stream(""), prices),
    )
    rules = Ingest(
        deployment=deployment,
        stream=READINGS.stream(part),
        authority=Authority(deployment=deployment, service="ingest", book=part),
    )
    writer = Writer(
        store=store,
        rules=rules,
        deployment=deployment,
        stream=READINGS.stream(part),
        inputs=(MEMBERS.stream(""), METERS.stream(part), prices),
    )
    desk = PartitionDesk(
        writer=writer,
        rules=rules,
        lookback=LookBack(store, deployment=deployment, partition=settings.partition),
        meters=OrderDesk(writer=meters_writer, authority=meters.authority, decide=meters.decide),
    )
    return WritingService(
        settings=settings,
        health=health,
        store=store,
        writers=(meters_writer, writer),
        desks={part: desk},
        tasks=(partial(_take_reports, settings, clock, health, store, writer, rules),),
    )


async def _take_reports(
    settings: IngestSettings,
    clock: Clock,
    health: Health,
    store: JetStreamStore,
    writer: Writer,
    rules: Ingest,
    stop: asyncio.Event,
) -> None:
    """Connect to the account of the devices and work off its intake."""
    edge = await connect(_edge_settings(settings), health, part="edge")
    try:
        intake = Intake(
            client=edge,
            puller=Puller(edge, f"ingest-{settings.partition}", settings.batch, health),
            writer=writer,
            rules=rules,
            refusals=Refusals(store.client, clock, health),
            lookback=LookBack(store, deployment=settings.deployment, partition=settings.partition),
            health=health,
        )
        await intake.run(stop)
    finally:
        await edge.close()


def _edge_settings(settings: IngestSettings) -> IngestSettings:
    """The same settings, but for the account of the devices."""
    return settings.model_copy(
        update={
            "nats_url": settings.edge_url or settings.nats_url,
            "nats_user": settings.edge_user,
            "nats_password": settings.edge_password,
        }
    )
