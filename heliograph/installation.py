"""The secrets of an installation that runs in containers: made once, then written for each reader.

One folder per reader, one file per secret, so that a container is given its own folder and sees
nobody else's secrets. Whether the folders are volumes or become Kubernetes Secrets is not known
here.

    write(Path("secrets"), plan)        # secrets/broker/nats.conf, secrets/anchor/log-seed, ...
"""

import base64
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from heliograph import broker, environment, postgres
from heliograph.credentials import Credentials, address_of_seed
from heliograph.errors import StackError
from heliograph.layout import WRITERS_AND_READERS, Layout, device_user, vaults

MASTER: Final = "master"
"""The folder that holds everything; only what makes the secrets ever sees it."""

ALL: Final = "credentials.json"
"""The file in it."""

POSTGRES_PORT: Final = 5432
"""Port of the database in every installation of containers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the secrets are made for."""

    layout: Layout
    """Books, partitions, sites."""
    listeners: broker.Listeners
    """Where the broker listens and keeps its data."""
    database: str
    """Host of the database."""
    played: bool = False
    """Whether the demonstration is played, whose keys are fixed and worth nothing."""
    owners: Mapping[str, int] = field(default_factory=dict)
    """User id to which a reader's files are given, by reader, `*` for all others."""


def write(out: Path, plan: Plan) -> bool:
    """Make what is missing and write every file anew; what was made once stays as it is.

    Args:
        out: The folder of folders; it is made.
        plan: What the secrets are for.

    Returns:
        Whether any secret was made.

    Raises:
        StackError: The folder cannot be used.
    """
    try:
        folder = out / MASTER
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        credentials = Credentials.load(folder / ALL)
        made = complete(credentials, plan)
        if made:
            credentials.save(folder / ALL)
        for reader, texts in files(credentials, plan).items():
            _write_folder(out / reader, texts, plan.owners.get(reader, plan.owners.get("*")))
    except OSError as error:
        raise StackError(f"The secrets cannot be written: {error}.") from error
    return made


def complete(credentials: Credentials, plan: Plan) -> bool:
    """Make the secrets that are missing; tell whether any was."""
    before = dict(credentials.seeds)
    if plan.played:
        credentials.seeds |= _played_seeds()
    users = (*broker.users(plan.layout), *postgres.ROLES, broker.CLUSTER_USER)
    return credentials.complete(users, environment.SEEDS) or credentials.seeds != before


def files(credentials: Credentials, plan: Plan) -> dict[str, dict[str, str]]:
    """Give the text of every file, by reader and file name.

    Args:
        credentials: Complete.
        plan: What they are for.
    """
    passwords, seeds = credentials.passwords, credentials.seeds
    site = next(iter(plan.layout.sites))

    def dsn(role: str, database: str = postgres.DATABASE) -> str:
        return f"postgresql://{role}:{passwords[role]}@{plan.database}:{POSTGRES_PORT}/{database}"

    services = (*WRITERS_AND_READERS, broker.GATEWAY)
    found = {name: {"nats-password": passwords[name]} for name in services}
    found["ingest"]["edge-password"] = passwords[broker.INGEST_EDGE]
    found["ledger"]["first-approver"] = address_of_seed(seeds["first-approver"])
    found["anchor"]["log-seed"] = seeds["anchor-log"]
    found["anchor"]["account-seed"] = seeds["anchor-account"]
    found["auditor"]["log-public-key"] = _public_key(seeds["anchor-log"])
    found["projection"]["postgres-dsn"] = dsn(postgres.OWNER)
    found["gateway"]["postgres-dsn"] = dsn(postgres.READER)
    found["teller"] = {"seed": seeds["teller"], "mqtt-password": passwords[device_user(site)]}
    found["broker"] = {
        "nats.conf": broker.configuration(plan.layout, plan.listeners, passwords),
    }
    found["postgres"] = {"password": passwords[postgres.SUPERUSER]}
    for role in (postgres.OWNER, postgres.READER):
        found[f"postgres-{role}"] = {"username": role, "password": passwords[role]}
    known = {name: passwords[name] for name in bootstrap_users(plan.layout)}
    found["bootstrap"] = {
        "credentials.json": json.dumps({"passwords": known}, indent=1),
        "postgres-dsn": dsn(postgres.SUPERUSER, "postgres"),
    }
    return found


def bootstrap_users(layout: Layout) -> tuple[str, ...]:
    """Give those whose passwords the bootstrap needs: its own, and the roles that it makes."""
    own = (vault.user for vault in vaults(layout))
    return (*own, broker.BOOTSTRAP_EDGE, postgres.OWNER, postgres.READER)


def own(folder: Path, user: int) -> None:
    """Give a folder of data, which must exist, to a user.

    Raises:
        StackError: It cannot be given away.
    """
    try:
        if folder.stat().st_uid != user:
            os.chown(folder, user, user)
    except OSError as error:
        raise StackError(f"{folder} cannot be given to user {user}: {error}.") from error


def _write_folder(folder: Path, texts: Mapping[str, str], owner: int | None) -> None:
    folder.mkdir(mode=0o755, exist_ok=True)
    for name, text in texts.items():
        part = folder / f".{name}.part"
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            if owner is not None:
                os.fchown(file.fileno(), owner, owner)
        part.replace(folder / name)


def _played_seeds() -> dict[str, str]:
    """The seeds of the players, as the demonstration has them."""
    from stellar_sdk import Keypair  # noqa: PLC0415 - only for a play

    from heliograph.demo import cast  # noqa: PLC0415 - as above

    return {
        "teller": base64.b64encode(cast.seed_of("teller")).decode("ascii"),
        "first-approver": Keypair.from_raw_ed25519_seed(cast.seed_of("approver")).secret,
    }


def _public_key(seed: str) -> str:
    from nacl.signing import SigningKey  # noqa: PLC0415 - only needed where keys are

    return base64.b64encode(bytes(SigningKey(base64.b64decode(seed)).verify_key)).decode("ascii")
