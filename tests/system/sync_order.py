"""The order of writes, syncs and answers in a trace of the daemon's system calls.

An event may be answered as accepted only after a sync of the store's log that began after the event was written there.
`strace` stops a thread at the begin and at the end of each call. So the trace shows two calls in the right order if one
caused the other.
"""

import re

CALLS = "pwrite64,pwritev,fdatasync,fsync,sendto,sendmsg,writev,write"

BEGUN = re.compile(r"^(\d+) +(\w+)\(\d+<([^>]*)>(.*)")
RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)")
# Version 7 UUIDs, as in answers and in the pages of the store.
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


class Order:
    """What the trace shows, line by line."""

    def __init__(self):
        self.now = 0
        self.running = {}
        self.written = {}
        self.syncs = []
        self.answered = 0
        self.early = []

    def read(self, line):
        self.now += 1
        if begun := BEGUN.match(line):
            process, call, file, rest = begun.groups()
            self.begin(call, file, rest)
            if rest.endswith("<unfinished ...>"):
                self.running[process] = (call, file, rest, self.now)
            else:
                self.end(call, file, rest, self.now)
        elif resumed := RESUMED.match(line):
            process, call, rest = resumed.groups()
            if process in self.running and self.running[process][0] == call:
                _, file, arguments, since = self.running.pop(process)
                self.end(call, file, arguments + rest, since)

    def begin(self, call, file, rest):
        if "sync" in call or file.startswith("/") or "HTTP/1.1 200 OK" not in rest or "accepted" not in rest:
            return
        self.answered += 1
        event = ID.search(rest)
        if event is None or not self.is_synced(event[0]):
            self.early.append(f"line {self.now}: {rest[:300]}")

    def end(self, call, file, rest, since):
        if not file.endswith("-wal"):
            return
        if "sync" in call:
            if re.search(r"= 0$", rest):
                self.syncs.append((since, self.now))
        else:
            # The first write of the event. Later ones only change its page.
            for event in ID.findall(rest):
                self.written.setdefault(event, self.now)

    def is_synced(self, event):
        written = self.written.get(event)
        return written is not None and any(written < begun for begun, _ in reversed(self.syncs))


def order_of(lines):
    order = Order()
    for line in lines:
        order.read(line.rstrip("\n"))
    return order
