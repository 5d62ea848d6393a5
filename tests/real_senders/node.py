"""The senders' Node libraries, asked one question after another (bridge.mjs has the other side).

One process answers all questions. It is ended by `stop`, by its own id; a question that is not answered in time ends
the run.
"""

import base64
import json
import os
import select
import subprocess
import time

PATIENCE = 60
"""Seconds for one answer: the first one waits until everything is loaded."""


class LibraryError(Exception):
    """What a library threw."""


class Node:
    def __init__(self, bridge: str):
        self.process = subprocess.Popen(["node", bridge], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.read = b""

    def __call__(self, name: str, **given):
        """What the library says; bytes are handed over as they are."""
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
                raise SystemExit("node " + ("has ended" if ready else f"did not answer within {PATIENCE} s"))
            self.read += some
        line, self.read = self.read.split(b"\n", 1)
        return line

    def stop(self) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def packed(name: str, value: object) -> tuple[str, object]:
    return (f"{name}64", base64.b64encode(value).decode()) if isinstance(value, bytes) else (name, value)
