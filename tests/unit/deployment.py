"""This file reads what an operator deploys, for the tests that hold it together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from config.check import problems_of
from tests.conftest import REPOSITORY
from tests.image.dockerfile import Stage, read_stages

CONFIG = REPOSITORY / "config"
KUBERNETES = CONFIG / "kubernetes"


def document(path: Path) -> Any:
    """Read a YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def compose() -> dict[str, Any]:
    """Read the compose file."""
    return document(CONFIG / "compose.yaml")


def manifest(name: str) -> dict[str, Any]:
    """Read one manifest, named without its ending."""
    return document(KUBERNETES / f"{name}.yaml")


def stages() -> list[Stage]:
    """Read the Dockerfile."""
    return read_stages(REPOSITORY / "Dockerfile")


def image_user() -> tuple[int, int]:
    """Answer user and group that the image runs as."""
    user, group = stages()[-1].only("USER").text.split(":")
    return int(user), int(group)


def mounted(folder: Path, files: Mapping[str, Path]) -> Path:
    """Lay files together under their names, as a mount does; answer the settings file among them."""
    for name, source in files.items():
        (folder / name).write_bytes(source.read_bytes())
    return folder / "tierwise.yaml"


def problems(settings: Path, environ: Mapping[str, str]) -> list[str]:
    """Answer what `tierwise check` would say of settings under an environment; nothing is good."""
    assert settings.exists()
    return problems_of(settings, {name: str(value) for name, value in environ.items()})
