"""
What stands in for a Schema Registry, so that most tests need no Java; `tests/kafka` runs a real one. This file
speaks the part of its HTTP API that confluent-kafka's serializers and deserializers ask: register, look up, and get
by id or version.
"""

import base64
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from flows.dev.child import free_port

Answer = tuple[int, Any]
CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
BY_TOPIC = {"subject.name.strategy.type": "TOPIC"}


class Asked(Protocol):
    """What of a registry its clients are told, whichever one it is."""

    @property
    def url(self) -> str:
        """Say where it is."""

    @property
    def login(self) -> str:
        """Give USER:PASSWORD, if it asks for that."""


class SchemaRegistry:
    """
    Keep schemas, and answer for them while it is up.

    Attributes:
        failing: answer every question with this status instead, and with this message.
        login: USER:PASSWORD that is asked for.
        asked: how often each path was.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.failing = 0
        self.message = "not now"
        self.login = ""
        self.asked: Counter[str] = Counter()
        self._schemas: list[dict[str, Any]] = []
        self._subjects: dict[str, list[int]] = {}
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Say where it is, up or not."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Answer from now on, with all that was registered before."""
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry._serve(self, {})

            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                registry._serve(self, json.loads(self.rfile.read(size)))

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Be away: connections are refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def register(self, subject: str, text: str, kind: str = "AVRO", references: Any = ()) -> int:
        """Take a schema as it is, also one that a real registry would refuse; answer its id."""
        found = {"schemaType": kind, "schema": text, "references": list(references)}
        if found not in self._schemas:
            self._schemas.append(found)
        schema_id = self._schemas.index(found) + 1
        versions = self._subjects.setdefault(subject, [])
        if schema_id not in versions:
            versions.append(schema_id)
        return schema_id

    def _serve(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        path = handler.path.partition("?")[0]
        self.asked[path] += 1
        wanted = f"Basic {base64.b64encode(self.login.encode()).decode()}"
        if self.login and handler.headers.get("Authorization") != wanted:
            status, answer = 401, {"error_code": 40101, "message": "who are you?"}
        elif self.failing:
            status, answer = self.failing, {"error_code": self.failing * 100 + 1, "message": self.message}
        else:
            status, answer = self._answer(handler.command, path, body)
        text = json.dumps(answer).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", CONTENT_TYPE)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    def _answer(self, method: str, path: str, body: dict[str, Any]) -> Answer:
        if found := re.fullmatch(r"/schemas/ids/(\d+)", path):
            return self._schema(int(found[1]))
        if found := re.fullmatch(r"/subjects/([^/]+)(/versions)?", path):
            if method == "POST":
                kind, references = body.get("schemaType", "AVRO"), body.get("references", ())
                return self._version(found[1], self.register(found[1], body["schema"], kind, references))
        if found := re.fullmatch(r"/subjects/([^/]+)/versions/(\d+)", path):
            versions = self._subjects.get(found[1], [])
            if 1 <= int(found[2]) <= len(versions):
                return self._version(found[1], versions[int(found[2]) - 1])
            return 404, {"error_code": 40402, "message": "Version not found."}
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}

    def _schema(self, schema_id: int) -> Answer:
        if not 1 <= schema_id <= len(self._schemas):
            return 404, {"error_code": 40403, "message": f"Schema {schema_id} not found"}
        found = self._schemas[schema_id - 1]
        # A real one leaves out what is the default.
        return 200, {key: value for key, value in found.items() if value and value != "AVRO"}

    def _version(self, subject: str, schema_id: int) -> Answer:
        _, schema = self._schema(schema_id)
        version = self._subjects[subject].index(schema_id) + 1
        return 200, {"subject": subject, "id": schema_id, "version": version, **schema}


@contextmanager
def running() -> Iterator[SchemaRegistry]:
    """Run a registry."""
    registry = SchemaRegistry()
    registry.start()
    try:
        yield registry
    finally:
        registry.stop()


def client(registry: Asked) -> SchemaRegistryClient:
    """Make confluent-kafka's client of it, as a sender has one."""
    login = {"basic.auth.user.info": registry.login} if registry.login else {}
    return SchemaRegistryClient({"url": registry.url, **login})


def avro_writer(
    registry: Asked, schema: Any, topic: str = "clickstream", references: Any = ()
) -> Callable[[Any], bytes]:
    """Answer what writes Avro values as confluent-kafka's producers do."""
    named = [
        SchemaReference(name=name, subject=subject, version=version) for name, subject, version in references
    ]
    serializer = AvroSerializer(client(registry), Schema(json.dumps(schema), "AVRO", named), conf=BY_TOPIC)
    return lambda event: _written(serializer, event, topic)


def json_writer(
    registry: Asked, schema: dict[str, Any], topic: str = "clickstream"
) -> Callable[[Any], bytes]:
    """Answer what writes JSON values with a schema as confluent-kafka's producers do."""
    serializer = JSONSerializer(json.dumps(schema), client(registry), conf=BY_TOPIC)
    return lambda event: _written(serializer, event, topic)


def _written(serializer: Any, event: Any, topic: str) -> bytes:
    value = serializer(event, SerializationContext(topic, MessageField.VALUE))
    assert isinstance(value, bytes)
    return value
