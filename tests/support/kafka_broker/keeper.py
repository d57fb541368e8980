"""Clears up after a test run that was killed: `python keeper.py FOLDER`.

Reads lines from stdin, each a JSON list: the command that ends the broker as it is now, empty
while none runs. When the other end is gone, however it went, the last one is run and the folder
is deleted.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys


def main(folder: str) -> None:
    """Wait for the end of the test run."""
    # Ctrl-C is meant for the run; this one acts when the run has ended.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    command: list[str] = []
    for line in sys.stdin:
        command = json.loads(line)
    if command:
        subprocess.run(command, capture_output=True, check=False)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
