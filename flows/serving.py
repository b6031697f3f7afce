"""What a process tells over HTTP. This file serves it where the settings say, or says why it cannot."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry

from config.settings import Settings
from flows.log import log
from sinks.http import HttpServer, serve


def serve_as_set(
    settings: Settings, registry: CollectorRegistry, *, live: Callable[[], bool], ready: Callable[[], bool]
) -> HttpServer | None:
    """Serve /metrics, /live and /ready at `http.host` and `http.port`; None where that address cannot be had."""
    host, port = settings.http.host, settings.http.port
    try:
        return serve(host, port, registry, live, ready)
    except OSError as error:
        remedy = "set http.port, one for each process"
        log("error", "http.refused", address=f"{host}:{port}", error=error, remedy=remedy)
        return None
