"""What a process tells over HTTP. This file serves it where the settings say, or says why it cannot."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry

from config.settings import Settings
from flows.log import log
from sinks.http import HttpServer, serve


def serve_as_set(
    settings: Settings,
    registry: CollectorRegistry,
    *,
    live: Callable[[], bool],
    ready: Callable[[], bool],
    is_needed: bool = True,
) -> HttpServer | None:
    """
    Serve /metrics, /live and /ready at `http.host` and `http.port`; None where that address cannot be had.

    Args:
        is_needed: the process ends without; else it goes on, and says so.
    """
    host, port = settings.http.host, settings.http.port
    try:
        return serve(host, port, registry, live, ready)
    except OSError as error:
        remedy = "set http.port, one for each process"
        level, action = ("error", None) if is_needed else ("warn", "go on without metrics")
        log(level, "http.refused", address=f"{host}:{port}", error=error, action=action, remedy=remedy)
        return None
