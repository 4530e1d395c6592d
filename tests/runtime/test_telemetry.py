"""Telemetry: proved by a collector of our own, and free of charge while it is off."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from libs.runtime import process, telemetry
from libs.runtime.clock import ManualClock
from libs.runtime.health import Health
from libs.runtime.telemetry import (
    Counter,
    Histogram,
    current_trace_id,
    extract_context,
    inject_context,
    is_on,
    observe,
    set_up_telemetry,
    shut_down_telemetry,
    span,
)


class Collector:
    """An OTLP/HTTP receiver that keeps what it is sent."""

    def __init__(self) -> None:
        received: list[tuple[str, bytes]] = []
        self.received = received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                received.append((self.path, body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def spans(self) -> dict[str, Any]:
        """Every span by name, after everything was sent."""
        return {
            found.name: found
            for path, body in self.received
            if path == "/v1/traces"
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for found in scope.spans
        }

    def metrics(self) -> dict[str, Any]:
        """Every metric by name, after everything was sent."""
        return {
            found.name: found
            for path, body in self.received
            if path == "/v1/metrics"
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
            for scope in resource.scope_metrics
            for found in scope.metrics
        }

    def resources(self) -> list[dict[str, str]]:
        """The attributes of who sent spans."""
        return [
            {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            for path, body in self.received
            if path == "/v1/traces"
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        ]


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    set_up_telemetry("ingest", "1.2.3", "pilot-1", found.url + "/")
    yield found
    shut_down_telemetry()
    found.close()


def attributes(thing: Any) -> dict[str, Any]:
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in thing.attributes
    }


def test_spans_arrive_with_who_sent_them(collector: Collector) -> None:
    with span("append", subject="ledger.pilot.x", attributes={"facts": 3}) as current:
        current.set_attribute("bytes", 99)
    shut_down_telemetry()

    sent = collector.spans()["append"]
    assert attributes(sent) == {
        "facts": 3,
        "bytes": 99,
        "messaging.system": "nats",
        "messaging.destination.name": "ledger.pilot.x",
    }
    (resource,) = collector.resources()
    assert resource["service.name"] == "ingest"
    assert resource["service.version"] == "1.2.3"
    assert resource["deployment.environment.name"] == "pilot-1"


def test_a_parent_is_carried_across_a_header(collector: Collector) -> None:
    with span("ask", kind="client"):
        trace_id = current_trace_id()
        headers = inject_context({"Heliograph-Append": "x"})
    with span("answer", kind="server", parent=extract_context(headers)):
        assert current_trace_id() == trace_id
    assert current_trace_id() is None
    shut_down_telemetry()

    ask, answer = collector.spans()["ask"], collector.spans()["answer"]
    assert set(headers) == {"Heliograph-Append", "traceparent"}
    assert answer.parent_span_id == ask.span_id
    assert answer.trace_id.hex() == ask.trace_id.hex() == trace_id
    assert (ask.kind, answer.kind) == (3, 2)


def test_a_batch_links_to_the_origins_of_its_messages(collector: Collector) -> None:
    origins = []
    for name in ("one", "two"):
        with span(name, kind="producer"):
            origins.append(extract_context(inject_context()))
    with span("batch", kind="consumer", links=[*origins, extract_context({})]):
        pass
    shut_down_telemetry()

    spans = collector.spans()
    assert [link.span_id for link in spans["batch"].links] == [
        spans["one"].span_id,
        spans["two"].span_id,
    ]
    assert spans["batch"].parent_span_id == b""


def test_an_error_marks_its_span_and_passes(collector: Collector) -> None:
    with pytest.raises(ValueError, match="no"), span("fails"):
        raise ValueError("no")
    shut_down_telemetry()

    assert collector.spans()["fails"].status.code == 2


def test_injecting_leaves_the_callers_headers_alone(collector: Collector) -> None:
    mine = {"a": "b"}
    with span("x"):
        assert inject_context(mine) is not mine

    assert mine == {"a": "b"}


@pytest.mark.parametrize("header", ["", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_nonsense_in_a_header_counts_as_nothing(collector: Collector, header: str) -> None:
    assert extract_context({"traceparent": header}) is None


def test_metrics_arrive(collector: Collector) -> None:
    reports = Counter("heliograph.test.reports", unit="{report}", description="Reports")
    duration = Histogram("heliograph.test.duration", unit="s", description="Duration")
    reports.add(2, reason="late")
    reports.add(reason="late")
    duration.record(0.25)
    positions = {"READINGS_0": 7}
    observe("heliograph.test.position", lambda: positions, label="stream", description="Positions")
    observe("heliograph.test.total", lambda: positions, label="s", description="T", grows=True)
    shut_down_telemetry()

    metrics = collector.metrics()
    (late,) = metrics["heliograph.test.reports"].sum.data_points
    assert (late.as_int, attributes(late)) == (3, {"reason": "late"})
    assert metrics["heliograph.test.duration"].histogram.data_points[0].sum == 0.25
    (position,) = metrics["heliograph.test.position"].gauge.data_points
    assert (position.as_int, attributes(position)) == (7, {"stream": "READINGS_0"})
    assert metrics["heliograph.test.total"].sum.is_monotonic


def test_positions_and_counters_of_health_arrive(collector: Collector) -> None:
    health = Health("ingest", "1.2.3", ManualClock())
    health.position("READINGS_0", 7)
    health.count("commands-answered", 3)
    process._export(health)
    shut_down_telemetry()

    metrics = collector.metrics()
    assert metrics["heliograph.position"].gauge.data_points[0].as_int == 7
    (answered,) = metrics["heliograph.events"].sum.data_points
    assert (answered.as_int, attributes(answered)) == (3, {"event": "commands-answered"})


def test_it_can_be_turned_off_and_on_again(collector: Collector) -> None:
    counter = Counter("heliograph.test.again", unit="1", description="Again")
    counter.add()
    shut_down_telemetry()
    counter.add()
    assert not is_on()
    set_up_telemetry("ingest", "1.2.3", "pilot-1", collector.url)
    counter.add(5)
    shut_down_telemetry()

    assert collector.metrics()["heliograph.test.again"].sum.data_points[0].as_int == 5


def test_a_collector_that_is_away_holds_nobody_up_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(telemetry, "EXPORT_TIMEOUT_S", 0.3)
    set_up_telemetry("ingest", "1", "d", "http://127.0.0.1:9")
    with span("lost"):
        pass
    began = time.monotonic()
    shut_down_telemetry()

    assert time.monotonic() - began < 2
    assert not is_on()


def test_off_means_no_header_no_context_no_span() -> None:
    with span("x", kind="consumer", links=[None], subject="a") as current:
        current.set_attribute("a", 1)
        assert current_trace_id() is None
        assert inject_context({"a": "b"}) == {"a": "b"}
    assert extract_context({"traceparent": "00-" + "1" * 32 + "-" + "1" * 16 + "-01"}) is None
    Counter("a", unit="1", description="").add()
    Histogram("a", unit="1", description="").record(1)
    observe("a", dict, label="a", description="")


def test_off_means_that_nothing_of_opentelemetry_is_imported() -> None:
    script = (
        "import sys; from libs.runtime import telemetry as t, process;"
        "t.set_up_telemetry('a', '1', 'd', None)\n"
        "with t.span('x'): t.inject_context(); t.extract_context({'traceparent': 'x'})\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'uvicorn',"
        " 'starlette', 'faststream'))])"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert found.stdout.strip() == "[]"
