"""This file holds what `redis.url` may say, and how it is shown without its secrets."""

import re
import ssl
from urllib.parse import SplitResult, urlsplit

from redis import ConnectionPool
from redis.exceptions import RedisError

from config.draft import Draft

URL_DEFAULT = "redis://localhost:6379/0"
SCHEMES = ("redis", "rediss", "unix")
OPTIONS = (
    "username",
    "password",
    "db",
    "client_name",
    "socket_timeout",
    "socket_connect_timeout",
    "socket_keepalive",
    "health_check_interval",
)
TLS_OPTIONS = (
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_password",
    "ssl_cert_reqs",
    "ssl_check_hostname",
    "ssl_ciphers",
)

_SHOWN = "***"
_URL = ("redis", "url")


def redacted_url(url: str) -> str:
    """Hide the passwords of a url, wherever it may hold one; a url without stays as it is."""
    url = re.sub(r"(?<=[?&])(password|ssl_password)=[^&]*", rf"\1={_SHOWN}", url)
    scheme, slashes, rest = url.partition("://")
    if not slashes:  # Half a url: what stands before the place may be anything.
        _, at, place = url.rpartition("@")
        return f"{_SHOWN}@{place}" if at else url
    login, at, place = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    return f"{scheme}{slashes}{user}:{_SHOWN}{at}{place}" if colon else url


def read_redis_url(draft: Draft) -> str:
    """Answer the url; one that redis-py could not connect with is a problem. Nobody is contacted."""
    url: str = draft.value(*_URL, default=URL_DEFAULT)
    if (parts := _usable(url)) is None:
        rule = "must be redis://HOST:PORT/DB, rediss://HOST:PORT/DB or unix:///PATH"
        draft.report(_URL, f"{rule}, got {redacted_url(url)!r}")
    elif parts.scheme != "unix" and not re.fullmatch(r"/?|/[0-9]+", parts.path):
        draft.report(_URL, f"must end with the number of a database, got {redacted_url(url)!r}")
    else:
        _judge_options(draft, url, parts)
    return url


def _usable(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        is_usable = bool(parts.path if parts.scheme == "unix" else parts.hostname) and parts.port != 0
    except ValueError:  # A port that is no number, a bracket left open.
        return None
    return parts if is_usable and parts.scheme in SCHEMES else None


def _judge_options(draft: Draft, url: str, parts: SplitResult) -> None:
    known = OPTIONS + TLS_OPTIONS if parts.scheme == "rediss" else OPTIONS
    names = [part.partition("=")[0] for part in parts.query.split("&") if part]
    if wrong := [name for name in names if name not in known]:
        needs_tls = "; TLS is rediss://" if set(wrong) <= set(TLS_OPTIONS) else ""
        draft.report(_URL, f"takes no option {wrong[0]}{needs_tls}; known: {', '.join(known)}")
        return
    try:
        pool = ConnectionPool.from_url(url)
        pool.make_connection()
    except (RedisError, TypeError, ValueError) as error:
        draft.report(_URL, f"redis-py refuses it: {error}")
        return
    if parts.scheme == "rediss":
        _judge_files(draft, pool.connection_kwargs)


def _judge_files(draft: Draft, given: dict[str, str]) -> None:
    """Let the library for TLS itself read what connecting will read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authorities = given.get("ssl_ca_certs"), given.get("ssl_ca_path")
    if any(authorities):
        try:
            context.load_verify_locations(*authorities)
        except OSError as error:
            name = "ssl_ca_certs" if authorities[0] else "ssl_ca_path"
            draft.report(_URL, f"{name} names {given[name]!r}, which cannot be used: {error.strerror}")
    certificate, key = given.get("ssl_certfile"), given.get("ssl_keyfile")
    if certificate is None and key is None:
        return
    if certificate is None:
        draft.report(_URL, "has ssl_keyfile without ssl_certfile")
        return
    try:
        # Without a word the library would ask for it at the terminal.
        context.load_cert_chain(certificate, key, given.get("ssl_password", ""))
    except OSError as error:
        files = f"{certificate!r}, ssl_keyfile {key!r}" if key else f"{certificate!r}"
        draft.report(_URL, f"ssl_certfile names {files}, which cannot be used: {error.strerror or error}")
