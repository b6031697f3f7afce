"""Who is compared, and how each is started. This file lists the peers."""

import hashlib
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CACHE = ROOT / ".peers"
INSTALL_DEADLINE_S = 900.0


class PeerMissing(RuntimeError):
    """The peer cannot be had here; the message says why."""


@dataclass(frozen=True)
class Peer:
    """
    One peer, one way.

    Args:
        module: its program, a module of this package, or a Java class of the folder jvm.
        way: "taught" is its own documentation's idiom, "tuned" what its docstring says.
        share: of the events; slow ones get fewer, so that a round takes seconds, not minutes.
        needs: what its environment is made of: requirements-NAME.txt, "jvm", or nothing beyond the project's own.
    """

    name: str
    module: str
    way: str
    share: float
    needs: str = ""

    def command(self) -> list[str]:
        """Answer how it is started, its environment made if it is not there yet; PeerMissing when it cannot be."""
        if self.needs == "jvm":
            return ["java", *JVM, "-cp", class_path(OTHERS_ROCKSDB[self.module]), self.module]
        python = environment(self.needs) if self.needs else sys.executable
        return [python, "-m", f"benchmarks.peers.{self.module}"]

    def environment(self) -> dict[str, str]:
        """Answer the variables it needs."""
        return {"PEER_JARS": str(jars())} if self.needs == "pyflink" else {}


JVM = (
    *("-Xmx2g", "-XX:+UseG1GC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"),
    *("--add-opens", "java.base/java.util=ALL-UNNAMED", "--add-opens", "java.base/java.lang=ALL-UNNAMED"),
)
OTHERS_ROCKSDB = {"FlinkPeer": "rocksdbjni", "KafkaStreamsPeer": "frocksdbjni"}
"""Each brings a build of its own, with the same classes: on the other's, a checkpoint of Flink fails."""
PEERS = (
    Peer("plain loop, simple", "plain", "taught", 0.25),
    Peer("plain loop, tuned", "plain", "tuned", 1),
    Peer("Bytewax, as taught", "on_bytewax", "taught", 0.1),
    Peer("Bytewax, tuned", "on_bytewax", "tuned", 0.25),
    Peer("Redis and Lua", "lua", "tuned", 0.25),
    Peer("Quix Streams, as taught", "on_quix", "taught", 0.05, "quix"),
    Peer("Quix Streams, tuned", "on_quix", "tuned", 0.05, "quix"),
    Peer("Pathway, as taught", "on_pathway", "taught", 0.1, "pathway"),
    Peer("Pathway, tuned", "on_pathway", "tuned", 0.1, "pathway"),
    Peer("PyFlink, as taught", "on_pyflink", "taught", 0.01, "pyflink"),
    Peer("PyFlink, tuned", "on_pyflink", "tuned", 0.05, "pyflink"),
    Peer("Faust, as taught", "on_faust", "taught", 0.01, "faust"),
    Peer("Faust, tuned", "on_faust", "tuned", 0.05, "faust"),
    Peer("Kafka Streams, as taught", "KafkaStreamsPeer", "taught", 0.1, "jvm"),
    Peer("Kafka Streams, tuned", "KafkaStreamsPeer", "tuned", 0.25, "jvm"),
    Peer("Flink, as taught", "FlinkPeer", "taught", 0.1, "jvm"),
    Peer("Flink, tuned", "FlinkPeer", "tuned", 0.25, "jvm"),
)


def versions() -> dict[str, str]:
    """Answer the versions of the peers, as their requirements and the pom pin them."""
    pinned = "\n".join(file.read_text(encoding="utf-8") for file in HERE.glob("requirements-*.txt"))
    named = re.findall(r"^(quixstreams|pathway|faust-streaming|apache-flink)==(\S+)", pinned, re.M)
    pom = (HERE / "jvm" / "pom.xml").read_text(encoding="utf-8")
    named += re.findall(
        r"<artifactId>(kafka-streams|flink-streaming-java)</artifactId>\s*<version>(.+?)<", pom
    )
    return dict(named)


def environment(name: str) -> str:
    """Answer the Python of a virtual environment that holds requirements-NAME.txt."""
    requirements = HERE / f"requirements-{name}.txt"
    if not requirements.exists():
        raise PeerMissing(f"no {requirements.name}")
    folder = CACHE / f"{name}-{digest(requirements)}"
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        shutil.rmtree(folder, ignore_errors=True)
        run(sys.executable, "-m", "venv", str(folder))
        run(str(python), "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(requirements))
        (folder / "installed").touch()
    return str(python)


def jars() -> Path:
    """Answer the folder of the jars that Maven fetched."""
    pom = HERE / "jvm" / "pom.xml"
    folder = CACHE / f"jars-{digest(pom)}"
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        copy = ("dependency:copy-dependencies", f"-DoutputDirectory={partial}", "-DincludeScope=runtime")
        run("mvn", "--batch-mode", "--quiet", "--strict-checksums", "--file", str(pom), *copy)
        partial.rename(folder)
    return folder


def class_path(without: str) -> str:
    """Answer our classes and all jars but those of this name."""
    others = sorted(jar for jar in jars().glob("*.jar") if not jar.name.startswith(f"{without}-"))
    return ":".join(map(str, (java_classes(), *others)))


def java_classes() -> Path:
    """Answer the folder of our own classes, compiled."""
    sources = sorted((HERE / "jvm").glob("*.java"))
    folder = CACHE / f"classes-{digest(*sources)}"
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        run("javac", "-nowarn", "-cp", f"{jars()}/*", "-d", str(partial), *map(str, sources))
        partial.rename(folder)
    return folder


def digest(*files: Path) -> str:
    """Name a state of these files."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def run(*command: str) -> None:
    """Run a step of an installation; PeerMissing with the end of what it said when it did not go well."""
    CACHE.mkdir(exist_ok=True)
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_DEADLINE_S
        )
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise PeerMissing(str(error)) from error
    if done.returncode:
        raise PeerMissing(
            f"{command[0]} ended with {done.returncode}: {(done.stdout + done.stderr)[-300:].strip()}"
        )
