"""Who may do what at the broker: every forbidden write and request fails, for every user.

Each attack is made for real against the installation's own configuration, on every stream; then
the bootstrap's users look into the vaults. A last part shows that the same requests would do harm
if they arrived, so that their failing means something.
"""

import asyncio
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from heliograph.broker import (
    BOOTSTRAP_EDGE,
    GATEWAY,
    INGEST_EDGE,
    OPERATOR,
    READ_REQUESTS,
    Listeners,
    configuration,
    users,
)
from heliograph.errors import StackError
from heliograph.layout import (
    COMMANDED,
    INTAKE,
    REFUSALS,
    WRITERS_AND_READERS,
    device_user,
    fact_vaults,
)
from libs.eventstore import Frame, JetStreamStore, NotPermitted
from tests.embedded.attacks import (
    EVERYBODY,
    MANAGING,
    delivery_targets,
    forbidden_requests,
    reads,
    request,
    writes,
)
from tests.embedded.town import LAYOUT, VAULTS, BrokerProcess, Town, differing, subject_in


def test_the_table_of_readers_is_the_contract() -> None:
    """Written out by hand once, so that a slip in the derivation shows."""
    by_writer = {
        "ingest": {"READINGS_0", "READINGS_1", "METERS_0", "METERS_1", "REFUSALS"},
        "oracle": {"PRICES"},
        "ledger": {"MEMBERS", "LEDGER_pilot", "LEDGER_second"},
        "billing": {"BILLING_pilot", "BILLING_second"},
        "anchor": {"ANCHORS"},
        "projection": set(),
        "auditor": set(),
    }
    assert {user: writes(user) for user in WRITERS_AND_READERS} == by_writer
    facts = {vault.stream for vault in fact_vaults(LAYOUT)}
    readings, meters = {"READINGS_0", "READINGS_1"}, {"METERS_0", "METERS_1"}
    ledger, billing = by_writer["ledger"] - {"MEMBERS"}, by_writer["billing"]
    assert {user: reads(user) for user in WRITERS_AND_READERS} == {
        "ingest": readings | meters | {"MEMBERS", "PRICES"},
        "oracle": readings | {"MEMBERS", "PRICES", "ANCHORS"} | ledger | billing,
        "ledger": readings | meters | {"MEMBERS", "PRICES"} | ledger | billing,
        "billing": readings | meters | {"MEMBERS", "PRICES"} | ledger | billing,
        "anchor": facts,
        "projection": facts | {"REFUSALS"},
        "auditor": facts | {"REFUSALS"},
    }


async def test_nobody_appends_to_a_stream_of_another(town: Town) -> None:
    for user in EVERYBODY:
        before = await town.census()
        client = await town.enter(user)
        for stream in VAULTS.keys() - writes(user):
            await client.publish(subject_in(VAULTS[stream]), b"{}")
            await client.publish(f"VAULT_{stream}.{subject_in(VAULTS[stream])}", b"{}")
        await client.publish("intake.rooftop.pv-1", b"{}")
        await town.settle(user)
        assert not differing(before, await town.census()), user


async def test_no_forbidden_request_is_answered(town: Town) -> None:
    for user in EVERYBODY:
        before = await town.census()
        answers = await town.answered(user, forbidden_requests(user))
        assert not answers, user
        assert not differing(before, await town.census()), user


async def test_every_granted_request_is_answered(town: Town) -> None:
    for user in WRITERS_AND_READERS:
        config = {"name": "granted", "ack_policy": "none", "mem_storage": True}
        for stream in reads(user):
            subject = f"FACTS.API.CONSUMER.CREATE.{stream}.granted"
            answer = await town.ask(user, subject, {"stream_name": stream, "config": config})
            assert answer["num_pending"] >= 1, answer
        asked = [
            request(name.replace(">", "granted"), stream, "FACTS.API")
            for name, _ in READ_REQUESTS
            for stream in reads(user)
            if not name.startswith(("CONSUMER.CREATE", "CONSUMER.DELETE"))
        ]
        answers = await town.answered(user, asked)
        assert answers.keys() == {subject for subject, _ in asked}, user
        assert all(b"error" not in answer for answer in answers.values()), user
        for stream in reads(user):
            answer = await town.ask(user, f"FACTS.API.CONSUMER.DELETE.{stream}.granted")
            assert answer["success"], answer


