"""This file holds where the Schema Registry is, and how one logs in there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from config.draft import Draft
from config.redis_rules import redacted_url
from config.schema_check import schema

SECRETS = ("basic_auth_user_info", "ssl_key_password")
_SHOWN = "***"


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """
    Hold what confluent-kafka's client of a Schema Registry is told.

    Attributes:
        given: by our names, which are the client's with `_` for `.`; only what is set.
    """

    given: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def url(self) -> str:
        """Say where it is, for people; it holds no login."""
        return self.given.get("url", "")

    @property
    def secrets(self) -> tuple[str, ...]:
        """Answer every text that must not be printed."""
        found = [self.given[name] for name in SECRETS if name in self.given]
        login = self.given.get("proxy", "").partition("://")[2].rpartition("@")[0]
        passwords = [text.partition(":")[2] for text in (self.given.get(SECRETS[0], ""), login)]
        return tuple(text for text in (*found, login, *passwords) if text)

    def client_settings(self) -> dict[str, str]:
        """Answer the client's own settings."""
        return {name.replace("_", "."): text for name, text in self.given.items()}

    def redacted(self) -> dict[str, str]:
        """Answer every key as a file would say it, passwords hidden."""
        shown = {name: self.given.get(name, "") for name in _keys()}
        shown |= {name: _SHOWN for name in SECRETS if shown[name]}
        return shown | {"proxy": redacted_url(shown["proxy"])}


def read_registry(draft: Draft, encodings: Mapping[str, str]) -> RegistrySettings:
    """Answer the registry's settings; where a topic is encoded, there has to be a registry. Nobody is contacted."""
    given = {name: text for name in _keys() if (text := draft.value("registry", name, default=""))}
    if encodings and not given.get("url") and draft.structure.sound("registry", "url"):
        draft.report(("registry", "url"), "is missing: topics.encodings needs a Schema Registry")
    for one in given.get("url", "").split(",") if given.get("url") else ():
        if problem := _problem_of(one.strip()):
            draft.report(("registry", "url"), problem)
    if ":" not in given.get("basic_auth_user_info", ":"):
        draft.report(("registry", "basic_auth_user_info"), "must be USER:PASSWORD")
    if "ssl_certificate_location" not in given:
        for name in ("ssl_key_location", "ssl_key_password"):
            if name in given:
                draft.report(("registry", name), "needs ssl_certificate_location")
    return RegistrySettings(given)


def _problem_of(url: str) -> str:
    rule = f"must be http://HOST:PORT or https://HOST:PORT, got {redacted_url(url)!r}"
    try:
        parts = urlsplit(url)
        is_usable = bool(parts.hostname) and parts.port != 0
    except ValueError:  # A port that is no number, a bracket left open.
        return rule
    if parts.username or parts.password:
        return "holds a login; say basic_auth_user_info: USER:PASSWORD"
    return "" if is_usable and parts.scheme in ("http", "https") else rule


def _keys() -> tuple[str, ...]:
    return tuple(schema("settings")["properties"]["registry"]["properties"])
