"""The three kinds of broker a test may get; all are used alike."""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self
from uuid import uuid4

import pytest

from tests.support.kafka_broker.artifacts import jars

_START_SECONDS = 180.0
_STOP_SECONDS = 60.0
_LOOK_SECONDS = 0.05
_JAVA = ("java", "-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-Dlog4j2.level=WARN")
# A broker of a few minutes is up in half the processor time when its code is compiled only lightly.
_LIGHTLY = "-XX:TieredStopAtLevel=1"

# One node needs no copies, and tests need no patience: groups begin at once, and may be short.
COMMON = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
}


class Broker:
    """A broker: where it is, and how it is stopped, started, paused and killed.

    `bootstrap` is "127.0.0.1:port" and stays the same over stops and starts, as do the data.
    `pid` is that of the process while one runs, None otherwise.
    """

    bootstrap: str
    pid: int | None = None

    def start(self) -> None:
        """Start it, if it is not running; returns when it answers."""
        raise NotImplementedError

    def stop(self) -> None:
        """Shut it down in good order; returns when it has ended."""
        raise NotImplementedError

    def kill(self) -> None:
        """End it as a power cut would; returns when it has ended."""
        raise NotImplementedError

    def pause(self) -> None:
        """Let it hang: connections stay, nothing answers."""
        raise NotImplementedError

    def resume(self) -> None:
        """Let it go on after `pause`."""
        raise NotImplementedError

    def close(self) -> None:
        """End it for good and leave nothing behind."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _await(self) -> None:
        """Return when it answers; fails when it does not."""
        # Imported here: every test run imports this module, and few start a broker.
        from kafka import KafkaAdminClient
        from kafka.errors import KafkaError

        deadline = time.monotonic() + _START_SECONDS
        host, port = self.bootstrap.split(",")[0].rsplit(":", 1)
        while True:
            self._must_run()
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
                break
            assert time.monotonic() < deadline, f"no broker at {self.bootstrap}: {self._said()}"
            time.sleep(_LOOK_SECONDS)
        # It listens before it answers, and the library's first retry waits for seconds.
        try:
            KafkaAdminClient(
                bootstrap_servers=self.bootstrap, bootstrap_timeout_ms=_START_SECONDS * 1000
            ).close()
        except KafkaError:
            self._must_run()
            raise AssertionError(f"no answer from {self.bootstrap}: {self._said()}") from None

    def _must_run(self) -> None:
        """Fail when it has ended by itself."""

    def _said(self) -> str:
        return "nothing is known"


class OutsideBroker(Broker):
    """The broker that JOURNEY_KAFKA names; not ours to stop."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def start(self) -> None:
        self._await()

    def stop(self) -> None:
        pytest.skip("the broker of JOURNEY_KAFKA is not ours to stop")

    kill = pause = resume = stop

    def close(self) -> None:
        """Nothing is ours."""


class NativeBroker(Broker):
    """Apache Kafka in a Java of our own, its data in a temporary folder.

    `listeners` are more ways in beside the plain one, name → protocol; `addresses` then says where
    they are. `settings` are Kafka's own, `formatted_with` more arguments of its storage tool.
    `measured` is one as fast as in production, which takes longer to start.
    """

    def __init__(
        self,
        *,
        measured: bool = False,
        listeners: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        formatted_with: Sequence[str] = (),
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="journey-kafka-"))
        self._keeper = Keeper(self._folder)
        self._process: subprocess.Popen[bytes] | None = None
        self._log = self._folder / "broker.log"
        self._formatted_with = tuple(formatted_with)
        self._java = _JAVA if measured else (*_JAVA, _LIGHTLY)
        protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", **(listeners or {})}
        ports = free_ports(len(protocols))
        self.addresses = {
            name: f"127.0.0.1:{port}" for name, port in zip(protocols, ports, strict=True)
        }
        self.bootstrap = self.addresses["PLAINTEXT"]
        listening = {name: f"{name}://{where}" for name, where in self.addresses.items()}
        self._properties = self._folder / "server.properties"
        _write_properties(
            self._properties,
            COMMON
            | {
                "listeners": ",".join(listening.values()),
                "advertised.listeners": ",".join(
                    told for name, told in listening.items() if name != "CONTROLLER"
                ),
                "listener.security.protocol.map": ",".join(
                    f"{name}:{protocol}" for name, protocol in protocols.items()
                ),
                "controller.quorum.bootstrap.servers": self.addresses["CONTROLLER"],
                "log.dirs": str(self._folder / "data"),
            }
            | dict(settings or {}),
        )

    def start(self) -> None:
        if self._process is not None:
            return
        if not (self._folder / "data").exists():
            self._format()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._java, "-cp", f"{jars()}/*", "kafka.Kafka", str(self._properties)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is meant for the run, which then ends the broker in its own time.
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._keeper.say(["kill", "-9", str(self.pid)])
        self._await()

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.kill()
        self._keeper.close()

    def _format(self) -> None:
        # The first character is none that would make an option of it.
        cluster = "k" + urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")[1:]
        subprocess.run(
            [
                *self._java, "-cp", f"{jars()}/*", "kafka.tools.StorageTool", "format",
                "--standalone", "--cluster-id", cluster, "--config", str(self._properties),
                *self._formatted_with,
            ],
            check=True,
            capture_output=True,
            timeout=_START_SECONDS,
        )  # fmt: skip

    def _end(self, how: signal.Signals) -> None:
        process, self._process, self.pid = self._process, None, None
        if process is None:
            return
        process.send_signal(how)
        if how is not signal.SIGKILL:
            # One that is paused hears no SIGTERM.
            process.send_signal(signal.SIGCONT)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._keeper.say([])

    def _must_run(self) -> None:
        assert self._process is not None
        code = self._process.poll()
        assert code is None, f"the broker ended with {code}: {self._said()}"

    def _said(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]


