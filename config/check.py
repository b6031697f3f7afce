"""This file holds the check of everything an operator writes: settings and policy in one go."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from config.format_check import format_problems
from config.policy_file import PolicyError, load_policy
from config.problems import ConfigError
from config.settings import Settings, SettingsError, read_settings
from scoring.policy import Policy


def check(
    settings_path: Path | None, environ: Mapping[str, str]
) -> tuple[Settings, Policy | None, list[ConfigError]]:
    """Answer settings, policy and an error for each that has problems; the policy is None if it has any."""
    errors: list[ConfigError] = []
    settings, problems = read_settings(settings_path, environ)
    policy = None
    try:
        policy = load_policy(settings.policy)
        problems += format_problems(settings.topics.formats, policy)
    except PolicyError as error:
        errors.append(error)
    if problems:
        errors.insert(0, SettingsError(settings.source, problems))
    return settings, policy, errors


def problems_of(settings_path: Path | None, environ: Mapping[str, str]) -> list[str]:
    """Answer every problem of settings and policy as a line, `FILE: $.path: rule`."""
    _, _, errors = check(settings_path, environ)
    return [f"{error.source}: {problem}" for error in errors for problem in error.problems]


def in_force(settings: Settings) -> str:
    """Write settings as a file would say them, defaults and environment included, without their secrets."""
    return yaml.safe_dump(settings.redacted(), sort_keys=False, allow_unicode=True, width=200)
