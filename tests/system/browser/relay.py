"""A relay from a TCP port on loopback to a unix socket, as `ssh -L PORT:/run/hookyard/admin.sock` makes one."""

import asyncio
import threading


class Relay:
    """Runs in a thread of its own, since the browser is driven from the main thread."""

    def __init__(self, path):
        self.path = str(path)
        self.ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.serve()), daemon=True)

    def __enter__(self):
        self.thread.start()
        assert self.ready.wait(10), "the relay does not listen"
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.ended.set)
        self.thread.join(10)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    async def serve(self):
        self.loop, self.ended = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self.relay, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        await self.ended.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def relay(self, reader, writer):
        try:
            inner_reader, inner_writer = await asyncio.open_unix_connection(self.path)
        except OSError:
            # As `ssh -L` does while the daemon is down.
            writer.transport.abort()
            return
        forward = asyncio.create_task(pump(reader, inner_writer))
        try:
            await pump(inner_reader, writer)
        finally:
            forward.cancel()
            inner_writer.close()
            writer.close()


async def pump(reader, writer):
    try:
        while some := await reader.read(65536):
            writer.write(some)
            await writer.drain()
        writer.write_eof()
    except (OSError, RuntimeError):
        writer.close()
