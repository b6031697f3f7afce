"""Tests of the command: what it offers, what it prints, how it ends."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from config.settings import load_settings
from flows.cli import build_parser, main
from tests.conftest import REPOSITORY

GOOD = "prefix: shop\n"
BAD_SETTINGS = "prefix: shop\ncommit_intervall: 1s\nallowed_lateness: 14 dyas\n"
COMMANDS = ("run", "demo", "check", "explain", "dead-letters", "rekey", "profiles", "webhooks", "dev")
INNER = (
    "dead-letters list",
    "dead-letters show",
    "dead-letters replay",
    "webhooks list",
    "webhooks resend",
    "dev up",
    "dev load",
)
REKEY = ["--from", "raw", "--to", "keyed"]
BAD_POLICY = "policy: p\nversion: 1\ncurrency: XXL\nevents: {}\n"


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run in an empty folder, without settings from outside."""
    monkeypatch.chdir(tmp_path)
    for name in ("TIERWISE_PREFIX", "TIERWISE_POLICY"):
        monkeypatch.delenv(name, raising=False)


def settings_file(folder: Path, text: str) -> list[str]:
    """Write settings, and name them as options do."""
    path = folder / "tierwise.yaml"
    path.write_text(text, encoding="utf-8")
    return ["--settings", str(path)]


def test_help__names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The help of the program lists the commands and the exit codes."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert all(f"\n    {command}" in shown for command in COMMANDS)
    assert "0 done, 1 failed while running, 2 wrong settings" in shown


@pytest.mark.parametrize("command", [*COMMANDS, *INNER])
def test_help__of_each_command_tells_what_it_does(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command describes itself and all of its options."""
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"usage: tierwise {command}" in shown
    assert len(shown.splitlines()) > 4


@pytest.mark.parametrize(
    "arguments",
    [
        *([], ["rate"], ["run", "--speed", "9"], ["explain"], ["dev"]),
        *(["rekey", *REKEY[:2]], ["rekey", *REKEY[2:]]),
        *(["rekey", *REKEY, "--partitions", wrong] for wrong in ("0", "-4", "four")),
        ["rekey", *REKEY, "--partitioner", "random"],
        ["dev", "load", "--rate", "0"],
    ],
)
def test_usage__that_is_wrong_ends_with_2(arguments: list[str]) -> None:
    """No command, an unknown one, an unknown option or a missing argument: exit code 2."""
    try:
        code = main(arguments)
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == 2


def test_check__says_ok_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Settings and policy without a problem: one line, exit code 0."""
    assert main(["check", *settings_file(tmp_path, GOOD)]) == 0
    assert capsys.readouterr().out.startswith("ok: ")


def test_check__shows_what_is_in_force_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """File, environment and defaults together, readable as a settings file; of a password only that there is one."""
    (tmp_path / "password").write_text("hunter2\n", encoding="utf-8")
    monkeypatch.setenv("TIERWISE_KAFKA__SASL_PASSWORD_FILE", str(tmp_path / "password"))
    monkeypatch.setenv("TIERWISE_REDIS__URL", "rediss://worker:hunter2@store:6379/0?ssl_password=hunter2")
    monkeypatch.setenv("TIERWISE_COMMIT_INTERVAL", "1s")
    written = settings_file(tmp_path, GOOD + "dead_letter_limit: on\n")
    assert main(["check", "--show", *written]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("# ok: ")
    assert "hunter2" not in shown
    document = yaml.safe_load(shown)
    assert document["kafka"]["sasl.password"] == "***"
    assert document["redis"]["url"] == "rediss://worker:***@store:6379/0?ssl_password=***"
    assert (document["prefix"], document["commit_interval"]) == ("shop", "1s")
    again = tmp_path / "again.yaml"
    again.write_text(shown, encoding="utf-8")
    monkeypatch.delenv("TIERWISE_KAFKA__SASL_PASSWORD_FILE")
    monkeypatch.delenv("TIERWISE_REDIS__URL")
    assert load_settings(again, {}).redacted() == document


def test_check__names_every_problem_of_both_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All problems of settings and policy are printed at once, each with its path, exit code 2."""
    (tmp_path / "policy.yaml").write_text(BAD_POLICY, encoding="utf-8")
    assert main(["check", "--show", *settings_file(tmp_path, BAD_SETTINGS + "policy: policy.yaml\n")]) == 2
    out, shown = capsys.readouterr()
    assert out == ""
    assert "SettingsError" in shown
    assert "PolicyError" in shown
    assert all(path in shown for path in ("$.commit_intervall: ", "$.allowed_lateness: ", "$.currency: "))


@pytest.mark.parametrize(
    "command",
    [
        ["run"],
        ["explain", "u1"],
        ["dead-letters", "list"],
        ["rekey", *REKEY],
        ["profiles"],
        ["webhooks"],
        ["dev", "load"],
    ],
)
def test_commands__do_not_start_with_wrong_settings(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command that needs settings refuses wrong ones before it contacts anybody."""
    assert main([*command, *settings_file(tmp_path, BAD_SETTINGS)]) == 2
    assert "$.commit_intervall: " in capsys.readouterr().err


def test_check__does_not_compile_kernels() -> None:
    """Checking a policy stays quick: it needs no kernel."""
    code = "import sys; from flows.cli import main; main(['check']); sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0


def test_commands__that_errors_and_documents_name_can_be_typed() -> None:
    """A way out that is told with its options is one that the program takes."""
    texts = [
        path.read_text(encoding="utf-8")
        for room in ("flows", "sinks")
        for path in (REPOSITORY / room).rglob("*.py")
    ]
    texts += [path.read_text(encoding="utf-8") for path in (REPOSITORY / "docs").glob("*.md")]
    named = [found for text in texts for found in re.findall(r"\btierwise (rekey --[^\"`\n]+)", text)]
    assert len(named) > 2
    for command in named:
        build_parser().parse_args(command.split())


def test_parser__is_called_tierwise() -> None:
    """Messages name the program as it is installed, however it was started."""
    assert build_parser().prog == "tierwise"
