"""Which streams one installation has, who writes each and who may read it.

Everything here follows from the one table, `libs.events.subjects.FAMILIES`. The broker's
configuration (`heliograph.broker`) and the declaration of streams (`heliograph.bootstrap`) both
start from this, so that they cannot disagree. Pure: it connects to nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from libs.events.ids import is_id
from libs.events.subjects import FAMILIES, StreamFamily
from libs.events.trading import book_key
from libs.eventstore import StreamSpec

WRITERS_AND_READERS: Final = (
    "ingest",
    "oracle",
    "billing",
    "ledger",
    "anchor",
    "projection",
    "auditor",
)
"""Every account that reaches fact streams; `auditor` is a subscriber who publishes nothing."""

READ_EVERYTHING: Final = frozenset({"anchor", "projection", "auditor"})
"""Accounts that may read every fact stream."""

COMMANDED: Final = ("ledger", "billing", "ingest", "oracle")
"""Services that take commands from the gateway."""

REFUSALS: Final = "REFUSALS"
"""The stream of refused reports: no facts, so it is not in the table."""

REFUSALS_READERS: Final = ("projection", "auditor")
"""Who may read REFUSALS."""

INTAKE: Final = "INTAKE"
"""The work queue of reports that have come in, in account EDGE."""

DEFAULT_SITES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"rooftop": ("pv-1", "home-1")}
)
"""The site that the embedded stack knows unless it is told others, with its meters."""

PARTITIONS_MAX: Final = 256
"""The most partitions of one installation."""

_KIB: Final = 1024
_MIB: Final = 1024 * _KIB
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What differs between installations. It is fixed before the first fact, but for sites."""

    books: tuple[str, ...] = ("pilot",)
    """The communities, one LEDGER and one BILLING stream each."""
    partitions: int = 1
    """Number of partitions of READINGS and METERS, 1 to 256; it can never be changed."""
    sites: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: DEFAULT_SITES)
    """Sites with a device that logs in by password, and the meters of each."""
    replicas: int = 1
    """Servers that keep a copy of each stream: 1, 3 or 5."""

    def __post_init__(self) -> None:
        """Refuse what could not stand in a subject.

        Raises:
            ValueError: A book, site or meter is no id, or a number is out of range.
        """
        names = [*self.books, *self.sites, *(m for meters in self.sites.values() for m in meters)]
        for name in names:
            if not is_id(name):
                raise ValueError(f"{name!r} is no id: letters, digits, _ and -, at most 64")
        if not all(is_id(book_key(book)) for book in self.books):
            raise ValueError("books: a name has at most 59 characters, as `book-<name>` is a key")
        if not all(self.sites.values()):
            raise ValueError("sites: each has at least one meter")
        if not self.books or len(set(self.books)) != len(self.books):
            raise ValueError("books: at least one, and none twice")
        if "register" in self.books:
            raise ValueError("books: register is the name of the book of members")
        if not 1 <= self.partitions <= PARTITIONS_MAX:
            raise ValueError(f"partitions: 1 to {PARTITIONS_MAX}")
        if self.replicas not in {1, 3, 5}:
            raise ValueError("replicas: 1, 3 or 5")

    def parts(self, family: StreamFamily) -> tuple[str, ...]:
        """Give the parts that a family's streams are told apart by; one empty part for one."""
        match family.parted_by:
            case "nothing":
                return ("",)
            case "book":
                return self.books
            case "partition":
                return tuple(str(number) for number in range(self.partitions))


@dataclass(frozen=True, slots=True)
class Vault:
    """One stream in the account of its own that nobody but the bootstrap logs in to."""

    spec: StreamSpec
    """How the stream is set up."""
    writer: str
    """The one account that may append."""
    readers: tuple[str, ...]
    """The accounts that may read."""

    @property
    def stream(self) -> str:
        """The stream's name."""
        return self.spec.name

    @property
    def account(self) -> str:
        """The account's name."""
        return f"VAULT_{self.stream}"

    @property
    def user(self) -> str:
        """The bootstrap's user in this account."""
        return f"bootstrap-{self.stream}"


def vaults(layout: Layout) -> tuple[Vault, ...]:
    """Give every vault of an installation: the fact streams by the table, and REFUSALS."""
    found = [
        Vault(
            StreamSpec(
                name=family.stream(part),
                subjects=family.subjects(part),
                description=f"Facts, appended by {family.writer} only.",
                replicas=layout.replicas,
                # The trim job (eventing contract, section 1) purges old readings as the
                # bootstrap user of their vault; no other fact is ever removed.
                deny_purge=family.name != "READINGS",
            ),
            family.writer,
            readers_of(family),
        )
        for family in FAMILIES.values()
        for part in layout.parts(family)
    ]
    return (*found, Vault(refusals_spec(layout), "ingest", REFUSALS_READERS))


def fact_vaults(layout: Layout) -> tuple[Vault, ...]:
    """Give the vaults of the fact streams alone."""
    return tuple(vault for vault in vaults(layout) if vault.stream != REFUSALS)


def readers_of(family: StreamFamily) -> tuple[str, ...]:
    """Give the accounts that may read a family's streams, in a fixed order."""
    may = {family.writer, *family.readers} | READ_EVERYTHING
    return tuple(name for name in WRITERS_AND_READERS if name in may)


def refusals_spec(layout: Layout) -> StreamSpec:
    """Give the settings of REFUSALS: no log without gaps, thirty days, the oldest gives way."""
    return StreamSpec(
        name=REFUSALS,
        subjects=("refusals.*.*",),
        description="Refused reports by partition and reason; hash and first bytes. No facts.",
        replicas=layout.replicas,
        max_age_s=30 * _DAY_S,
        max_bytes=256 * _MIB,
        max_msg_size=8 * _KIB,
        discard="old",
        allow_atomic=False,
    )


def intake_spec(layout: Layout) -> StreamSpec:
    """Give the settings of INTAKE.

    Kept in memory where several servers hold it. A single server would lose the stream itself, not
    only its reports, with every restart; so there it is a file that is written without waiting.
    """
    single = layout.replicas == 1
    return StreamSpec(
        name=INTAKE,
        subjects=("intake.*.*",),
        description="Reports on their way to ingest; losing them is harmless.",
        storage="file" if single else "memory",
        persist_mode="async" if single else "default",
        retention="workqueue",
        replicas=layout.replicas,
        max_bytes=64 * _MIB,
        max_msg_size=64 * _KIB,
        max_msgs_per_subject=1_000,
        discard_new_per_subject=True,
        deny_purge=False,
        allow_atomic=False,
        allow_direct=False,
        # One durable consumer per partition, which must outlive any pause of ingest.
        max_consumers=None,
        consumer_inactive_s=0,
        subject_transform=(
            "intake.*.*",
            f"intake.{{{{partition({layout.partitions},2)}}}}.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}",
        ),
    )


def intake_consumer(partition: int) -> dict[str, object]:
    """Give the settings of the consumer from which ingest takes one partition's reports."""
    return {
        "durable_name": f"ingest-{partition}",
        "name": f"ingest-{partition}",
        "description": f"Reports of partition {partition}, for ingest.",
        "filter_subject": f"intake.{partition}.>",
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": 30 * 10**9,
        "max_ack_pending": 5_000,
    }


def device_user(site: str) -> str:
    """Give the MQTT user of a site's device."""
    return f"device-{site}"
