"""
Carry out a Dockerfile without an engine: each stage is a directory, each step a process that sees nothing else.

This file makes the directories. The base image is this machine's /usr and the Python of the tests, both to be
read only; /etc, /opt, /var and all else begin empty. Needs root, for mounts that only the step's process sees.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.image.dockerfile import Instruction, Stage

SYSTEM = ("/bin", "/sbin", "/lib", "/lib64")
FROM_HOST = tuple(dict.fromkeys(("/usr", sys.base_prefix)))
NETWORK = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/pip.conf", "/etc/ssl")
BASE_PATH = "/base/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OF_THE_BUILDER = re.compile(r"PIP_(?!NO_CACHE_DIR|DISABLE)\w+|\w*SSL_\w+|\w+_CA_BUNDLE|\w+_(proxy|PROXY)")
STEP_DEADLINE_S = 600


@dataclass
class Tree:
    """The files of one stage, and what its instructions have set."""

    root: Path
    env: dict[str, str] = field(default_factory=lambda: {"PATH": BASE_PATH})
    user: str = "0:0"
    workdir: str = "/"
    volumes: tuple[str, ...] = ()
    healthcheck: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()

    def inside(self, path: str) -> Path:
        """Say where a path of the image is on this machine."""
        return self.root / os.path.join(self.workdir, path).lstrip("/")

    def command(
        self,
        argv: Sequence[str],
        mounts: Mapping[str, Path] = {},
        env: Mapping[str, str] = {},
        read_only: bool = False,
    ) -> list[str]:
        """
        Answer a command that runs `argv` inside, as the image's user, without any privilege if that is not root.

        Args:
            mounts: files and folders of this machine by their path inside; to be written to.
            read_only: nothing else inside can be written to.
        """
        root = str(self.root)
        steps = [f"mount --bind {root} {root}"]
        for host in FROM_HOST:
            steps += [f"mount --bind {host} {root}{host}", f"mount -o remount,ro,bind {root}{host}"]
        steps += [f"mount --rbind /{name} {root}/{name}" for name in ("proc", "dev")]
        steps += ["mount -o remount,ro,bind " + root] if read_only else []
        steps += [f"mount --bind {shlex.quote(str(host))} {root}{inside}" for inside, host in mounts.items()]
        words = ["chroot", root, *self._as_user(), "env", "-i", "-C", self.workdir]
        words += [f"{name}={value}" for name, value in {**self.env, **env}.items()] + list(argv)
        script = "\n".join([*steps, f"exec {shlex.join(words)}"])
        return ["unshare", "--mount", "--propagation", "private", "sh", "-ceu", script]

    def run(
        self,
        argv: Sequence[str],
        mounts: Mapping[str, Path] = {},
        env: Mapping[str, str] = {},
        read_only: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside to its end."""
        command = self.command(argv, mounts, env, read_only)
        return subprocess.run(command, capture_output=True, text=True, timeout=STEP_DEADLINE_S, check=False)

    def _as_user(self) -> list[str]:
        if self.user == "0:0":
            return []
        user, group = self.user.split(":")
        nothing = ("--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "--pdeathsig", "KILL")
        return ["setpriv", "--reuid", user, "--regid", group, "--clear-groups", *nothing]


def build(stages: Sequence[Stage], context: Path, folder: Path) -> Tree:
    """Carry out all stages and answer the last one's files."""
    trees: dict[str, Tree] = {}
    for number, stage in enumerate(stages):
        root = folder / f"stage-{number}"
        if stage.base in trees:
            shutil.copytree(trees[stage.base].root, root, symlinks=True)
            tree = replace(trees[stage.base], root=root, env=dict(trees[stage.base].env))
        else:
            tree = _bare(root)
        for instruction in stage.instructions:
            _carry_out(tree, instruction, trees, context)
        trees[stage.name] = tree
    _round_times(tree.root)
    return tree


def _bare(root: Path) -> Tree:
    for name in ("etc", "proc", "dev", "tmp", "var", "opt", "base/bin", *(p.lstrip("/") for p in FROM_HOST)):
        (root / name).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    for name in SYSTEM:
        (root / name.lstrip("/")).symlink_to(f"usr{name}")
    (root / "base/bin/python").symlink_to(Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}"))
    for name in filter(os.path.exists, NETWORK):
        copy = shutil.copytree if os.path.isdir(name) else shutil.copy
        copy(os.path.realpath(name), root / name.lstrip("/"))
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n", encoding="utf-8")
    (root / "etc/group").write_text("root:x:0:\n", encoding="utf-8")
    return Tree(root)


def _carry_out(tree: Tree, instruction: Instruction, trees: Mapping[str, Tree], context: Path) -> None:
    match instruction.word:
        case "RUN":
            builder = {name: value for name, value in os.environ.items() if OF_THE_BUILDER.fullmatch(name)}
            done = tree.run(["sh", "-c", instruction.text], env=builder)
            assert done.returncode == 0, f"{instruction.text}\n{done.stdout}{done.stderr}"
        case "COPY":
            *sources, target = instruction.words
            origin = trees[instruction.options["from"]].root if "from" in instruction.options else context
            for source in sources:
                _copy(origin / source.lstrip("/"), tree.inside(target))
        case "ENV":
            for name, value in (word.split("=", 1) for word in shlex.split(instruction.text)):
                tree.env[name] = value.replace("$PATH", tree.env["PATH"])
        case "WORKDIR":
            tree.workdir = instruction.text
            tree.inside(".").mkdir(parents=True, exist_ok=True)
        case "USER":
            tree.user = instruction.text
        case "VOLUME":
            tree.volumes = (*tree.volumes, *instruction.words)
        case "ENTRYPOINT" | "CMD":
            setattr(tree, instruction.word.lower(), tuple(instruction.words))
        case "HEALTHCHECK":
            word, _, text = instruction.text.partition(" ")
            assert word == "CMD", instruction.text
            tree.healthcheck = tuple(Instruction(word, {}, text.strip()).words)
        case "EXPOSE" | "LABEL":
            pass
        case other:
            raise AssertionError(f"nobody carries out {other} here")


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, target, symlinks=True, ignore=ignored, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)


def _round_times(root: Path) -> None:
    """Forget fractions of seconds, as an image does on its way through a registry."""
    for folder, _, files in os.walk(root):
        for name in files:
            path = os.path.join(folder, name)
            changed_s = int(os.lstat(path).st_mtime)
            os.utime(path, (changed_s, changed_s), follow_symlinks=False)
