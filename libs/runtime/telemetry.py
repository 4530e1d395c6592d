"""Traces and metrics by OpenTelemetry, off until a collector is named.

Off means: neither SDK nor exporter is imported, and a span or a metric costs about a microsecond.
The providers are this module's own and never global, so that it can be turned on and off again.
Trace context travels in NATS headers, outside the bytes that are hashed.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import CallbackOptions, Meter, Observation
    from opentelemetry.trace import Tracer

EXPORT_TIMEOUT_S: Final = 5.0
"""Seconds that one export, and the last flush at the end, may take."""

METRIC_INTERVAL_S: Final = 15.0
"""Seconds between two exports of the metrics."""

Attribute = str | int | float | bool
Kind = Literal["internal", "server", "client", "producer", "consumer"]


class Span(Protocol):
    """What a caller may do with the span it is in."""

    def set_attribute(self, key: str, value: Attribute) -> None:
        """Attach a fact about the work, never a secret."""
        ...


class _NoSpan:
    def set_attribute(self, key: str, value: Attribute) -> None:
        """Forget it."""


_NO_SPAN: Final = _NoSpan()


class _Telemetry:
    """Everything that exists only while telemetry is on."""

    def __init__(
        self, tracer: "Tracer", meter: "Meter", close: tuple[Callable[[], Any], ...]
    ) -> None:
        self.tracer = tracer
        self.meter = meter
        self.close = close
        self.instruments: dict[str, Any] = {}


_active: _Telemetry | None = None


def set_up_telemetry(service: str, version: str, deployment: str, endpoint: str | None) -> None:
    """Turn telemetry on, or leave it off.

    Args:
        service: The service's name, such as `ingest`.
        version: The release that runs.
        deployment: The id of the installation.
        endpoint: Base URL of an OTLP/HTTP collector such as `http://127.0.0.1:4318`; traces go to
            `/v1/traces` below it, metrics to `/v1/metrics`. None leaves telemetry off.
    """
    global _active  # noqa: PLW0603 - one process, one collector
    shut_down_telemetry()
    if endpoint is None:
        return
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415
        OTLPMetricExporter,
    )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    base = endpoint.rstrip("/")
    resource = Resource.create(
        {
            "service.namespace": "heliograph",
            "service.name": service,
            "service.version": version,
            "deployment.environment.name": deployment,
        }
    )
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    tracers.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(f"{base}/v1/traces", timeout=EXPORT_TIMEOUT_S))
    )
    meters = MeterProvider(
        [
            PeriodicExportingMetricReader(
                OTLPMetricExporter(f"{base}/v1/metrics", timeout=EXPORT_TIMEOUT_S),
                export_interval_millis=METRIC_INTERVAL_S * 1000,
                export_timeout_millis=EXPORT_TIMEOUT_S * 1000,
            )
        ],
        resource=resource,
        shutdown_on_exit=False,
    )
    _active = _Telemetry(
        tracers.get_tracer("heliograph", version),
        meters.get_meter("heliograph", version),
        (tracers.shutdown, meters.shutdown),
    )


def shut_down_telemetry() -> None:
    """Send what is left, for at most `EXPORT_TIMEOUT_S` seconds, and turn telemetry off."""
    global _active
    if _active is None:
        return
    closing, _active = _active, None
    threads = [threading.Thread(target=close, daemon=True) for close in closing.close]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(EXPORT_TIMEOUT_S)


def is_on() -> bool:
    """Tell whether spans and metrics go anywhere."""
    return _active is not None


@contextmanager
def span(
    name: str,
    *,
    kind: Kind = "internal",
    parent: "Context | None" = None,
    links: Iterable["Context | None"] = (),
    subject: str | None = None,
    attributes: Mapping[str, Attribute] | None = None,
) -> Iterator[Span]:
    """Measure a piece of work; do nothing while telemetry is off.

    Args:
        name: What is done, few distinct values: `append`, never an id.
        kind: The role in the exchange, as OpenTelemetry names them.
        parent: Where the work comes from (`extract_context`); None means the span we are in.
        links: Other origins, as of the messages of one batch; None among them is skipped.
        subject: The NATS subject, if the work is about a message.
        attributes: Facts about the work, never secrets.

    Yields:
        The span. An exception passes through and marks the span as failed.
    """
    if _active is None:
        yield _NO_SPAN
        return
    from opentelemetry.trace import Link, SpanKind, get_current_span  # noqa: PLC0415

    known: dict[str, Attribute] = dict(attributes or {})
    if subject is not None:
        known |= {"messaging.system": "nats", "messaging.destination.name": subject}
    with _active.tracer.start_as_current_span(
        name,
        context=parent,
        kind=SpanKind[kind.upper()],
        links=[Link(get_current_span(link).get_span_context()) for link in links if link],
        attributes=known,
    ) as current:
        yield current


def inject_context(headers: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return headers with the trace context of the span we are in.

    Args:
        headers: The message's headers so far. Not changed: nats-py changes what it is given.

    Returns:
        A new dictionary; with `traceparent` (and `tracestate`) when there is a span.
    """
    carrier = dict(headers or {})
    if _active is not None:
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
            TraceContextTextMapPropagator,
        )

        TraceContextTextMapPropagator().inject(carrier)
    return carrier


