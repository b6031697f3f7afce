"""Certificates for tests of TLS. This file has openssl make them: an authority, and what it signs."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

REQUIRED = "TIERWISE_REQUIRE_TLS"
IS_REQUIRED = bool(os.environ.get(REQUIRED))
OPENSSL, REDIS = "openssl", "redis-server"
"""The second is Debian's: the embedded store was built without TLS."""

_REQUEST = (
    *("openssl", "req", "-x509", "-nodes", "-days", "2"),
    *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
)
_OF_THIS_MACHINE = ("subjectAltName=IP:127.0.0.1,DNS:localhost", "basicConstraints=critical,CA:FALSE")


def missing_programs(*programs: str) -> str:
    """Say which programs this machine lacks for tests of TLS; empty when it has all."""
    missing = [program for program in programs if shutil.which(program) is None]
    return f"TLS needs {' and '.join(missing)}, not found on this machine" if missing else ""


def need_programs(*programs: str) -> None:
    """Skip the test where a program is missing; in CI, fail it."""
    if reason := missing_programs(*programs):
        if IS_REQUIRED:
            pytest.fail(f"{reason}, and {REQUIRED} is set")
        pytest.skip(reason)


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, each a PEM file."""

    file: Path
    key: Path


class Authority:
    """An authority that nobody else trusts; `file` is what clients are to trust."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        need_programs(OPENSSL)
        self._folder = folder
        self._own = self._make(name)
        self.file = self._own.file

    def sign(self, name: str) -> Certificate:
        """Make a certificate for this machine, as a server or as a client."""
        extensions = [word for one in _OF_THIS_MACHINE for word in ("-addext", one)]
        return self._make(name, "-CA", str(self.file), "-CAkey", str(self._own.key), *extensions)

    def _make(self, name: str, *options: str) -> Certificate:
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        files = ("-out", str(made.file), "-keyout", str(made.key))
        done = subprocess.run(
            [*_REQUEST, "-subj", f"/CN={name}", *files, *options], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return made
