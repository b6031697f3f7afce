"""A whole tierwise here: store, broker, topics, settings, perhaps a worker. This file starts it."""

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import config
import flows
from flows.dev.child import Child, free_port
from flows.dev.embedded import create_topics, start_kafka, start_valkey
from flows.dev.generator import CLICKSTREAM, ORDERS

PREFIX = "tierwise"
CHANGES = f"{PREFIX}.changes"
DEAD_LETTERS = f"{PREFIX}.dead-letters"
PARTITIONS = 4
POLICY = Path(config.__file__).with_name("policies") / "ecommerce.yaml"
WORKER_STOP_DEADLINE_S = 15.0


class Stack:
    """Running servers with their topics, and the settings a worker needs to use them."""

    def __init__(
        self,
        input_topics: Sequence[str] = (CLICKSTREAM, ORDERS),
        overrides: dict[str, Any] | None = None,
        partitions: int = PARTITIONS,
    ) -> None:
        """Start store and broker, create all topics, and write the settings file."""
        self._exits = ExitStack()
        try:
            self.valkey = self._exits.enter_context(start_valkey())
            self.kafka = self._exits.enter_context(start_kafka())
            create_topics(self.kafka.bootstrap, [*input_topics, CHANGES, DEAD_LETTERS], partitions)
            self.http_port = free_port()
            folder = Path(self._exits.enter_context(tempfile.TemporaryDirectory(prefix="tierwise-")))
            self.settings_file = folder / "tierwise.yaml"
            settings = {**self._settings(input_topics), **(overrides or {})}
            self.settings_file.write_text(_yaml(settings), encoding="utf-8")
        except BaseException:
            self._exits.close()
            raise

    def start_worker(self, http_port: int | None = None) -> Child:
        """Start a worker with the settings of this stack, perhaps with a port of its own; it ends with the stack."""
        # What the operator exported for another tierwise must not reach this one.
        env = {name: value for name, value in os.environ.items() if not name.startswith("TIERWISE_")}
        root = str(Path(flows.__file__).parents[1])
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [root, env.get("PYTHONPATH")]))
        if http_port is not None:
            env["TIERWISE_HTTP__PORT"] = str(http_port)
        command = [sys.executable, "-m", "flows.cli", "run", "--settings", str(self.settings_file)]
        worker = Child("worker", command, env)
        self._exits.callback(worker.stop, WORKER_STOP_DEADLINE_S)
        return worker

    def check(self) -> None:
        """Raise ChildFailed when one of the servers has ended."""
        for server in (self.valkey, self.kafka):
            server.child.wait_until(lambda: True, deadline_s=0)

    def close(self) -> None:
        """Stop everything, the worker first."""
        self._exits.close()

    def _settings(self, input_topics: Sequence[str]) -> dict[str, Any]:
        return {
            "prefix": PREFIX,
            "kafka": self.kafka.client_settings,
            "group": PREFIX,
            "topics": {"input": list(input_topics), "changes": CHANGES, "dead_letters": DEAD_LETTERS},
            "redis": {"url": self.valkey.url},
            "policy": str(POLICY),
            "http": {"host": "127.0.0.1", "port": self.http_port},
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _yaml(settings: dict[str, Any]) -> str:
    """Write one key a line, each value as JSON, which YAML reads as its own."""
    return "".join(f"{name}: {json.dumps(value)}\n" for name, value in settings.items())


def how_to_look(stack: Stack, user_id: str) -> str:
    """Tell how to see a profile and the changes with the clients at hand."""
    profile = f"{PREFIX}:user:{user_id}"
    client = f"redis.Redis(port={stack.valkey.port}, decode_responses=True)"
    return f"""\
a profile, with any Redis client:
  redis-cli -p {stack.valkey.port} HGETALL {profile}
  {sys.executable} -c 'import redis; print({client}.hgetall("{profile}"))'
the changes, with any Kafka client:
  kcat -b {stack.kafka.bootstrap} -t {CHANGES} -C -o beginning
why a user stands where it stands:
  tierwise explain {user_id} --settings {stack.settings_file}
the numbers of a worker with these settings:
  http://127.0.0.1:{stack.http_port}/metrics
Ctrl-C stops everything."""