async def test_writers_append_in_atomic_batches_and_read_them(broker: BrokerProcess) -> None:
    for stream, vault in VAULTS.items():
        if stream == REFUSALS:
            continue
        store = await JetStreamStore.connect(
            broker.url, vault.writer, broker.passwords[vault.writer], api_prefix="FACTS.API"
        )
        end = await store.end(stream)
        subject = subject_in(vault, "batch", "Batch")
        assert await store.append(stream, [Frame(subject, b"1")] * 3, expected=end) == end + 3
        seen = [
            item async for batch in store.read(stream, after=end, until=end + 3) for item in batch
        ]
        assert [item.subject for item in seen] == [subject] * 3
        await store.close()


async def test_the_auditor_reads_every_fact_stream_and_appends_to_none(
    broker: BrokerProcess,
) -> None:
    store = await JetStreamStore.connect(
        broker.url, "auditor", broker.passwords["auditor"], api_prefix="FACTS.API"
    )
    for stream in VAULTS:
        end = await store.end(stream)
        seen = [item async for batch in store.read(stream, until=end) for item in batch]
        assert len(seen) == end
    end = await store.end("MEMBERS")
    with pytest.raises(NotPermitted):
        await store.append("MEMBERS", [Frame("members.evil.Evil", b"{}")], expected=end)
    await store.close()


async def test_no_answer_lands_in_a_stream_by_its_reply_subject(town: Town) -> None:
    """The server's own answers to whatever a user may ask, sent to a subject of each stream."""
    refused = {"Nats-Expected-Last-Sequence": "999999"}
    for user in EVERYBODY:
        before = await town.census()
        client = await town.enter(user)
        asked = [
            request(name, stream, "FACTS.API")
            for name, _ in READ_REQUESTS
            for stream in reads(user)
        ]
        if user == INGEST_EDGE:
            asked = [
                request("STREAM.INFO.{s}", INTAKE),
                request("CONSUMER.INFO.{s}.ingest-0", INTAKE),
            ]
        for target in map(subject_in, VAULTS.values()):
            for subject, body in asked:
                await client.publish(subject, body, reply=target)
            for stream in writes(user):
                own = subject_in(VAULTS[stream], "own", "Own")
                await client.publish(own, b"{}", reply=target, headers=refused)
            if user == GATEWAY:
                for service in COMMANDED:
                    await client.publish(f"commands.{service}.pilot", b"{}", reply=target)
        await town.settle(user)
        assert not differing(before, await town.census()), user


async def test_an_acknowledgement_lands_nowhere_by_its_reply_subject(town: Town) -> None:
    """As before, for appends that are stored: they count once, and their answers not at all."""
    for user in WRITERS_AND_READERS:
        before = await town.census()
        client = await town.enter(user)
        for stream in writes(user):
            own = subject_in(VAULTS[stream], "own", "Own")
            for vault in VAULTS.values():
                await client.publish(own, b"{}", reply=subject_in(vault))
        await town.settle(user)
        after = await town.census()
        assert set(differing(before, after)) == writes(user)
        for stream in writes(user):
            assert after[stream][0] - before[stream][0] == len(VAULTS), stream


async def test_no_trace_of_a_message_lands_in_a_stream_of_another(town: Town) -> None:
    """A header asks the server to report a message's way to a subject."""
    for user in EVERYBODY:
        before = await town.census()
        client = await town.enter(user)
        asked = [request("STREAM.INFO.{s}", stream, "FACTS.API")[0] for stream in reads(user)]
        asked += [subject_in(VAULTS[stream], "own", "Own") for stream in writes(user)]
        for vault in VAULTS.values():
            trace = {"Nats-Trace-Dest": subject_in(vault), "Nats-Expected-Last-Sequence": "999999"}
            for subject in asked:
                await client.publish(subject, b"", headers=trace)
                await client.publish(subject, b"", headers={**trace, "Nats-Trace-Only": "true"})
        await town.settle(user)
        assert set(differing(before, await town.census())) <= writes(user), user


