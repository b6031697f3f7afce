"""Why no broker answers. This file keeps what librdkafka hears while it connects: its calls do not say."""

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata

from flows.patience import BrokerRefused

FIRST_TIMEOUT_S = 1.0
"""The first attempts are short, since why one failed is known only at its end."""
TIMEOUT_MAX_S = 10.0

REFUSALS = {
    KafkaError._AUTHENTICATION: "mend kafka.sasl.*",
    KafkaError._SSL: "mend kafka.ssl.* or kafka.security.protocol",
}
"""What the next attempt will hear as well, and what helps."""


class Heard:
    """Take the errors of one client's connections, as its `error_cb`; served when the client polls."""

    def __init__(self) -> None:
        self._last = ""
        self._refusal = ""
        self._are_all_down = False

    def __call__(self, error: KafkaError) -> None:
        """Keep one error."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._are_all_down = True
            return
        self._last = error.str()
        if remedy := REFUSALS.get(error.code()):
            self._refusal = f"{error.str()}: {remedy}"

    @property
    def refusal(self) -> str:
        """Say why no attempt with these settings can be better; empty while one may, with another broker too."""
        return self._refusal if self._are_all_down else ""

    def why(self, error: KafkaException) -> str:
        """Say why a call failed: what was heard last, else what the call says itself."""
        return self.refusal or self._last or str(error.args[0].str())


class Admin(AdminClient):
    """Ask brokers about themselves, quietly, and know why none answers."""

    def __init__(self, kafka: Mapping[str, str]) -> None:
        self._heard = Heard()
        self._timeout_s = FIRST_TIMEOUT_S
        config: dict[str, Any] = {**kafka, "log_level": 0, "error_cb": self._heard}
        super().__init__(config)

    def list_longer(self) -> ClusterMetadata:
        """Ask for all topics; wait for the answer twice as long as the last time."""
        timeout_s, self._timeout_s = self._timeout_s, min(2 * self._timeout_s, TIMEOUT_MAX_S)
        return self.list_topics(timeout=timeout_s)

    def why(self, error: KafkaException) -> str:
        """Say why a call failed; BrokerRefused where asking again is no use."""
        self.poll(0)
        if self._heard.refusal:
            raise BrokerRefused(f"kafka: {self._heard.refusal}") from error
        return self._heard.why(error)
