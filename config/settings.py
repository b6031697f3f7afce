"""This file holds the settings: `tierwise.yaml` and the environment, every key with its default."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.draft import Draft
from config.durations import UNIT_MS, format_duration
from config.environment import Overrides, overlaid, read_overrides
from config.field_map import FieldMap
from config.format_settings import read_encodings, read_formats
from config.kafka_rules import is_secret, read_kafka
from config.problems import ConfigError, Problem
from config.redis_rules import read_redis_url, redacted_url
from config.registry_settings import RegistrySettings, read_registry
from config.schema_check import schema
from config.webhook_settings import WebhookSettings, read_webhooks
from config.yaml_file import read_file

SETTINGS_FILE_DEFAULT = Path("tierwise.yaml")
POLICY_DEFAULT = "config/policies/ecommerce.yaml"
KAFKA_DEFAULTS = {"bootstrap.servers": "localhost:9092"}
NEVER = "never"

_INSTALLED_AT = Path(__file__).resolve().parent.parent
_SECRET_SHOWN = "***"


class SettingsError(ConfigError):
    """Refuse settings, with every problem they have."""


@dataclass(frozen=True, slots=True)
class Topics:
    """
    Name the Kafka topics read and written.

    Attributes:
        formats: the field maps of those that are not native.
        encodings: `avro` or `json_schema`, for those that a Schema Registry's serializers write.
    """

    input: tuple[str, ...]
    changes: str
    dead_letters: str
    formats: Mapping[str, FieldMap] = field(default_factory=dict)
    encodings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Say where the store is; the url may hold a password, so it stays out of the text form."""

    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Watermark:
    """Say how time follows the data; `idle_after_ms` None is never."""

    out_of_orderness_ms: int
    idle_after_ms: int | None


