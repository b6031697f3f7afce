"""Which settings are refused, and in what words."""

from pathlib import Path

import pytest

from config.kafka_rules import ALLOWED, AT_LEAST, REFUSED
from config.settings import SettingsError, load_settings
from tests.unit.settings_files import read, write


def lines_of(folder: Path, text: str, **environ: str) -> list[str]:
    """Answer the problems of settings that are refused."""
    with pytest.raises(SettingsError) as caught:
        read(folder, text, **environ)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("perfix: x", "$.perfix: unknown key; did you mean 'prefix'?"),
        ("prefix: 'a{b}'", "$.prefix: must be a name of letters, digits"),
        ("topics: {inputs: [a]}", "$.topics.inputs: unknown key; did you mean 'input'?"),
        ("topics: {inputs: }", "$.topics.inputs: unknown key; did you mean 'input'?"),
        ("htp:", "$.htp: unknown key; did you mean 'http'?"),
        ("topics: {input: []}", "$.topics.input: must not be empty"),
        ("topics: {input: [a, a]}", "$.topics.input: must not name anything twice, got 'a' twice"),
        ("topics: {input: ['a b']}", "$.topics.input[0]: must be a Kafka topic name"),
        ("topics: {input: [tierwise.changes]}", "$.topics.changes: must not be a topic that is read"),
        (
            "topics: {changes: x, dead_letters: x}",
            "$.topics.dead_letters: must not be a topic that is read or",
        ),
        ("redis: {host: a}", "$.redis.host: unknown key; say url"),
        ("redis: {url: localhost}", "$.redis.url: must be redis://HOST:PORT/DB"),
        ("redis: {url: 'redis://a:x/0'}", "$.redis.url: must be redis://HOST:PORT/DB"),
        ("redis: {url: 'redis://:hunter2@a/zero'}", "$.redis.url: must end with the number of a database"),
        ("redis: {url: 'http://:hunter2@a/0'}", "got 'http://:***@a/0'"),
        ("commit_interval: 250", "$.commit_interval: must be a duration with a unit such as"),
        ("commit_interval: 0s", "$.commit_interval: must be above 0, got '0s'"),
        ("allowed_lateness: 3 days", "$.allowed_lateness: unknown unit in '3 days'; use ms, s, m, h or d"),
        ("watermark: {idle_after: nevr}", "$.watermark.idle_after: must be a duration such as 10s, or never"),
        ("http: {port: 99999}", "$.http.port: must be at most 65535, got 99999"),
        ("http: {port: '9108'}", "$.http.port: must be a whole number, got '9108'"),
        ("dead_letter_limit: true", "$.dead_letter_limit: must be off or on, got true"),
        ("duplicates_per_user: 0", "$.duplicates_per_user: must be at least 1, got 0"),
        ("prefix: a\nprefix: b", "$.prefix: is written twice, lines 1 and 2"),
        ("- a", "$: must be a mapping of keys, got list"),
        ("kafka: {bootstrap.server: a}", "$.kafka['bootstrap.server']: unknown to librdkafka"),
        ("kafka: {linger.ms: soon}", "$.kafka['linger.ms']: librdkafka refuses it: Invalid value"),
        ("kafka: {sasl.password: [a]}", "$.kafka['sasl.password']: must be text"),
        ("kafka: {error_cb: print}", "$.kafka.error_cb: takes a function, which a file cannot hold"),
        (
            "kafka: {security.protocol: sasl_ssl, sasl.mechanism: PLAIN}",
            "$.kafka: librdkafka refuses it: Failed to create consumer: sasl.username and sasl.password must",
        ),
    ],
)
def test_settings_error__names_the_place_and_the_rule(elsewhere: Path, text: str, problem: str) -> None:
    """Each wrong setting is one line: where, what must hold, what was found; never a password."""
    (line,) = lines_of(elsewhere, text)
    assert problem in line
    assert "hunter2" not in line


