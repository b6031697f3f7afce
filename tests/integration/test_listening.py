"""What a worker and the embedded servers listen on: this machine alone, unless told otherwise."""

import os
import socket
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import pytest

from flows.dev.embedded import KafkaServer, ValkeyServer
from tests.integration.worker_process import WorkerProcess

LISTENS = "0A"


def listening(pid: int) -> set[tuple[str, int]]:
    """Answer the addresses and ports at which a process takes TCP connections."""
    own, found = set(), set()
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # Closed meanwhile.
            own.add(os.readlink(one).removeprefix("socket:[").removesuffix("]"))
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == LISTENS and words[9] in own:
                found.add(_place(words[1]))
    return found


def _place(text: str) -> tuple[str, int]:
    """Read an address as the kernel prints it: words of four bytes, each in the machine's order."""
    address, port = text.split(":")
    words = [int(address[at : at + 8], 16) for at in range(0, len(address), 8)]
    return str(ip_address(b"".join(socket.htonl(word).to_bytes(4, "big") for word in words))), int(port, 16)


@pytest.mark.parametrize(("settings", "address"), [("", "127.0.0.1"), ("http: {host: 0.0.0.0}", "0.0.0.0")])
def test_worker__listens_on_this_machine_unless_told_otherwise(
    tmp_path: Path, settings: str, address: str
) -> None:
    """/metrics, /live and /ready are the only port, and http.host says who may reach it."""
    file = tmp_path / "tierwise.yaml"
    file.write_text(f'kafka: {{bootstrap.servers: "127.0.0.1:1"}}\n{settings}\n', encoding="utf-8")
    with WorkerProcess(file) as worker:
        worker.wait_until(lambda: worker.answers("/live") == 200)
        assert listening(worker.pid) == {(address, worker.port)}


def test_embedded_servers__listen_on_this_machine(valkey: ValkeyServer, kafka: KafkaServer) -> None:
    """The servers of `tierwise demo` and `tierwise dev up` have no login, so nobody else may reach them."""
    assert listening(valkey.pid) == {("127.0.0.1", valkey.port)}
    assert listening(kafka.pid) == {("127.0.0.1", kafka.port)}