def extract_context(headers: Mapping[str, str] | None) -> "Context | None":
    """Return the trace context that a message carries.

    Args:
        headers: The message's headers, from a stranger; nonsense in them counts as nothing.

    Returns:
        For `span(parent=...)` or `span(links=[...])`; None if there is none or telemetry is off.
    """
    if _active is None or not headers or "traceparent" not in headers:
        return None
    from opentelemetry.trace import get_current_span  # noqa: PLC0415
    from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
        TraceContextTextMapPropagator,
    )

    context = TraceContextTextMapPropagator().extract(headers)
    return context if get_current_span(context).get_span_context().is_valid else None


def current_trace_id() -> str | None:
    """Return the id of the trace we are in: 32 hex digits, or None."""
    if _active is None:
        return None
    from opentelemetry.trace import get_current_span  # noqa: PLC0415

    found = get_current_span().get_span_context()
    return f"{found.trace_id:032x}" if found.is_valid else None


class Counter:
    """A number that only grows. Made once, at the top of a module; works on and off."""

    def __init__(self, name: str, *, unit: str, description: str) -> None:
        """Name the metric.

        Args:
            name: Such as `heliograph.ingest.reports`.
            unit: As UCUM writes it: `1`, `By`, `{report}`.
            description: What one unit of it means.
        """
        self._key = (name, unit, description)

    def add(self, amount: int = 1, **attributes: Attribute) -> None:
        """Add to it.

        Args:
            amount: 0 or more.
            attributes: Few distinct values each, such as `reason="bad-signature"`; never an id.
        """
        if _active is not None:
            instruments = _active.instruments
            if (found := instruments.get(self._key[0])) is None:
                found = instruments[self._key[0]] = _active.meter.create_counter(*self._key)
            found.add(amount, attributes)


class Histogram:
    """A distribution, as of durations. Made once, at the top of a module; works on and off."""

    def __init__(self, name: str, *, unit: str, description: str) -> None:
        """Name the metric.

        Args:
            name: Such as `heliograph.append.duration`.
            unit: As UCUM writes it; durations in `s`.
            description: What is measured, from where to where.
        """
        self._key = (name, unit, description)

    def record(self, value: float, **attributes: Attribute) -> None:
        """Add one measurement.

        Args:
            value: In the histogram's unit, 0 or more.
            attributes: Few distinct values each; never an id.
        """
        if _active is not None:
            instruments = _active.instruments
            if (found := instruments.get(self._key[0])) is None:
                found = instruments[self._key[0]] = _active.meter.create_histogram(*self._key)
            found.record(value, attributes)


def observe(
    name: str,
    read: Callable[[], Mapping[str, float]],
    *,
    label: str,
    description: str,
    grows: bool = False,
) -> None:
    """Export numbers that somebody else keeps, by reading them at every export.

    Args:
        name: Such as `heliograph.position`.
        read: Returns the numbers by label value. Called on a thread of the exporter.
        label: The attribute that tells the numbers apart, such as `stream`.
        description: What the numbers mean.
        grows: True if they never fall, so that rates make sense.
    """
    if _active is None:
        return
    from opentelemetry.metrics import Observation as Observed  # noqa: PLC0415

    def observed(_: "CallbackOptions") -> "list[Observation]":
        return [Observed(value, {label: which}) for which, value in dict(read()).items()]

    if grows:
        _active.meter.create_observable_counter(name, [observed], "1", description)
    else:
        _active.meter.create_observable_gauge(name, [observed], "1", description)
