"""How settings are read from file and environment."""

import dataclasses
import json
from pathlib import Path

import pytest
import yaml

from config.check import check, problems_of
from config.kafka_rules import ALLOWED, is_secret
from config.settings import Settings, load_settings
from tests.unit.settings_files import read, write

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = REPOSITORY / "config" / "policies" / "ecommerce.yaml"

# As the contract prints them.
DEFAULTS = """
prefix: tierwise
kafka: {bootstrap.servers: "localhost:9092"}
group: tierwise
topics: {input: [clickstream, orders], changes: tierwise.changes, dead_letters: tierwise.dead-letters}
redis: {url: "redis://localhost:6379/0"}
policy: config/policies/ecommerce.yaml
commit_interval: 250ms
allowed_lateness: 3d
future_tolerance: 5m
watermark: {out_of_orderness: 5s, idle_after: 10s}
http: {host: 127.0.0.1, port: 9108}
"""

# Keys beyond those of the contract.
OURS = {
    "duplicates_per_user": 1024,
    "event_bytes_max": 65536,
    "dead_letter_limit": "off",
    "direct_reading": "on",
    "direct_publishing": "on",
    "registry": {
        "url": "",
        "basic_auth_user_info": "",
        "ssl_ca_location": "",
        "ssl_certificate_location": "",
        "ssl_key_location": "",
        "ssl_key_password": "",
        "proxy": "",
    },
    "webhooks": {
        "endpoints": {},
        "parked": "tierwise.webhooks-parked",
        "retry_plan": ["0s", "5s", "5m", "30m", "2h", "5h", "10h", "14h", "20h", "1d"],
        "pending_max": 1000,
    },
}


def without_source(settings: Settings) -> Settings:
    return dataclasses.replace(settings, source="")


def test_settings__defaults_are_those_of_the_contract(elsewhere: Path) -> None:
    """With no file and an empty environment every key has the value that is documented for it."""
    settings = load_settings(None, {})
    document = settings.redacted()
    expected = yaml.safe_load(DEFAULTS) | {"policy": str(SHIPPED)}
    expected["topics"] |= {"formats": {}, "encodings": {}}
    assert document == expected | OURS


def test_settings__the_printed_defaults_read_as_the_defaults(elsewhere: Path) -> None:
    """A file that says every default, and one that says nothing, mean the same."""
    assert without_source(read(elsewhere, DEFAULTS)) == without_source(read(elsewhere, ""))


def test_settings__what_is_left_out_at_any_depth_keeps_its_default(elsewhere: Path) -> None:
    """A group with one key in it, or with all of its lines commented out, keeps the other defaults."""
    settings = read(elsewhere, "topics: {changes: moves}\nhttp:\nwatermark: {idle_after: never}\n")
    assert settings.topics.input == ("clickstream", "orders")
    assert settings.topics.changes == "moves"
    assert settings.topics.dead_letters == "tierwise.dead-letters"
    assert (settings.http.host, settings.http.port) == ("127.0.0.1", 9108)
    assert settings.watermark.idle_after_ms is None
    assert settings.watermark.out_of_orderness_ms == 5000


def test_settings__kafka_keeps_its_default_broker(elsewhere: Path) -> None:
    """Kafka settings are laid over the defaults, all as the text librdkafka reads."""
    settings = read(elsewhere, "kafka: {socket.keepalive.enable: true, fetch.wait.max.ms: 20}\n")
    assert settings.kafka == {
        "bootstrap.servers": "localhost:9092",
        "socket.keepalive.enable": "true",
        "fetch.wait.max.ms": "20",
    }


def test_settings__topics_and_group_follow_the_prefix(elsewhere: Path) -> None:
    """Another prefix names other topics and another group, so two deployments cannot mix."""
    settings = read(elsewhere, "prefix: shop\n")
    assert (settings.topics.changes, settings.topics.dead_letters) == ("shop.changes", "shop.dead-letters")
    assert settings.group == "shop"


def test_settings__tierwise_yaml_of_the_working_directory_is_read(elsewhere: Path) -> None:
    """Without a path the file beside the operator counts, where there is one."""
    write(elsewhere, "prefix: here\n")
    assert load_settings(None, {}).prefix == "here"


def test_settings__environment_overrides_each_key(elsewhere: Path) -> None:
    """Two underscores nest, commas separate a list, numbers and durations read as in the file."""
    settings = read(
        elsewhere,
        DEFAULTS,
        TIERWISE_PREFIX="p",
        TIERWISE_REDIS__URL="redis://store:6379/3",
        TIERWISE_TOPICS__INPUT="a, b,c",
        TIERWISE_HTTP__PORT="0",
        TIERWISE_COMMIT_INTERVAL="1s",
        TIERWISE_WATERMARK__IDLE_AFTER="never",
        TIERWISE_DUPLICATES_PER_USER="16",
        TIERWISE_DEAD_LETTER_LIMIT="on",
        TIERWISE_DIRECT_READING="off",
        TIERWISE_DIRECT_PUBLISHING="off",
        HOME="/nowhere",
    )
    assert settings.prefix == "p"
    assert settings.redis.url == "redis://store:6379/3"
    assert settings.topics.input == ("a", "b", "c")
    assert settings.topics.changes == "tierwise.changes"
    assert settings.http.port == 0
    assert settings.commit_interval_ms == 1000
    assert settings.watermark.idle_after_ms is None
    assert settings.duplicates_per_user == 16
    assert settings.dead_letter_limit
    assert not settings.direct_reading
    assert not settings.direct_publishing