async def test_no_consumer_delivers_into_a_stream_or_to_the_api(town: Town) -> None:
    """A push consumer whose messages would be facts of another, or requests of the vault itself.

    Without their bodies (`headers_only`) they would be the requests to empty or delete the stream.
    """
    for user in WRITERS_AND_READERS:
        before = await town.census()
        attacks: dict[str, dict[str, object]] = {}
        for stream in reads(user):
            for number, target in enumerate(delivery_targets(stream)):
                config: dict[str, object] = {"name": f"push-{number}", "ack_policy": "none"}
                config |= {"deliver_subject": target, "headers_only": True}
                config |= {"inactive_threshold": 10**9, "mem_storage": True}
                attacks[f"{stream}.push-{number}"] = {"stream_name": stream, "config": config}
        answers = await asyncio.gather(
            *(
                town.ask(user, f"FACTS.API.CONSUMER.CREATE.{name}", body)
                for name, body in attacks.items()
            )
        )
        cycles = [answer for answer in answers if "error" in answer]
        assert len(cycles) == sum(len(VAULTS[stream].spec.subjects) for stream in reads(user))
        assert all("cycle" in answer["error"]["description"] for answer in cycles), cycles
        await town.settle(user)
        assert not differing(before, await town.census()), user
        gone = [(f"FACTS.API.CONSUMER.DELETE.{name}", b"") for name in attacks]
        await town.answered(user, gone)


@pytest.mark.parametrize("service", COMMANDED)
async def test_a_command_is_answered_and_its_answer_lands_nowhere_else(
    town: Town, service: str
) -> None:
    before = await town.census()
    responder = await town.enter(service)

    async def answer(message: Msg) -> None:
        await message.respond(b"answer to " + message.data)

    await responder.subscribe(f"commands.{service}.pilot", cb=answer)
    await responder.flush()
    gateway = await town.enter(GATEWAY)
    reply = await gateway.request(f"commands.{service}.pilot", b"question", timeout=5)
    assert reply.data == b"answer to question"
    for vault in VAULTS.values():
        await gateway.publish(f"commands.{service}.pilot", b"evil", reply=subject_in(vault))
    await gateway.publish(f"commands.{service}.pilot", b"evil", reply="intake.rooftop.pv-1")
    await town.settle()
    assert not differing(before, await town.census())


async def test_only_the_gateway_sends_commands(town: Town) -> None:
    heard: list[str] = []

    async def hear(message: Msg) -> None:
        heard.append(message.data.decode())

    for service in COMMANDED:
        await (await town.enter(service)).subscribe(f"commands.{service}.>", cb=hear)
    for user in EVERYBODY:
        client = await town.enter(user)
        for service in COMMANDED:
            await client.publish(f"commands.{service}.pilot", user.encode())
    await town.settle()
    assert heard == [GATEWAY] * len(COMMANDED)


async def test_only_processes_of_one_service_ask_each_other_who_holds_the_pen(town: Town) -> None:
    heard: list[str] = []

    async def hear(message: Msg) -> None:
        heard.append(f"{message.subject} by {message.data.decode()}")
        await message.respond(b"I do")

    for service in COMMANDED:
        await (await town.enter(service)).subscribe(f"lease.{service}.>", cb=hear)
    await town.settle()
    for user in EVERYBODY:
        client = await town.enter(user)
        for service in COMMANDED:
            await client.publish(f"lease.{service}.STREAM", user.encode(), reply=f"_INBOX.{user}")
    await town.settle()
    assert sorted(heard) == sorted(f"lease.{service}.STREAM by {service}" for service in COMMANDED)


