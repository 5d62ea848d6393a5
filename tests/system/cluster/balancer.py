"""A load balancer on loopback: round robin, and the next server if one refuses, breaks or answers 503."""

import asyncio
import threading

TRY = 12
"""Seconds that a server may take for an answer. Longer than the store's `patience`."""


class Balancer:
    """Forwards each request to one of the servers, over a connection of its own."""

    def __init__(self, ports):
        self.ports = list(ports)
        self.turn = 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        starting = asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=1024)
        self.server = asyncio.run_coroutine_threadsafe(starting, self.loop).result(10)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.server.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    async def serve(self, reader, writer):
        """Answers the requests of one client, one after the other."""
        try:
            while request := await read_message(reader):
                writer.write(await self.forward(request))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def forward(self, request):
        """The first answer that is no 503. If there is none: the 503, or 502 if no server answered."""
        self.turn += 1
        last = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
        for offset in range(len(self.ports)):
            port = self.ports[(self.turn + offset) % len(self.ports)]
            try:
                answer = await asyncio.wait_for(ask(port, request), TRY)
            except (TimeoutError, OSError, asyncio.IncompleteReadError):
                continue
            if not answer.startswith(b"HTTP/1.1 503"):
                return answer
            last = answer
        return last


async def ask(port, request):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        await writer.drain()
        if not (answer := await read_message(reader)):
            raise ConnectionResetError("closed without an answer")
        return answer
    finally:
        writer.close()


async def read_message(reader):
    """Head and body of a request or an answer; nothing at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return b""
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return head + await reader.readexactly(length)