@pytest.mark.parametrize(
    "variable",
    [
        "TIERWISE_KAFKA__BOOTSTRAP_SERVERS",
        "TIERWISE_KAFKA__BOOTSTRAP__SERVERS",
        "TIERWISE_KAFKA__bootstrap.servers",
    ],
)
def test_settings__below_kafka_underscores_are_dots(elsewhere: Path, variable: str) -> None:
    """A shell cannot write a dot in a name, so an underscore stands for it."""
    assert load_settings(None, {variable: "broker:9092"}).kafka == {"bootstrap.servers": "broker:9092"}


def test_settings__secrets_come_from_files(elsewhere: Path) -> None:
    """A variable that ends in _FILE names a file whose text is the value, less the line's end."""
    (elsewhere / "url").write_text("redis://:hunter2@store/0\n")
    (elsewhere / "password").write_text("s3cret\n")
    settings = load_settings(
        None,
        {
            "TIERWISE_REDIS__URL_FILE": str(elsewhere / "url"),
            "TIERWISE_KAFKA__SASL_PASSWORD_FILE": str(elsewhere / "password"),
        },
    )
    assert settings.redis.url == "redis://:hunter2@store/0"
    assert settings.kafka["sasl.password"] == "s3cret"


def test_settings__secrets_are_not_printed(elsewhere: Path) -> None:
    """Neither the text form nor the redacted view of settings shows a password or a key."""
    text = (
        'kafka: {sasl.password: hunter2, ssl.key.password: hunter2}\nredis: {url: "redis://u:hunter2@s/0"}\n'
    )
    settings = read(elsewhere, text)
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in json.dumps(settings.redacted())
    assert settings.redacted()["redis"] == {"url": "redis://u:***@s/0"}


def test_settings__kubernetes_service_links_are_no_overrides(elsewhere: Path) -> None:
    """A service named tierwise puts its address into every pod; that changes nothing."""
    links = {
        "TIERWISE_SERVICE_HOST": "10.0.0.1",
        "TIERWISE_SERVICE_PORT_METRICS": "9108",
        "TIERWISE_PORT": "tcp://10.0.0.1:9108",
        "TIERWISE_PORT_9108_TCP_ADDR": "10.0.0.1",
        "TIERWISE_KERNEL_CACHE": "/var/cache/tierwise",
    }
    assert load_settings(None, links) == load_settings(None, {})


@pytest.mark.parametrize("key", ALLOWED)
def test_settings__kafka_settings_may_say_what_holds_anyway(elsewhere: Path, key: str) -> None:
    """A value that keeps the promise is no problem."""
    assert read(elsewhere, f"kafka: {{{key}: '{ALLOWED[key][0][0]}'}}").kafka[key] == ALLOWED[key][0][0]


def test_settings__kafka_secrets_are_known_by_name() -> None:
    """Each librdkafka setting that holds a secret is hidden, and those that only sound like one are not."""
    secrets = ("sasl.password", "ssl.key.password", "ssl.keystore.password", "ssl.key.pem")
    bearer = ("config", "client.secret", "client.credentials.client.secret")
    key = ("assertion.private.key.pem", "assertion.private.key.passphrase")
    for name in (*secrets, *(f"sasl.oauthbearer.{one}" for one in bearer + key)):
        assert is_secret(name), name
    for name in ("sasl.username", "ssl.key.location", "sasl.oauthbearer.token.endpoint.url"):
        assert not is_secret(name), name


def test_settings__policy_is_found_beside_the_file_then_here_then_as_shipped(elsewhere: Path) -> None:
    """A relative policy is looked for in that order; one that is nowhere is named beside the file."""
    folder = elsewhere / "etc"
    folder.mkdir()
    assert read(folder, "policy: p.yaml").policy == folder / "p.yaml"
    (elsewhere / "p.yaml").write_text("")
    assert read(folder, "policy: p.yaml").policy == Path("p.yaml")
    (folder / "p.yaml").write_text("")
    assert read(folder, "policy: p.yaml").policy == folder / "p.yaml"
    assert read(folder, "policy: config/policies/ecommerce.yaml").policy == SHIPPED


def test_check__judges_settings_and_policy_together(elsewhere: Path) -> None:
    """Problems of both files come in one list, each with its file; fine files give none."""
    assert problems_of(None, {}) == []
    policy_path = elsewhere / "p.yaml"
    policy_path.write_text(SHIPPED.read_text().replace("half_life: 30d", "half_life: 30 moons"))
    path = write(elsewhere, "policy: p.yaml\nredis: {url: nowhere}\n")
    assert [line.split(": ")[:2] for line in problems_of(path, {})] == [
        [str(path), "$.redis.url"],
        [str(policy_path), "$.features.attention.half_life"],
    ]
    settings, policy, errors = check(path, {})
    assert (policy, len(errors), settings.policy) == (None, 2, policy_path)
