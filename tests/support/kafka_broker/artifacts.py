"""The jars of Apache Kafka, fetched once by Maven and kept in the user's cache folder."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

POM = Path(__file__).with_name("pom.xml")
_FETCH_SECONDS = 600


def version() -> str:
    """The version of Apache Kafka in tests, from the POM."""
    found = re.search(
        r"<artifactId>kafka_2\.13</artifactId>\s*<version>([^<]+)</version>", POM.read_text()
    )
    assert found is not None
    return found[1]


def missing() -> str | None:
    """Why no broker can be run from jars here; None when one can."""
    if shutil.which("java") is None:
        return "there is no java (17 or newer)"
    if not _folder().is_dir() and shutil.which("mvn") is None:
        return f"there is no mvn to fetch Apache Kafka {version()} with"
    return None


def jars() -> Path:
    """The folder of the jars; fetched if they are not there yet.

    However many processes ask at once, one fetches and the others wait for it. Raises
    RuntimeError with what Maven said.
    """
    folder = _folder()
    if folder.is_dir():
        return folder
    with _alone(folder):
        if not folder.is_dir():
            _fetch(folder)
    return folder


def _folder() -> Path:
    # Named for all that was asked for, so that a changed POM is fetched anew.
    asked = sha256(POM.read_bytes()).hexdigest()[:8]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "candidate-journey" / f"kafka-{version()}-{asked}"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(folder: Path) -> None:
    """Into a folder beside it first: an interrupted fetch leaves nothing that looks whole."""
    beside = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    try:
        ended = subprocess.run(
            [
                "mvn", "--quiet", "--batch-mode", f"--file={POM}",
                "dependency:copy-dependencies", "-DincludeScope=runtime",
                f"-DoutputDirectory={beside}",
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_FETCH_SECONDS,
            check=False,
        )  # fmt: skip
        if ended.returncode != 0:
            raise RuntimeError(f"mvn could not fetch Apache Kafka: {ended.stdout[-2000:]}")
        beside.chmod(0o755)
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


__all__ = ["jars", "missing", "version"]
