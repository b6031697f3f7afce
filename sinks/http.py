"""This file serves /metrics, /live and /ready."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

_TEXT = "text/plain; charset=utf-8"


class HttpServer:
    """A server on a thread of its own; `port` is the real one when 0 was asked for."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self._server = server
        self.port: int = server.server_address[1]
        self._thread = threading.Thread(target=server.serve_forever, name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve(
    host: str, port: int, registry: CollectorRegistry, live: Callable[[], bool], ready: Callable[[], bool]
) -> HttpServer:
    """
    Serve until closed.

    Args:
        live: false when the process should be restarted. Called on the server's thread.
        ready: false while it loads or drains. Called on the server's thread.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                self._answer(200, content_type, encode(registry))
            elif path in ("/live", "/ready"):
                is_good = (live if path == "/live" else ready)()
                self._answer(200 if is_good else 503, _TEXT, b"yes\n" if is_good else b"no\n")
            else:
                self._answer(404, _TEXT, b"see /metrics, /live and /ready\n")

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep quiet: a probe a second is no news."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    return HttpServer(server)