async def test_nobody_listens_to_more_than_own_inbox_and_commands(town: Town) -> None:
    for user in EVERYBODY:
        town.complaints.clear()
        client = await town.enter(user)
        subjects = [
            ">",
            "_R_.>",
            "$JS.>",
            "$SYS.>",
            "readings.>",
            "ledger.>",
            "intake.>",
            "$MQTT.>",
        ]
        others = [service for service in (*COMMANDED, "anchor") if service != user]
        subjects += [f"{kind}.{service}.>" for service in others for kind in ("commands", "lease")]
        for subject in subjects:
            await client.subscribe(subject)
        await town.settle(user)
        refused = [text for text in town.complaints if "for subscription" in text.lower()]
        assert len(refused) == len(subjects), (user, refused)


async def test_a_wrong_password_is_refused(broker: BrokerProcess) -> None:
    for user in users(LAYOUT):
        assert not await broker.admits(user, "wrong"), user
        expected = not user.startswith("device-")  # a device has no way in but MQTT
        assert await broker.admits(user, broker.passwords[user]) == expected, user


async def test_nobody_comes_in_without_a_name(broker: BrokerProcess) -> None:
    assert not await broker.admits(None, None)


def test_every_user_is_covered_here() -> None:
    devices = {device_user(site) for site in LAYOUT.sites}
    bootstrap = {BOOTSTRAP_EDGE, *(vault.user for vault in VAULTS.values())}
    assert set(users(LAYOUT)) == {*EVERYBODY, OPERATOR} | devices | bootstrap


@pytest.mark.parametrize("edge", ["receipts", "acks"])
async def test_the_second_connection_of_ingest_takes_reports(town: Town, edge: str) -> None:
    sender, ingest = await town.enter(BOOTSTRAP_EDGE), await town.enter(INGEST_EDGE)
    before = (await town.census())[INTAKE][0]
    await sender.request("intake.rooftop.pv-1", b"report", timeout=5)
    inbox = ingest.new_inbox()
    came = await ingest.subscribe(inbox)
    subject = f"$JS.API.CONSUMER.MSG.NEXT.{INTAKE}.ingest-"
    for partition in range(LAYOUT.partitions):
        await ingest.publish(f"{subject}{partition}", b'{"batch":1,"expires":2000000000}', inbox)
    message = await came.next_msg(timeout=5)
    assert message.data == b"report"
    assert message.subject.endswith(".rooftop.pv-1")
    if edge == "receipts":
        await ingest.publish("receipts.rooftop.pv-1", b"{}")
    await ingest.publish(message.reply, b"+ACK")
    await town.settle()
    assert (await town.census())[INTAKE][0] == before
    assert not town.complaints


# That the attacks above are real ones: where they arrive, they do harm.


async def test_the_same_requests_work_for_the_bootstrap(town: Town) -> None:
    vault = VAULTS["READINGS_1"]
    before = await town.census()
    asked = [request(name, vault.stream) for name in MANAGING]
    harmful = (
        "STREAM.DELETE",
        "STREAM.UPDATE",
        "STREAM.RESTORE",
        "STREAM.PURGE",
        "STREAM.SNAPSHOT",
    )
    answers = await town.answered(
        vault.user,
        [(s, b) for s, b in asked if not s.startswith(tuple(f"$JS.API.{h}" for h in harmful))],
    )
    assert len(answers) >= len(MANAGING) - len(harmful) - 1, answers.keys()
    assert (await town.ask(vault.user, f"$JS.API.STREAM.PURGE.{vault.stream}"))["success"]
    assert differing(before, await town.census()) == [vault.stream]
    created = [name for name in answers if "CONSUMER" in name]
    assert created
    for name in (await town.ask(vault.user, f"$JS.API.CONSUMER.NAMES.{vault.stream}"))["consumers"]:
        await town.ask(vault.user, f"$JS.API.CONSUMER.DELETE.{vault.stream}.{name}")


