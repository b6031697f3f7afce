"""Tests of the compose file: what it names exists, what it starts is unprivileged, and its parts fit together."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.settings import load_settings
from flows.cli import build_parser
from tests.conftest import REPOSITORY
from tests.unit import test_operations
from tests.unit.deployment import CONFIG, compose, document, mounted, problems, stages
from tests.unit.test_dockerfile import EXACT_VERSION
from tests.unit.test_operations import run

SERVICES: dict[str, dict[str, Any]] = compose()["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("tierwise")]
PARTITIONS = 4
promtool = test_operations.promtool


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Give each service."""
    return SERVICES[request.param]


def mounts(service: dict[str, Any]) -> list[tuple[str, str]]:
    """List source and target of each mount."""
    return [tuple(mount.split(":")[:2]) for mount in service.get("volumes", [])]


def settings_of(name: str, folder: Path) -> Path:
    """Lay out /etc/tierwise as a service of ours sees it."""
    files = {Path(target).name: CONFIG / source for source, target in mounts(SERVICES[name])}
    return mounted(folder, files)


def test_images__are_exact_versions_or_built_here(service: dict[str, Any]) -> None:
    """Nobody gets another program because a tag has moved."""
    if "build" in service:
        context = CONFIG / service["build"]["context"]
        assert (context / service["build"]["dockerfile"]).resolve() == REPOSITORY / "Dockerfile"
    else:
        assert EXACT_VERSION.fullmatch(service["image"])


def test_services__have_no_privileges(service: dict[str, Any]) -> None:
    """No capability, no way to gain one, a read-only root; and only this machine gets in."""
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid"} & set(service)
    assert service.get("read_only") or service["image"].startswith("apache/kafka:")
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_mounts__are_there(service: dict[str, Any]) -> None:
    """Each file or folder exists and is read-only; each volume is declared."""
    for mount in service.get("volumes", []):
        source, target, *mode = mount.split(":")
        assert target.startswith("/")
        if not source.startswith("."):
            assert source in compose()["volumes"]
            continue
        assert mode == ["ro"]
        assert (CONFIG / source).exists(), source


def test_volumes__are_all_used() -> None:
    """No volume is left over."""
    used = {source for service in SERVICES.values() for source, _ in mounts(service)}
    assert set(compose()["volumes"]) <= used


def test_services__wait_for_what_can_come_true(service: dict[str, Any]) -> None:
    """Who is waited for to be healthy has a check; who is waited for to end, ends."""
    for name, wanted in service.get("depends_on", {}).items():
        other = SERVICES[name]
        if wanted["condition"] == "service_healthy":
            assert name == "worker" or other["healthcheck"]["test"]
        else:
            assert wanted["condition"] == "service_completed_successfully"
            assert "restart" not in other


@pytest.mark.parametrize("name", OURS)
def test_commands__and_settings_are_good(name: str, tmp_path: Path) -> None:
    """The command can be typed, and settings with the service's variables pass the check."""
    command = SERVICES[name].get("command") or stages()[-1].only("CMD").words
    build_parser().parse_args(command)
    assert problems(settings_of(name, tmp_path), SERVICES[name]["environment"]) == []


@pytest.mark.parametrize("name", OURS)
def test_addresses__are_of_services(name: str, tmp_path: Path) -> None:
    """Broker and store are services here, at a port where they listen."""
    settings = load_settings(settings_of(name, tmp_path), SERVICES[name]["environment"])
    assert settings.redis.url == "redis://store:6379/0"
    assert "store" in SERVICES
    listeners = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"INSIDE://{settings.kafka['bootstrap.servers']}" in listeners.split(",")


def test_topics__are_those_that_are_read(tmp_path: Path) -> None:
    """Each input topic is made, with as many partitions as workers may be started."""
    script = SERVICES["topics"]["command"][-1]
    made = re.search(r"for topic in ([\w ]+);", script)
    assert made
    settings = load_settings(settings_of("worker", tmp_path), SERVICES["worker"]["environment"])
    assert tuple(made[1].split()) == settings.topics.input
    assert f"--partitions {PARTITIONS} " in script
    assert 2 <= SERVICES["worker"]["deploy"]["replicas"] <= PARTITIONS


def test_kafka__is_the_version_of_the_tests() -> None:
    """What is started here is what tests/kafka proves."""
    pom = (REPOSITORY / "tests" / "kafka" / "pom.xml").read_text(encoding="utf-8")
    proven = re.search(r"<groupId>org.apache.kafka</groupId>[^/]*/artifactId>\s*<version>([\d.]+)<", pom)
    assert proven
    for name in ("kafka", "topics"):
        assert SERVICES[name]["image"] == f"apache/kafka:{proven[1]}"


def test_prometheus__finds_workers_and_rules(promtool: str, tmp_path: Path) -> None:
    """It takes its configuration, with the rules where they are mounted, and asks the service that is there."""
    for source, target in mounts(SERVICES["prometheus"]):
        if source.startswith("."):
            (tmp_path / Path(target).name).symlink_to(CONFIG / source)
    command = SERVICES["prometheus"]["command"]
    (path,) = (word.partition("=")[2] for word in command if word.startswith("--config.file="))
    settings = document(tmp_path / Path(path).name)
    assert [*tmp_path.glob(settings["rule_files"][0])]
    run(promtool, "check", "config", tmp_path / Path(path).name)
    (asked,) = settings["scrape_configs"][0]["dns_sd_configs"]
    assert asked["names"] == ["worker"]
    assert str(asked["port"]) == stages()[-1].only("EXPOSE").text


def test_files__are_yaml_that_says_each_key_once() -> None:
    """A key that stands twice would silently win over the first."""
    for path in [*CONFIG.glob("*.yaml"), *CONFIG.glob("compose/*.yaml"), *CONFIG.glob("kubernetes/*.yaml")]:
        for node in yaml.compose_all(path.read_text(encoding="utf-8")):
            assert_no_key_twice(node, path)


def assert_no_key_twice(node: yaml.Node | None, path: Path) -> None:
    """Look at a node and all below it."""
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), (path, keys)
        for _, value in node.value:
            assert_no_key_twice(value, path)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            assert_no_key_twice(value, path)
