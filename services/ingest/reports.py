"""Opening what came over the intake: form, signature, schema. Pure, and safe to run on threads.

Nothing here knows a meter. What can be judged from the bytes alone is judged; whether the key may
speak for the meter, and whether the report fits what came before, is asked in `domain`.

Steps, in order; the first that fails names the reason:

1. `bad-topic`: the intake subject has a site and a meter, and both are ids.
2. `too-large`: at most 64 KiB.
3. `jws-<rule>`: the profile of `libs.events.jws` (form, header, key).
4. `bad-signature`: the key of the header signed it.
5. `jws-payload-json`: the payload is a JSON object in which no key stands twice.
6. `interval-not-multiple`, `bad-schema`: it is a `Report`.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from libs.events.errors import InvalidSignature
from libs.events.ids import is_id
from libs.events.jws import SIGNED_SIZE_MAX, Signed, parse, payload_of, verify_signature
from libs.events.metering import Report
from libs.events.quantities import INTEGER_MAX, parse_instant

INTAKE_TOKENS = 4
"""Tokens of an intake subject: `intake.<partition>.<site>.<meter>`."""

DETAIL_SIZE_MAX = 400
"""Most characters of a detail; a fact takes 500."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that a report breaks."""

    reason: str
    """Stable code in kebab case."""
    detail: str
    """The rule in words, with the field, for people."""


class Breached(Exception):
    """Raised by a rule that says no; carries the breach."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.breach = Breach(reason, detail[:DETAIL_SIZE_MAX])


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message of the intake, as far as it can be understood without any state."""

    site: str | None
    """Site of the intake subject; `None` when the subject is none of ours."""
    meter: str | None
    """Meter of the intake subject; `None` when the subject is none of ours."""
    sha256: str
    """Hash of the bytes as they came, 64 hexadecimal digits."""
    data: bytes
    """The bytes as they came."""
    kid: str | None = None
    """Address of the key that signed; `None` when no signature was verified."""
    seq: int | None = None
    """Sequence that the payload names, when it can be read."""
    report: Report | None = None
    """The report, when everything here was in order."""
    breach: Breach | None = None
    """The first step that failed."""

    @property
    def text(self) -> str:
        """The compact JWS; only when its signature was verified."""
        assert self.kid is not None
        return self.data.decode("ascii")


def open_report(subject: str, data: bytes) -> Incoming:
    """Take a message of the intake apart and verify its signature.

    Args:
        subject: The subject under which it is stored: `intake.<partition>.<site>.<meter>`.
        data: The message.

    Returns:
        What it says, or the first step that failed. Never raises for what a stranger sent.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    tokens = subject.split(".")
    if len(tokens) != INTAKE_TOKENS or not (is_id(tokens[2]) and is_id(tokens[3])):
        fault = "topic: must be intake/<site>/<meter>, both of letters, digits, _ and -, 1 to 64"
        return Incoming(None, None, sha256, data, breach=Breach("bad-topic", fault))
    site, meter = tokens[2:]
    if len(data) > SIGNED_SIZE_MAX:
        fault = f"message: has {len(data)} bytes, more than {SIGNED_SIZE_MAX}"
        return Incoming(site, meter, sha256, data, breach=Breach("too-large", fault))
    try:
        signed = parse(data, "hg-report+jws")
        verify_signature(signed)
    except InvalidSignature as error:
        return Incoming(site, meter, sha256, data, breach=_jws_breach(error))
    seq, report, breach = _read(signed)
    return Incoming(site, meter, sha256, data, signed.kid, seq, report, breach)


def _read(signed: Signed) -> tuple[int | None, Report | None, Breach | None]:
    """Steps 5 and 6: the sequence when it can be read, and the report or the breach."""
    try:
        payload = payload_of(signed)
    except InvalidSignature as error:
        return None, None, _jws_breach(error)
    seq = _sequence(payload)
    try:
        return seq, Report.model_validate_json(signed.payload), None
    except ValidationError as error:
        return seq, None, _schema_breach(payload, error)


def _jws_breach(error: InvalidSignature) -> Breach:
    reason = "bad-signature" if error.rule == "signature" else f"jws-{error.rule}"
    return Breach(reason, f"{error.rule}: {error}"[:DETAIL_SIZE_MAX])


def _sequence(payload: dict[str, Any]) -> int | None:
    seq = payload.get("seq")
    return seq if type(seq) is int and 1 <= seq <= INTEGER_MAX else None


def _schema_breach(payload: dict[str, Any], error: ValidationError) -> Breach:
    """Name the first field that breaks the schema; the raster of intervals has its own reason."""
    fault = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in fault["loc"]) or "payload"
    reason = "interval-not-multiple" if _is_off_raster(payload) else "bad-schema"
    return Breach(reason, f"{place}: {fault['msg']}"[:DETAIL_SIZE_MAX])


def _is_off_raster(payload: dict[str, Any]) -> bool:
    interval_s = payload.get("interval_s")
    if type(interval_s) is not int or interval_s <= 0:
        return False
    try:
        first = parse_instant(payload.get("first_interval_at"))
    except ValueError:
        return False
    return int(first.timestamp()) % interval_s != 0
