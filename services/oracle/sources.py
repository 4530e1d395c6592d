"""The sources of feeds: what is read where, how often, and under whose key.

A file of sources is TOML or JSON, by its ending:

    [[sources]]
    name = "day-ahead"
    feed = "spot"
    kind = "entsoe"
    place = "https://example.org/day-ahead.xml"
    asset = "EUR"
    member = "exchange"
    key_file = "exchange.key"
"""

import hashlib
import json
import tomllib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from libs.events.billing_commands import Observe
from libs.events.ids import Id, seed_of
from libs.events.jws import SigningKey
from libs.events.pricing import Asset, Observation
from libs.events.spelling import spell
from libs.runtime.failures import Refused
from services.oracle.adapters import ecb, entsoe, table
from services.oracle.adapters.quotes import within
from services.oracle.feeds import AHEAD_MAX_S, OLD_MAX_S

SOURCES_MAX: Final = 100
"""Most sources that one process reads."""

FILE_SIZE_MAX: Final = 1024 * 1024
"""Most bytes of a file of sources."""

SECRET_SIZE_MAX: Final = 1_024
"""Most bytes that are read of a key file, or of the file of a secret."""

COMMAND_ID_DIGITS: Final = 32
"""Hexadecimal digits of the hash that is a command's id."""

SourceKind = Literal["entsoe", "price-csv", "ecb", "rate-csv"]
"""How the document is written."""

Interval = Annotated[int, Field(ge=60, le=86_400)]


class Document(BaseModel):
    """What a document is about, and how it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    feed: Id
    """The feed."""
    kind: SourceKind
    """How it is written."""
    asset: Asset
    """What prices are in; of a rate what one unit of `base` is worth."""
    base: Asset | None = None
    """The currency that is converted; for rates only."""
    interval_s: Interval | None = None
    """Length of an interval in seconds, where a table of prices may have one line."""

    @model_validator(mode="after")
    def _check(self) -> "Document":
        is_rate = self.kind in {"ecb", "rate-csv"}
        if is_rate != (self.base is not None):
            raise ValueError("base: for a rate, and only for a rate")
        if self.interval_s is not None and self.kind != "price-csv":
            raise ValueError("interval_s: for a table of prices only")
        return self


class Source(Document):
    """A document that is read again and again."""

    name: Id
    """What it is called in logs."""
    member: Id
    """The member who observes."""
    key_file: Path
    """File of his key, as `heliograph keys new` makes it; relative to the file of sources."""
    place: Annotated[str, Field(min_length=1, max_length=2_000)]
    """Path of a file, relative to the file of sources, or an http(s) URL. In a URL `{today}`,
    `{tomorrow}` and `{day_after}` stand for days, UTC, such as 20260328, and `{secret}` for what
    stands in `secret_file`."""
    secret_file: Path | None = None
    """File of a token that the URL needs; relative to the file of sources."""
    every_s: Annotated[int, Field(ge=1, le=7 * 86_400)] = 3_600
    """Seconds between two looks."""

    @property
    def is_url(self) -> bool:
        """Whether it is fetched from the network."""
        return self.place.startswith(("http://", "https://"))

    def address(self, now: datetime) -> str:
        """The place with its days and its secret; not to be logged.

        Raises:
            Refused: The secret cannot be read.
        """
        if not self.is_url:
            return self.place
        days = {"today": 0, "tomorrow": 1, "day_after": 2}
        found = self.place
        for name, days_on in days.items():
            found = found.replace(f"{{{name}}}", f"{now + timedelta(days=days_on):%Y%m%d}")
        if self.secret_file is not None:
            found = found.replace("{secret}", _short_text(self.secret_file))
        return found

    def key(self) -> SigningKey:
        """Read the source's key.

        Raises:
            Refused: There is none in its file.
        """
        try:
            return SigningKey(seed_of(_short_text(self.key_file)))
        except ValueError as error:
            raise Refused("key-unreadable", f"{self.key_file}: {error}", field="key_file") from None


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: Annotated[tuple[Source, ...], Field(max_length=SOURCES_MAX)]


def read_sources(path: Path) -> tuple[Source, ...]:
    """Read a file of sources; paths in it are relative to its folder.

    Raises:
        Refused: It cannot be read, or a field breaks its rule; `field` names it.
    """
    try:
        with path.open("rb") as file:
            data = file.read(FILE_SIZE_MAX + 1)
        if len(data) > FILE_SIZE_MAX:
            raise Refused("sources-unreadable", f"{path} has more than {FILE_SIZE_MAX} bytes")
        text = data.decode("utf-8")
        found = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
        sources = _File.model_validate(found).sources
    except OSError as error:
        raise Refused("sources-unreadable", f"{path}: {error.strerror}") from error
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, fault["loc"])) or "sources"
        raise Refused("sources-wrong", f"{path}: {field}: {fault['msg']}", field=field) from error
    except ValueError as error:
        raise Refused("sources-unreadable", f"{path} is neither TOML nor JSON: {error}") from error
    names = [source.name for source in sources]
    if len(set(names)) != len(names):
        raise Refused("sources-wrong", f"{path}: each name stands once", field="sources.name")
    return tuple(_below(path.parent, source) for source in sources)


def read_document(document: Document, data: bytes) -> tuple[Observation, ...]:
    """Read the values of a document.

    Raises:
        Refused: A field breaks its rule; `field` names it.
    """
    currency = code_of(document.asset)
    if document.base is not None:
        base = code_of(document.base)
        read = ecb.read_rates if document.kind == "ecb" else table.read_rates
        return read(data, base=base, asset=currency)
    if document.kind == "entsoe":
        return entsoe.read_prices(data, currency=currency)
    return table.read_prices(data, currency=currency, interval_s=document.interval_s)


def to_observe(
    document: Document, data: bytes, *, now: datetime, since: datetime | None
) -> tuple[tuple[Observe, ...], bool]:
    """What a source is to say of a document.

    Args:
        document: What it is about.
        data: The document.
        now: By the clock of the rules.
        since: Intervals that start before have been observed; None: none has.

    Returns:
        The commands in their order, and whether they are all: not while there are intervals that
        lie too far ahead to be observed.

    Raises:
        Refused: The document breaks a rule.
    """
    found = read_document(document, data)
    oldest = now - timedelta(seconds=OLD_MAX_S)
    start = oldest if since is None else max(oldest, since)
    until = now + timedelta(seconds=AHEAD_MAX_S)
    digest = hashlib.sha256(data).hexdigest()
    bodies = tuple(
        Observe(feed=document.feed, observed=each, document_sha256=digest)
        for each in within(found, start=start, until=until)
    )
    last = found[-1]
    end = last.first_at + timedelta(seconds=last.interval_s * len(last.values))
    return bodies, end <= until


def command_id(body: Observe) -> str:
    """The id of a command that observes: the same for the same observation of one document."""
    return hashlib.sha256(spell(body)).hexdigest()[:COMMAND_ID_DIGITS]


def code_of(asset: str) -> str:
    """The code of an asset, which is that of its currency."""
    return asset.partition(":")[0]


def _below(folder: Path, source: Source) -> Source:
    changes: dict[str, object] = {"key_file": folder / source.key_file}
    if source.secret_file is not None:
        changes["secret_file"] = folder / source.secret_file
    if not source.is_url:
        changes["place"] = str(folder / source.place)
    return source.model_copy(update=changes)


def _short_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(SECRET_SIZE_MAX).decode("ascii", "replace").strip()
    except OSError as error:
        raise Refused("key-unreadable", f"{path}: {error.strerror}") from error
