"""
The Schema Registry, asked with patience. This file tells an unknown schema from a registry that is away.

Importing it takes the packages of `tierwise[registry]`.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from cachetools import TTLCache
from confluent_kafka.schema_registry import RegisteredSchema, Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from config.registry_settings import RegistrySettings
from flows.formats.framed.patience import Patience
from flows.formats.framed.unreadable import RegistryRefused, RegistryUnavailable, RegistryUnusable, Unreadable
from flows.log import log

Answered = TypeVar("Answered")

TIMEOUT_S = 10
"""Of one attempt; well within the time after which /live says no."""
REFUSED = (401, 403)
UNKNOWN = (40401, 40402, 40403)
"""The registry's own words for: no such subject, version, schema. A plain 404 may be any server's."""
UNKNOWN_FOR_S = 60.0
UNKNOWN_MAX = 10_000
REASON_MAX = 200


class Registry(SchemaRegistryClient):
    """
    Ask for schemas, each once, and wait for the registry where it is away.

    What asks are the deserializers, in the midst of a message. So every method that they use raises either what
    sets the message aside (Unreadable), or what ends the worker (RegistryUnavailable).
    """

    def __init__(self, settings: RegistrySettings, patience: Patience) -> None:
        try:
            super().__init__({**settings.client_settings(), "max.retries": 0, "timeout": TIMEOUT_S})
        except (OSError, TypeError, ValueError) as error:
            raise RegistryUnusable(f"registry: {_hidden(str(error), settings.secrets)}") from error
        self._url = settings.url
        self._secrets = settings.secrets
        self._patience = patience
        self._unknown: TTLCache[object, str] = TTLCache(UNKNOWN_MAX, UNKNOWN_FOR_S)

    def get_schema(self, schema_id: int, *args: Any, **kwargs: Any) -> Schema:
        """Answer a schema by its id."""
        ask = super().get_schema
        return self._asked(f"schema {schema_id}", lambda: ask(schema_id, *args, **kwargs))

    def get_version(
        self, subject_name: str, version: Any = "latest", *args: Any, **kwargs: Any
    ) -> RegisteredSchema:
        """Answer a schema that another one refers to."""
        ask = super().get_version
        name = f"version {version} of {subject_name}"
        return self._asked(name, lambda: ask(subject_name, version, *args, **kwargs))

    def _asked(self, name: str, ask: Callable[[], Answered]) -> Answered:
        if name in self._unknown:
            raise Unreadable(self._unknown[name])
        give_up_s = time.monotonic() + self._patience.wait_s
        while True:
            self._patience.beat()
            try:
                return ask()
            except SchemaRegistryError as error:
                reason = self._reason(name, error)
            except Exception as error:  # The client passes on whatever its library for HTTP raises.
                reason = self._said(f"{type(error).__name__}: {error}")
            self._wait(give_up_s, reason)

    def _reason(self, name: str, error: SchemaRegistryError) -> str:
        """Say why the registry gave no schema, where asking again may help."""
        if error.error_code in UNKNOWN:
            self._unknown[name] = f"{name} is unknown to the Schema Registry"
            raise Unreadable(self._unknown[name]) from error
        if error.http_status_code in REFUSED:
            raise RegistryRefused(
                f"registry: {self._url} refuses our login: {self._said(str(error))}"
            ) from error
        return self._said(str(error))

    def _wait(self, give_up_s: float, reason: str) -> None:
        if self._patience.is_stopped():
            raise RegistryUnavailable(
                f"registry: {self._url} did not answer before we were stopped: {reason}"
            )
        if time.monotonic() >= give_up_s:
            waited = f"{self._patience.wait_s:.0f} s"
            raise RegistryUnavailable(f"registry: {self._url} gave no schema for {waited}: {reason}")
        log("warn", "registry.awaited", url=self._url, error=reason)
        time.sleep(self._patience.pause_s)

    def _said(self, text: str) -> str:
        return _hidden(" ".join(text.split()), self._secrets)[:REASON_MAX]


def _hidden(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
