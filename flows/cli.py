"""The command `tierwise`. This file parses, calls, and sets the exit code."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from config.check import check, in_force
from config.format_check import unscored_types
from config.problems import ConfigError
from config.settings import Settings, SettingsError, load_settings
from flows.measure import program_version
from flows.start_offsets import GAP_POLICIES, REFUSE
from scoring.policy import Policy

DONE, FAILED, WRONG = 0, 1, 2

RUN_TEXT = """\
Score the events of the partitions that the consumer group gives this process, until SIGTERM or Ctrl-C.
Start as many processes as you like, on as many machines: the group shares the partitions among them.
/metrics, /live and /ready are served at http.host:http.port (one port for each worker of a machine)."""
SETTINGS_TEXT = (
    "settings file [tierwise.yaml if there is one]; TIERWISE_REDIS__URL and the like come before it"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; answer its exit code."""
    parser = build_parser()
    parsed = parser.parse_args(arguments)
    if not hasattr(parsed, "run"):
        parser.print_help()
        return WRONG
    code: int = parsed.run(parsed)
    return code


def build_parser() -> argparse.ArgumentParser:
    """Declare every command with its options."""
    parser = argparse.ArgumentParser(
        prog="tierwise",
        description="Score every user of a live event stream; keep ladders exact, in Redis, to the second.",
        epilog="Exit codes: 0 done, 1 failed while running, 2 wrong settings, policy or usage.",
    )
    parser.add_argument("--version", action="version", version=f"tierwise {program_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_run(commands)
    _add_demo(commands)
    _add_check(commands)
    _add_explain(commands)
    _add_erase(commands)
    _add_dead_letters(commands)
    _add_rekey(commands)
    _add_profiles(commands)
    _add_webhooks(commands)
    _add_dev(commands)
    return parser


if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def _add_run(commands: "Commands") -> None:
    command = _command(commands, "run", "score the stream, as one worker of the group", RUN_TEXT)
    command.add_argument(
        "--on-offset-gap",
        choices=GAP_POLICIES,
        default=REFUSE,
        help="when Kafka has deleted events that were not scored yet: end with exit code 1 [refuse], or log how "
        "many are gone and go on with the first that is left",
    )
    _add_settings(command)
    command.add_argument(
        "--accept-dead-letters",
        action="store_true",
        help="read on where dead_letter_limit stopped a partition, and stop none in this run",
    )
    command.set_defaults(run=_run)


def _add_demo(commands: "Commands") -> None:
    text = "Start store and broker on this machine, generate a shop (or replay events), and watch it scored."
    command = _command(commands, "demo", "see it all live, with nothing installed", text)
    from flows.dev.demo import add_demo_arguments, run_demo

    add_demo_arguments(command)
    command.set_defaults(run=run_demo)


def _add_check(commands: "Commands") -> None:
    text = (
        "Name every problem of the settings and of the policy they name, each with its path. Contacts nobody."
    )
    command = _command(commands, "check", "check settings and policy", text)
    command.add_argument(
        "--show",
        action="store_true",
        help="print every setting in force, as YAML: file, environment and defaults, passwords hidden",
    )
    _add_settings(command)
    command.set_defaults(run=_check)


def _add_explain(commands: "Commands") -> None:
    text = (
        "Tell where a user stands and why: rung, score, each part's value and points, what is missing\n"
        "to the next rung, when and why the user falls if nothing happens. Reads the store alone."
    )
    command = _command(commands, "explain", "tell why a user is where they are", text)
    command.add_argument("user", metavar="USER", help="user id, as the events spell it")
    command.add_argument("--json", action="store_true", help="one JSON document instead of text")
    _add_settings(command)
    command.set_defaults(run=_explain)


def _add_erase(commands: "Commands") -> None:
    text = (
        "Erase a user for good: row, profile, audiences, remembered ids and orders. The worker that owns the\n"
        "user's shard does it with its next commit, takes leave on every ladder with cause `erase`, then sends a\n"
        "tombstone. A keyed hash of the id stays, with `seq` and how far the input had been read: old input does\n"
        "not bring the user back, and a user who returns goes on counting."
    )
    command = _command(commands, "erase", "erase a user for good", text)
    command.add_argument("user", metavar="USER", help="user id, as the events spell it")
    command.add_argument(
        "--wait", type=float, default=30.0, metavar="SECONDS", help="how long to wait for it to be done [30]"
    )
    _add_settings(command)
    command.set_defaults(run=_erase)


def _add_dead_letters(commands: "Commands") -> None:
    from flows.dead_letters.command import ACTIONS, TEXT

    command = _command(commands, "dead-letters", "look at what was set aside, send it again", TEXT)
    inner = command.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for action in ACTIONS:
        one = _command(inner, action.name, action.summary, action.text)
        action.add_arguments(one)
        _add_settings(one)
        one.set_defaults(run=_dead_letters, act=action.act)


def _add_rekey(commands: "Commands") -> None:
    from flows.rekey.command import REKEY_TEXT, add_rekey_arguments, run_rekey

    command = _command(commands, "rekey", "copy a topic into one keyed by user_id", REKEY_TEXT)
    add_rekey_arguments(command)
    _add_settings(command)
    command.set_defaults(run=_without_policy(run_rekey))


def _add_profiles(commands: "Commands") -> None:
    from flows.profiles.command import PROFILES_TEXT, add_profiles_arguments, run_profiles

    command = _command(commands, "profiles", "keep a topic with every user's newest profile", PROFILES_TEXT)
    add_profiles_arguments(command)
    _add_settings(command)
    command.set_defaults(run=_without_policy(run_profiles))


def _add_webhooks(commands: "Commands") -> None:
    from flows.webhooks.arguments import TEXT, add_deliver
    from flows.webhooks.command import ACTIONS

    command = _command(commands, "webhooks", "deliver changes to HTTP endpoints", TEXT)
    add_deliver(command)
    _add_settings(command)
    command.set_defaults(run=_without_policy(_webhooks), act=None)
    inner = command.add_subparsers(title="commands", metavar="COMMAND")
    for action in ACTIONS:
        one = _command(inner, action.name, action.summary, action.text)
        action.add_arguments(one)
        # Without a default of its own, so that the option may also stand before the command.
        one.add_argument(
            "--settings", type=Path, metavar="FILE", help=SETTINGS_TEXT, default=argparse.SUPPRESS
        )
        one.set_defaults(act=action.act)


def _add_dev(commands: "Commands") -> None:
    command = _command(commands, "dev", "servers for working on tierwise", "Servers for working on tierwise.")
    inner = command.add_subparsers(title="commands", metavar="COMMAND", required=True)
    text = "Start a store and a broker with all topics, print settings that reach them, and wait for Ctrl-C."
    up = _command(inner, "up", "start embedded store and broker", text)
    from flows.dev.up import run_dev_up

    up.set_defaults(run=run_dev_up)
    _add_dev_load(inner)


def _add_dev_load(commands: "Commands") -> None:
    from flows.dev.arguments import positive, positive_int
    from flows.dev.live import RATE, USERS

    text = (
        "Send what happens in a made-up shop, as it happens, to the input topics of the settings, until SIGTERM or\n"
        "Ctrl-C. The topics have to be there. With one topic all goes to it; with others than clickstream and orders,\n"
        "clicks go to the first and orders to the last."
    )
    load = _command(commands, "load", "send a made-up shop's events to your Kafka", text)
    load.add_argument("--rate", type=positive, default=RATE, help=f"messages a second, about [{RATE:g}]")
    load.add_argument("--users", type=positive_int, default=USERS, help=f"customers of the shop [{USERS:,}]")
    load.add_argument("--seconds", type=positive, help="stop after so long [never]")
    _add_settings(load)
    load.set_defaults(run=_dev_load)


def _command(commands: "Commands", name: str, summary: str, text: str) -> argparse.ArgumentParser:
    return commands.add_parser(
        name, help=summary, description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def _add_settings(command: argparse.ArgumentParser) -> None:
    command.add_argument("--settings", type=Path, metavar="FILE", help=SETTINGS_TEXT)


def _run(parsed: argparse.Namespace) -> int:
    found = _checked(parsed.settings)
    if found is None:
        return WRONG
    from flows.worker import run

    return run(*found, on_offset_gap=parsed.on_offset_gap, accept_dead_letters=parsed.accept_dead_letters)


def _check(parsed: argparse.Namespace) -> int:
    found = _checked(parsed.settings)
    if found is None:
        return WRONG
    settings, policy = found
    ok = f"ok: {settings.source} and {settings.policy} ({policy.name}@{policy.version})"
    print(f"# {ok}\n{in_force(settings)}" if parsed.show else ok)
    mark = "# note" if parsed.show else "note"  # What is shown is YAML.
    for topic, field_map in settings.topics.formats.items():
        if ignored := unscored_types(field_map, policy):
            print(f"{mark}: {topic} in {field_map.source}: the policy does not score {', '.join(ignored)}")
    return DONE


def _explain(parsed: argparse.Namespace) -> int:
    found = _checked(parsed.settings)
    if found is None:
        return WRONG
    from flows.explain import explain

    return explain(found[0], parsed.user, as_json=parsed.json)


def _dev_load(parsed: argparse.Namespace) -> int:
    found = _checked(parsed.settings)
    if found is None:
        return WRONG
    from flows.dev.live import run_load

    return run_load(found[0], parsed.rate, parsed.users, parsed.seconds)


def _erase(parsed: argparse.Namespace) -> int:
    found = _checked(parsed.settings)
    if found is None:
        return WRONG
    from flows.erase import erase

    return erase(found[0], parsed.user, wait_s=parsed.wait)


def _dead_letters(parsed: argparse.Namespace) -> int:
    found = _checked(parsed.settings)
    if found is None:
        return WRONG
    from flows.dead_letters.command import run

    return run(found[0], parsed)


def _webhooks(settings: Settings, parsed: argparse.Namespace) -> int:
    from flows.webhooks import command

    return command.run(settings, parsed) if parsed.act is None else command.act(settings, parsed)


def _without_policy(
    act: Callable[[Settings, argparse.Namespace], int],
) -> Callable[[argparse.Namespace], int]:
    """Make a command of what needs the settings alone: the policy is none of its business."""

    def run(parsed: argparse.Namespace) -> int:
        try:
            settings = load_settings(parsed.settings, os.environ)
        except SettingsError as error:
            _print_problems([error])
            return WRONG
        return act(settings, parsed)

    return run


def _checked(path: Path | None) -> tuple[Settings, Policy] | None:
    """Read settings and policy; without a single problem, or print all of them."""
    settings, policy, errors = check(path, os.environ)
    if errors or policy is None:
        _print_problems(errors)
        return None
    return settings, policy


def _print_problems(errors: Sequence[ConfigError]) -> None:
    for error in errors:
        print(error, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
