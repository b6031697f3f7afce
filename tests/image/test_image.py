"""Tests of the image's steps, carried out in a bare directory: what comes of them runs, and writes nowhere else."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from flows.dev.child import Child, free_port
from flows.dev.embedded import KafkaServer, ValkeyServer
from flows.dev.worker_metrics import fetch_metrics
from tests.conftest import REPOSITORY, Topics
from tests.image.bare import Tree, build
from tests.image.dockerfile import read_stages

REQUIRED = "TIERWISE_REQUIRE_IMAGE"
CACHE = "/var/cache/tierwise"
SETTINGS = "/etc/tierwise"
DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """Carry out the Dockerfile; skip where the machine does not let us, or in CI fail."""
    probe = subprocess.run(("unshare", "--mount", "true"), capture_output=True, text=True, check=False)
    if os.geteuid() != 0 or probe.returncode != 0:
        reason = f"the image's steps need root and mounts: {probe.stderr.strip() or 'not root'}"
        if os.environ.get(REQUIRED):
            pytest.fail(f"{reason}, and {REQUIRED} is set")
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("image")
    yield build(read_stages(REPOSITORY / "Dockerfile"), REPOSITORY, folder)
    shutil.rmtree(folder)  # Near a gigabyte.


@pytest.fixture
def volume(image: Tree, tmp_path: Path) -> Path:
    """Make a new volume for the kernels: it begins with what the image has there, as with any engine."""
    volume = tmp_path / "kernels"
    subprocess.run(("cp", "-a", image.inside(CACHE), volume), check=True)
    return volume


@pytest.fixture
def settings(
    image: Tree, tmp_path: Path, valkey: ValkeyServer, kafka: KafkaServer, topics: Topics, prefix: str
) -> Path:
    """Write settings for the servers of the test, in a folder of their own that the image's user can read."""
    document = {
        "prefix": prefix,
        "kafka": kafka.client_settings,
        "group": topics.group,
        "topics": {
            "input": list(topics.input),
            "changes": topics.changes,
            "dead_letters": topics.dead_letters,
        },
        "redis": {"url": valkey.url},
    }
    folder = tmp_path / "settings"
    folder.mkdir()
    (folder / "tierwise.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return folder


class Container:
    """What an engine would run with `--read-only`: the image's command, one volume, and the settings."""

    def __init__(self, image: Tree, settings: Path, volume: Path, cpuinfo: Path | None = None) -> None:
        self.port = free_port()
        self._image = image
        self._mounts = {CACHE: volume, SETTINGS: settings}
        self._env = {"TIERWISE_HTTP__PORT": str(self.port)}
        others = {"/proc/cpuinfo": cpuinfo} if cpuinfo else {}
        command = image.command(
            [*image.entrypoint, *image.cmd], {**self._mounts, **others}, self._env, read_only=True
        )
        self.main = Child("tierwise", command)

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run another command beside the first one."""
        return self._image.run(argv, self._mounts, self._env, read_only=True)

    def is_healthy(self) -> bool:
        """Ask as the image's health check does."""
        return self.run(*self._image.healthcheck).returncode == 0

    def applied(self) -> float:
        """Count the messages that were scored."""
        metrics = fetch_metrics(self.port) or {}
        return sum(value for name, value in metrics.items() if name.endswith("messages_applied_total"))


@pytest.fixture
def container(image: Tree, settings: Path, volume: Path) -> Iterator[Container]:
    """Start the image's own command."""
    container = Container(image, settings, volume)
    yield container
    container.main.stop(with_signal=9)


def files(folder: Path) -> dict[str, int]:
    """List all files of a folder with the time at which each was written."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in found}


def test_image__runs_as_somebody_who_may_write_nowhere_else(
    image: Tree, settings: Path, volume: Path
) -> None:
    """The user is not root, has a volume for kernels, and finds everything else read-only."""
    assert image.user == "10001:10001"
    assert image.volumes == (CACHE,)
    mounts = {CACHE: volume, SETTINGS: settings}
    done = image.run(["sh", "-c", f"id -u; id -g; id -un; touch {CACHE}/mine"], mounts, read_only=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "10001\n10001\ntierwise\n", "")
    for place in ("/", "/tmp", "/opt/tierwise", "/var/lib", "/etc"):
        assert image.run(["touch", f"{place}/mine"], mounts, read_only=True).returncode != 0, place


def test_image__has_no_tools_that_only_the_build_needs(image: Tree) -> None:
    """Neither sources, wheels nor the build's own packages are in what is shipped."""
    assert not any(image.inside(path).exists() for path in ("/src", "/wheels", "/opt/build"))


def test_worker__scores_from_a_read_only_tree_without_compiling(
    container: Container, image: Tree, volume: Path
) -> None:
    """Healthy, it scores what the image's own load sends; no kernel is compiled, and SIGTERM ends it with 0."""
    before = files(volume), files(image.root)
    container.main.wait_until(container.is_healthy, DEADLINE_S)
    load = container.run("tierwise", "dev", "load", "--rate", "200", "--seconds", "1")
    assert load.returncode == 0, load.stderr
    container.main.wait_until(lambda: container.applied() > 0, DEADLINE_S)
    assert container.main.stop() == 0, container.main.log_tail()
    assert not container.is_healthy()
    assert (files(volume), files(image.root)) == before


def test_worker__compiles_for_another_cpu_before_it_is_healthy(
    image: Tree, settings: Path, volume: Path, tmp_path: Path
) -> None:
    """Kernels of the CPU that built are left alone; those of this one come beside them, and the check says no."""
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("model name\t: another\nflags\t\t: fpu\n", encoding="ascii")
    before = set(files(volume))
    container = Container(image, settings, volume, cpuinfo)
    try:
        container.main.wait_until(lambda: len(set(files(volume)) - before) > 2, DEADLINE_S)
        assert not container.is_healthy()
        assert before <= set(files(volume))
        assert container.main.stop() == 0, container.main.log_tail()
    finally:
        container.main.stop(with_signal=9)
