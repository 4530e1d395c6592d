"""Logs: events with fields, one line each, secrets never.

`log.info("report-refused", reason="bad-signature", meter=meter)`: the event is a stable kebab-case
name, what varies is a field. Lines are JSON (UTC) or, on a terminal, for people. The standard
library's logging goes the same way, so that libraries and services print alike.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from libs.runtime.clock import Clock, SystemClock
from libs.runtime.redact import hide_secrets
from libs.runtime.telemetry import current_trace_id

_NOISY: Final = ("faststream", "httpcore", "httpx", "nats", "uvicorn", "uvicorn.error")
"""Loggers of which only warnings and worse are kept."""


def get_logger(name: str) -> FilteringBoundLogger:
    """Return a logger.

    Args:
        name: The module's `__name__`; stands in the line as `logger`.
    """
    logger: FilteringBoundLogger = structlog.get_logger(name)
    return logger


def set_up_logs(
    service: str,
    version: str,
    *,
    level: Literal["debug", "info", "warning", "error"] = "info",
    log_format: Literal["auto", "json", "console"] = "auto",
    stream: TextIO | None = None,
    clock: Clock | None = None,
) -> None:
    """Send all logs of the process to one stream. Calling it again replaces the former set-up.

    Args:
        service: The service's name, in every line.
        version: The release that runs, in every line.
        level: The lowest level that is printed.
        log_format: `auto` is `console` on a terminal and `json` elsewhere.
        stream: Where lines go; standard output by default.
        clock: Where their time comes from; the machine's by default.
    """
    out = sys.stdout if stream is None else stream
    for_people = log_format == "console" or (log_format == "auto" and out.isatty())
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _Stamp(service, version, clock or SystemClock()),
        structlog.processors.format_exc_info,
        _hide,
    ]
    structlog.configure(
        processors=[*before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
                if for_people
                else structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(capture=True)


class _Stamp:
    """Adds when, who and within which trace."""

    def __init__(self, service: str, version: str, clock: Clock) -> None:
        self._service = service
        self._version = version
        self._clock = clock

    def __call__(
        self, _logger: Any, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Return the event with its time, service, version and perhaps trace, in reading order."""
        now = self._clock.now().isoformat(timespec="milliseconds")
        stamped: MutableMapping[str, Any] = {
            "time": now.replace("+00:00", "Z"),
            "level": event.pop("level", ""),
            "event": event.pop("event", ""),
            "service": self._service,
            **event,
            "version": self._version,
        }
        if (trace_id := current_trace_id()) is not None:
            stamped["trace_id"] = trace_id
        return stamped


def _hide(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    record, chain = event.pop("_record", None), event.pop("_from_structlog", None)
    hidden: MutableMapping[str, Any] = hide_secrets(event)
    if record is not None:
        hidden["_record"], hidden["_from_structlog"] = record, chain
    return hidden
