"""The broker of the tests themselves: fetched once, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.kafka_broker import artifacts, without
from tests.support.processes import ROOT, until

# Says where the broker is, and then waits for its end.
RUN = """
import sys, time
from tests.support.kafka_broker.brokers import NativeBroker
broker = NativeBroker()
broker.start()
print(broker.pid, broker._folder, flush=True)
time.sleep(600)
"""
FETCH = "from tests.support.kafka_broker import artifacts; print(artifacts.jars())"
# Stands in for Maven: writes a line for each call, and a jar where it is told to.
MVN = """#!/bin/sh
echo called >> "$CALLS"
sleep 1
for argument; do case $argument in
-DoutputDirectory=*) echo jar > "${argument#-DoutputDirectory=}/kafka.jar" ;;
esac; done
"""


def started(code: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | more,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.fault
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_is_ended_leaves_no_broker(how: signal.Signals) -> None:
    """Neither process nor folder, however the run ended."""
    if why := artifacts.missing():
        without(why)
    run = started(RUN)
    assert run.stdout is not None
    pid, folder = run.stdout.readline().split()
    assert psutil.pid_exists(int(pid))
    run.send_signal(how)
    run.wait()
    until(lambda: not psutil.pid_exists(int(pid)), "the broker's end")
    until(lambda: not Path(folder).exists(), "the end of its folder")


def test_two_that_fetch_at_once_fetch_once(tmp_path: Path) -> None:
    """The other one waits, and finds what it needs."""
    maven, calls = tmp_path / "bin" / "mvn", tmp_path / "calls"
    maven.parent.mkdir()
    maven.write_text(MVN)
    maven.chmod(0o755)
    surroundings = {
        "PATH": f"{maven.parent}:{os.environ['PATH']}",
        "CALLS": str(calls),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    both = [started(FETCH, **surroundings) for _ in range(2)]
    said = {process.communicate(timeout=60)[0].strip() for process in both}
    assert calls.read_text() == "called\n"
    (folder,) = map(Path, said)
    assert (folder / "kafka.jar").exists()
    cached = {path.name for path in folder.parent.iterdir()}
    assert cached == {folder.name, f"{folder.name}.lock"}


def test_a_fetch_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one begins anew; what Maven said is told."""
    maven = tmp_path / "bin" / "mvn"
    maven.parent.mkdir()
    maven.write_text("#!/bin/sh\necho no network\nexit 1\n")
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", f"{maven.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(RuntimeError, match="no network"):
        artifacts.jars()
    assert [path.suffix for path in (tmp_path / "cache" / "candidate-journey").iterdir()] == [
        ".lock"
    ]


def test_without_java_it_is_said_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with Java, Maven."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert artifacts.missing() == "there is no java (17 or newer)"
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\n")
    java.chmod(0o755)
    assert artifacts.missing() == (
        f"there is no mvn to fetch Apache Kafka {artifacts.version()} with"
    )