class ContainerBroker(Broker):
    """The official image of Apache Kafka; for machines with an engine and without Java."""

    def __init__(self, engine: str, version: str) -> None:
        self._engine = engine
        self._image = f"docker.io/apache/kafka:{version}"
        self._name = f"journey-kafka-{secrets.token_hex(4)}"
        self._folder = Path(tempfile.mkdtemp(prefix="journey-kafka-"))
        self._keeper = Keeper(self._folder)
        self._made = False
        (self._port,) = free_ports(1)
        self.bootstrap = f"127.0.0.1:{self._port}"

    def start(self) -> None:
        if self._made:
            self._run("start", self._name)
        else:
            self._keeper.say([self._engine, "rm", "--force", self._name])
            port = self._port
            settings = COMMON | {
                "listeners": f"PLAINTEXT://0.0.0.0:{port},CONTROLLER://127.0.0.1:9093",
                "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
                "controller.quorum.voters": "1@127.0.0.1:9093",
            }
            named = (f"KAFKA_{key.upper().replace('.', '_')}={settings[key]}" for key in settings)
            self._run(
                "run", "--detach", "--name", self._name, "--publish", f"127.0.0.1:{port}:{port}",
                *(part for each in named for part in ("--env", each)), self._image,
            )  # fmt: skip
            self._made = True
        self.pid = int(self._run("inspect", "--format", "{{.State.Pid}}", self._name))
        self._await()

    def stop(self) -> None:
        self.pid = None
        self._run("stop", self._name)

    def kill(self) -> None:
        self.pid = None
        self._run("kill", self._name)

    def pause(self) -> None:
        self._run("pause", self._name)

    def resume(self) -> None:
        self._run("unpause", self._name)

    def close(self) -> None:
        self._keeper.close()

    def _run(self, *arguments: str) -> str:
        ended = subprocess.run(
            [self._engine, *arguments], capture_output=True, text=True, timeout=600, check=False
        )
        assert ended.returncode == 0, ended.stderr[-2000:]
        return ended.stdout.strip()

    def _said(self) -> str:
        return self._run("logs", "--tail", "40", self._name)


class Keeper:
    """A process beside ours that clears up when ours has ended, even by SIGKILL."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("keeper.py")), str(folder)],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def say(self, command: list[str]) -> None:
        """What ends the broker from now on; nothing when it does not run."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def close(self) -> None:
        """Have it clear up now."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        self._process.wait()


def engine() -> str | None:
    """A container engine that answers, or None."""
    for name in ("docker", "podman"):
        if path := shutil.which(name):
            with contextlib.suppress(subprocess.TimeoutExpired):
                if subprocess.run([path, "info"], capture_output=True, timeout=20).returncode == 0:
                    return path
    return None


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on.

    Below those that the system gives to outgoing connections: while a broker is stopped, such a
    connection could take its port, or a client that tries again and again connect to itself.
    """
    found: list[int] = []
    # Each worker has ports of its own: nobody else takes one before it is listened on, or while its
    # broker is stopped. Not the seeded generator: two runs with one seed would take the same.
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = max(worker + 1, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    own = range(20_000 + worker, 32_000, workers)
    for port in random.SystemRandom().sample(own, len(own)):
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free port between 20000 and 32000")


def _write_properties(path: Path, settings: dict[str, str]) -> None:
    path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    os.chmod(path, 0o600)


__all__ = ["Broker", "ContainerBroker", "NativeBroker", "OutsideBroker", "engine", "free_ports"]