async def test_inside_one_account_a_reply_subject_does_write(town: Town) -> None:
    """The reason for the vaults, shown in one: the answer to a question is stored as a fact."""
    vault = VAULTS["READINGS_1"]
    before = (await town.census())[vault.stream][1]
    client = await town.enter(vault.user)
    await client.publish(f"$JS.API.STREAM.INFO.{vault.stream}", b"", reply=subject_in(vault))
    await town.settle()
    assert (await town.census())[vault.stream][1] == before + 1


async def test_facts_can_neither_be_deleted_nor_purged_even_by_the_bootstrap(town: Town) -> None:
    before = await town.census()
    for stream, vault in VAULTS.items():
        answer = await town.ask(vault.user, f"$JS.API.STREAM.MSG.DELETE.{stream}", {"seq": 1})
        assert "not permitted" in answer["error"]["description"], answer
        if not stream.startswith("READINGS"):  # the trim job purges them
            answer = await town.ask(vault.user, f"$JS.API.STREAM.PURGE.{stream}")
            assert "not permitted" in answer["error"]["description"], answer
    assert not differing(before, await town.census())


async def test_a_reader_cannot_make_consumers_without_end(town: Town) -> None:
    """What a reader leaves behind is bounded, goes by itself, and readers get on afterwards."""
    stream, vault = next((name, vault) for name, vault in VAULTS.items() if name != REFUSALS)
    limit = vault.spec.max_consumers
    assert limit is not None
    names = [f"greedy-{number}" for number in range(limit + 10)]
    made = []
    for name in names:
        config = {"durable_name": name, "name": name, "ack_policy": "none"}
        asked = f"FACTS.API.CONSUMER.CREATE.{stream}.{name}"
        made.append(await town.ask("auditor", asked, {"stream_name": stream, "config": config}))
    refused = [answer["error"]["err_code"] for answer in made if "error" in answer]
    assert refused == [10026] * 10
    assert {answer["config"]["inactive_threshold"] for answer in made[:limit]} == {300 * 10**9}

    passwords = town.broker.passwords
    store = await JetStreamStore.connect(
        town.broker.url, vault.writer, passwords[vault.writer], "test", api_prefix="FACTS.API"
    )
    try:
        end = await store.end(stream)

        async def read() -> int:
            return sum([len(batch) async for batch in store.read(stream, until=end)])

        reading = asyncio.ensure_future(read())
        await asyncio.sleep(0.5)
        assert not reading.done(), "the reader waits until there is room"
        for name in names[:limit]:
            await town.ask("auditor", f"FACTS.API.CONSUMER.DELETE.{stream}.{name}")
        async with asyncio.timeout(10):
            assert await reading == end
    finally:
        await store.close()


async def test_no_consumer_of_a_fact_stream_stays_for_ever(town: Town) -> None:
    for stream in reads("auditor"):
        config = {"durable_name": "stay", "name": "stay", "inactive_threshold": 10**15}
        body = {"stream_name": stream, "config": {**config, "ack_policy": "none"}}
        answer = await town.ask("auditor", f"FACTS.API.CONSUMER.CREATE.{stream}.stay", body)
        assert "inactive threshold exceeds" in answer["error"]["description"], answer


def test_a_broker_keeps_its_data_in_a_folder_with_any_letters(session_path: Path) -> None:
    folder = session_path / 'Dächer "süd" 屋根'
    folder.mkdir()
    process = BrokerProcess(folder)
    process.launch()
    try:
        done = asyncio.run(process.declare())
    finally:
        process.stop()
    assert set(VAULTS) <= done.keys()
    assert (folder / "streams").is_dir()


@pytest.mark.parametrize("name", ["a\nb", "a\x7fb", "a\x85b", "a\udcfcb"])
def test_a_folder_that_the_configuration_cannot_hold_is_refused(name: str) -> None:
    listeners = Listeners(client_port=1, monitor_port=2, mqtt_port=3, store=f"/data/{name}")
    with pytest.raises(StackError, match="takes no control characters"):
        configuration(LAYOUT, listeners, dict.fromkeys(users(LAYOUT), "secret"))
