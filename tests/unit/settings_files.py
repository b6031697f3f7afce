"""Settings as an operator writes them. This file puts them into a folder and reads them."""

from pathlib import Path

from config.settings import Settings, load_settings


def write(folder: Path, text: str) -> Path:
    """Write a settings file."""
    path = folder / "tierwise.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def read(folder: Path, text: str, **environ: str) -> Settings:
    """Write a settings file and read it, under an environment."""
    return load_settings(write(folder, text), environ)