@dataclass(frozen=True, slots=True)
class Http:
    """Say where /metrics, /live and /ready listen."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Settings:
    """Hold everything an operator may set; `source` names the file for messages."""

    source: str
    prefix: str
    kafka: dict[str, str] = field(repr=False)
    group: str
    topics: Topics
    registry: RegistrySettings
    redis: RedisSettings
    policy: Path
    commit_interval_ms: int
    allowed_lateness_ms: int
    future_tolerance_ms: int
    watermark: Watermark
    http: Http
    duplicates_per_user: int
    event_bytes_max: int
    dead_letter_limit: bool
    direct_reading: bool
    direct_publishing: bool
    webhooks: WebhookSettings

    def redacted(self) -> dict[str, Any]:
        """Answer the settings as their file would say them, passwords and keys hidden."""
        idle_after_ms = self.watermark.idle_after_ms
        return {
            "prefix": self.prefix,
            "kafka": {k: _SECRET_SHOWN if is_secret(k) else value for k, value in self.kafka.items()},
            "group": self.group,
            "topics": {
                "input": list(self.topics.input),
                "changes": self.topics.changes,
                "dead_letters": self.topics.dead_letters,
                "formats": {topic: found.source for topic, found in self.topics.formats.items()},
                "encodings": dict(self.topics.encodings),
            },
            "registry": self.registry.redacted(),
            "redis": {"url": redacted_url(self.redis.url)},
            "policy": str(self.policy),
            "commit_interval": format_duration(self.commit_interval_ms),
            "allowed_lateness": format_duration(self.allowed_lateness_ms),
            "future_tolerance": format_duration(self.future_tolerance_ms),
            "watermark": {
                "out_of_orderness": format_duration(self.watermark.out_of_orderness_ms),
                "idle_after": NEVER if idle_after_ms is None else format_duration(idle_after_ms),
            },
            "http": {"host": self.http.host, "port": self.http.port},
            "duplicates_per_user": self.duplicates_per_user,
            "event_bytes_max": self.event_bytes_max,
            "dead_letter_limit": "on" if self.dead_letter_limit else "off",
            "direct_reading": "on" if self.direct_reading else "off",
            "direct_publishing": "on" if self.direct_publishing else "off",
            "webhooks": self.webhooks.redacted(),
        }


def load_settings(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """
    Read settings; raises SettingsError with all of their problems at once.

    Without a path `tierwise.yaml` of the working directory is read where there is one, and every key
    has its default.
    """
    settings, problems = read_settings(path, environ)
    if problems:
        raise SettingsError(settings.source, problems)
    return settings


def read_settings(path: Path | None, environ: Mapping[str, str]) -> tuple[Settings, list[Problem]]:
    """Answer settings and their problems; what has a problem reads as its default."""
    if path is None and SETTINGS_FILE_DEFAULT.exists():
        path = SETTINGS_FILE_DEFAULT
    document, problems = ({}, []) if path is None else read_file(path)
    overrides = read_overrides(environ)
    draft = Draft(overlaid(_without_empty(document, schema("settings")), overrides), "settings")
    settings = _settings_of(draft, path)
    found = [*problems, *overrides.problems, *draft.problems]
    return settings, [_with_variable(problem, overrides) for problem in found]


def _settings_of(draft: Draft, path: Path | None) -> Settings:
    prefix = draft.value("prefix", default="tierwise")
    topics = _read_topics(draft, prefix, path)
    return Settings(
        source="the environment" if path is None else str(path),
        prefix=prefix,
        kafka=read_kafka(draft, KAFKA_DEFAULTS),
        group=draft.value("group", default=prefix),
        topics=topics,
        registry=read_registry(draft, topics.encodings),
        redis=RedisSettings(read_redis_url(draft)),
        policy=_read_policy_path(draft, path),
        commit_interval_ms=_read_commit_interval(draft),
        allowed_lateness_ms=draft.duration_ms("allowed_lateness", default=3 * UNIT_MS["d"]),
        future_tolerance_ms=draft.duration_ms("future_tolerance", default=5 * UNIT_MS["m"]),
        watermark=_read_watermark(draft),
        http=Http(
            host=draft.value("http", "host", default="127.0.0.1"),
            port=int(draft.value("http", "port", default=9108)),
        ),
        duplicates_per_user=int(draft.value("duplicates_per_user", default=1024)),
        event_bytes_max=int(draft.value("event_bytes_max", default=65536)),
        dead_letter_limit=draft.value("dead_letter_limit", default="off") == "on",
        direct_reading=draft.value("direct_reading", default="on") == "on",
        direct_publishing=draft.value("direct_publishing", default="on") == "on",
        webhooks=read_webhooks(draft, prefix, (*topics.input, topics.changes, topics.dead_letters)),
    )


def _read_topics(draft: Draft, prefix: str, settings_file: Path | None) -> Topics:
    inputs = tuple(draft.value("topics", "input", default=("clickstream", "orders")))
    topics = Topics(
        input=inputs,
        changes=draft.value("topics", "changes", default=f"{prefix}.changes"),
        dead_letters=draft.value("topics", "dead_letters", default=f"{prefix}.dead-letters"),
        formats=read_formats(draft, inputs, settings_file),
        encodings=read_encodings(draft, inputs),
    )
    if topics.changes in topics.input:
        draft.report(("topics", "changes"), f"must not be a topic that is read, got {topics.changes!r}")
    if topics.dead_letters in (*topics.input, topics.changes):
        message = f"must not be a topic that is read or the one of changes, got {topics.dead_letters!r}"
        draft.report(("topics", "dead_letters"), message)
    return topics


def _read_policy_path(draft: Draft, settings_file: Path | None) -> Path:
    """
    Find the policy beside the settings file, then in the working directory.

    The policy that ships is found as config/policies/ecommerce.yaml wherever tierwise is installed.
    """
    named = Path(draft.value("policy", default=POLICY_DEFAULT))
    beside = named if settings_file is None else settings_file.parent / named
    candidates = [beside, named]
    if named == Path(POLICY_DEFAULT):
        candidates.append(_INSTALLED_AT / named)
    return next((path for path in candidates if path.exists()), beside)


def _read_commit_interval(draft: Draft) -> int:
    interval_ms = draft.duration_ms("commit_interval", default=250)
    if interval_ms <= 0:
        draft.report(("commit_interval",), f"must be above 0, got {draft.value('commit_interval')!r}")
    return interval_ms


def _read_watermark(draft: Draft) -> Watermark:
    out_of_orderness_ms = draft.duration_ms("watermark", "out_of_orderness", default=5 * UNIT_MS["s"])
    if draft.value("watermark", "idle_after") == NEVER:
        return Watermark(out_of_orderness_ms, None)
    return Watermark(
        out_of_orderness_ms, draft.duration_ms("watermark", "idle_after", default=10 * UNIT_MS["s"])
    )


def _without_empty(document: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """Drop keys with nothing behind them, such as a group whose lines are all commented out; but no unknown ones."""
    inner, of_others = known.get("properties", {}), known.get("additionalProperties") or {}
    is_open = known.get("additionalProperties", True) is not False
    return {
        key: _without_empty(value, inner.get(key, of_others)) if isinstance(value, dict) else value
        for key, value in document.items()
        if value is not None or not (is_open or key in inner)
    }


def _with_variable(problem: Problem, overrides: Overrides) -> Problem:
    """Name the variable where a problem's value came from the environment."""
    variable = overrides.variable_of.get(problem.path.split("[")[0]) or overrides.variable_of.get(
        problem.path
    )
    return Problem(problem.path, f"{problem.message} (from {variable})") if variable else problem
