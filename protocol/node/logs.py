"""Logs as JSON lines: one event, one line, stable names, no secrets.

    {"event":"link_down","level":"warning","at":"2026-11-27T08:00:00.123456Z","reason":"..."}

A person at a terminal gets the same in colours. Event names are lower_case and never change their
meaning: alerts are built on them.
"""

import logging
import re
from typing import Any, Final, TextIO

import structlog

SECRET: Final = re.compile(
    r"(^|_)(password|pin|token|secret|pepper|key|cookie)($|_)", re.IGNORECASE
)
HIDDEN: Final = "(hidden)"
LENGTH_MAX: Final = 2_000


def hide_secrets(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """What is named like a secret never reaches a file; what is endless is cut."""
    for name, value in event.items():
        if SECRET.search(name):
            event[name] = HIDDEN
        elif isinstance(value, str) and len(value) > LENGTH_MAX and name != "exception":
            event[name] = value[:LENGTH_MAX] + "..."
    return event


def set_up(stream: TextIO) -> None:
    """For the whole process, once, by its command."""
    last: Any = (
        structlog.dev.ConsoleRenderer()
        if stream.isatty()
        else structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    )
    first: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]
    then: list[Any] = [
        structlog.processors.format_exc_info,  # text: locals may hold a PIN
        hide_secrets,
        last,
    ]
    structlog.configure(
        processors=[*first, *then], logger_factory=structlog.PrintLoggerFactory(stream)
    )
    handler = logging.StreamHandler(stream)  # libraries speak through the standard library
    formatter = structlog.stdlib.ProcessorFormatter
    handler.setFormatter(
        formatter(
            foreign_pre_chain=first,
            processors=[formatter.remove_processors_meta, *then],
        )
    )
    logging.getLogger().handlers = [handler]
