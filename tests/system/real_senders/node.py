"""The senders' Node libraries, asked one question after another. `bridge.mjs` is the other side.

One process answers all questions, until `stop`. A question that is not answered in time is a failure.
"""

import base64
import json
import os
import select
import subprocess
import time
from pathlib import Path

PATIENCE = 60
"""Seconds for one answer. The first answer waits until all libraries are loaded."""


class LibraryError(Exception):
    """An exception of a library."""


class Node:
    """Started at the first question: collecting tests starts no process."""

    def __init__(self, bridge: Path):
        self.bridge = bridge
        self.process = None
        self.read = b""

    def __call__(self, name: str, **given):
        """The answer of the library. Bytes are passed unchanged."""
        if self.process is None:
            self.process = subprocess.Popen(["node", self.bridge], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        question = {"call": name, "with": dict(packed(name, value) for name, value in given.items())}
        self.process.stdin.write(json.dumps(question).encode() + b"\n")
        self.process.stdin.flush()
        answer = json.loads(self.line())
        if "error" in answer:
            raise LibraryError(answer["error"])
        return answer.get("is")

    def line(self) -> bytes:
        deadline = time.monotonic() + PATIENCE
        while b"\n" not in self.read:
            pipe = self.process.stdout.fileno()
            ready, _, _ = select.select([pipe], [], [], max(0, deadline - time.monotonic()))
            some = os.read(pipe, 1 << 20) if ready else b""
            if not some:
                raise AssertionError("node " + ("has ended" if ready else f"did not answer within {PATIENCE} s"))
            self.read += some
        line, self.read = self.read.split(b"\n", 1)
        return line

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def packed(name: str, value: object) -> tuple[str, object]:
    return (f"{name}64", base64.b64encode(value).decode()) if isinstance(value, bytes) else (name, value)
