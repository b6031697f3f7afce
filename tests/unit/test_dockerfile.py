"""Tests of the Dockerfile without carrying it out, which tests/image does."""

import re

from config.schema_check import schema
from tests.conftest import REPOSITORY
from tests.unit.deployment import image_user, stages

EXACT_VERSION = re.compile(r"[\w/.]+:v?\d+\.\d+\.\d+(-[\w.]+)?")


def test_base__is_named_by_its_exact_version() -> None:
    """The same Dockerfile gives the same Python; other stages build on that one."""
    base, *others = stages()
    assert EXACT_VERSION.fullmatch(base.base)
    assert {stage.base for stage in others} == {base.name}


def test_copies__are_of_what_is_there_and_let_through() -> None:
    """Each file that is copied exists and is named in .dockerignore, and nothing else is."""
    copies = [one for stage in stages() for one in stage.instructions if one.word == "COPY"]
    sources = {source for one in copies if "from" not in one.options for source in one.words[:-1]}
    ignored = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").split()
    assert ignored[0] == "*"
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == sources
    assert all((REPOSITORY / source).exists() for source in sources)


def test_image__runs_as_a_numbered_user_that_is_not_root() -> None:
    """A number, so that a cluster can see that it is not root."""
    assert min(image_user()) > 0


def test_image__port_and_check_are_those_of_the_settings() -> None:
    """The port that is exposed is the default, and the health check asks /ready there."""
    port = str(schema("settings")["properties"]["http"]["properties"]["port"].get("default", 9108))
    check = stages()[-1].only("HEALTHCHECK").text
    assert stages()[-1].only("EXPOSE").text == port
    assert port in check
    assert "'/ready'" in check
    assert "TIERWISE_HTTP__PORT" in check


def test_image__keeps_kernels_where_it_says() -> None:
    """The one volume is where kernels are looked for."""
    shipped = stages()[-1]
    environment = " ".join(one.text for one in shipped.instructions if one.word == "ENV")
    assert f"TIERWISE_KERNEL_CACHE={shipped.only('VOLUME').text}" in environment