@pytest.mark.parametrize("key", [*REFUSED, *ALLOWED])
def test_settings_error__kafka_settings_that_break_a_promise_are_refused_by_name(
    elsewhere: Path, key: str
) -> None:
    """What tierwise relies on cannot be set to anything else, and the reason is said."""
    lines = lines_of(elsewhere, f"kafka: {{{key}: '0'}}")
    assert any(key in line and len(line) > len(key) + 30 for line in lines)


@pytest.mark.parametrize("key", AT_LEAST)
def test_settings__kafka_settings_have_room_for_what_must_leave(elsewhere: Path, key: str) -> None:
    """A size that would block the outbox for good is refused, the smallest one that does not is taken."""
    least, reason = AT_LEAST[key]
    (line,) = lines_of(elsewhere, f"kafka: {{{key}: {least - 1}}}")
    assert line == f"$.kafka['{key}']: must be at least {least}, got {least - 1}: {reason}"
    assert read(elsewhere, f"kafka: {{{key}: {least}}}").kafka[key] == str(least)


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        (
            {"TIERWISE_REDIS__ULR": "x"},
            "TIERWISE_REDIS__ULR: names no setting; did you mean 'TIERWISE_REDIS__URL'?",
        ),
        ({"TIERWISE_REDIS": "x"}, "TIERWISE_REDIS: names no setting"),
        ({"TIERWISE_": "x"}, "TIERWISE_: names no setting"),
        ({"TIERWISE_KAFKA__": "x"}, "TIERWISE_KAFKA__: names no setting"),
        (
            {"TIERWISE_HTTP__PORT": "many"},
            "$.http.port: must be a whole number, got 'many' (from TIERWISE_HTTP__PORT)",
        ),
        (
            {"TIERWISE_REDIS__URL_FILE": "/nowhere"},
            "TIERWISE_REDIS__URL_FILE: names '/nowhere', which cannot be read",
        ),
        (
            {"TIERWISE_KAFKA__ACKS": "1"},
            "$.kafka.acks: must be all or -1, got '1': a change must survive the loss of a broker",
        ),
        (
            {"TIERWISE_KAFKA__GROUP_ID": "x"},
            "$.kafka['group.id']: is tierwise's own: say group (from TIERWISE_KAFKA__GROUP_ID)",
        ),
        (
            {"TIERWISE_TOPICS__INPUT": "a b"},
            "$.topics.input[0]: must be a Kafka topic name",
        ),
        (
            {"TIERWISE_GROUP": "a", "TIERWISE_GROUP_FILE": "/dev/null"},
            "TIERWISE_GROUP_FILE: says the same setting as TIERWISE_GROUP; keep one",
        ),
    ],
)
def test_settings_error__environment(elsewhere: Path, environ: dict[str, str], problem: str) -> None:
    """A variable that names no setting or holds a wrong value is named."""
    (line,) = lines_of(elsewhere, "", **environ)
    assert line.startswith(problem)


def test_settings_error__names_all_problems_at_once(elsewhere: Path) -> None:
    """File and environment are judged in one go."""
    path = write(elsewhere, "perfix: a\nhttp: {port: -1}\ncommit_interval: 5 parsecs\n")
    with pytest.raises(SettingsError) as caught:
        load_settings(path, {"TIERWISE_GRUOP": "x"})
    assert str(caught.value) == "\n".join(
        [
            f"SettingsError: {path}: 4 problems",
            "  TIERWISE_GRUOP: names no setting; did you mean 'TIERWISE_GROUP'?",
            "  $.perfix: unknown key; did you mean 'prefix'?",
            "  $.commit_interval: unknown unit in '5 parsecs'; use ms, s, m, h or d",
            "  $.http.port: must be at least 0, got -1",
        ]
    )


def test_settings_error__a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that was asked for and is not there is a problem, never a reason for defaults."""
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        load_settings(tmp_path / "tierwise.yaml", {})
