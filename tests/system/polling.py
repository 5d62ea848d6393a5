"""Waiting for a condition."""

import time

LIMIT = 60
"""Seconds that a wait may take, unless the caller allows more. A failure, not a measurement."""


def wait_until(what, condition, limit=LIMIT, ignore=()):
    """The first true value of `condition`. Exceptions of the types in `ignore` count as not yet."""
    end = time.monotonic() + limit
    last = ""
    while True:
        try:
            if found := condition():
                return found
        except ignore as error:
            last = f" ({error})"
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit} s: {what}{last}")
        time.sleep(0.1)
