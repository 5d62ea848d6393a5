"""The network between one daemon and the servers, which can be cut."""

import asyncio
import threading


class Relay:
    """Forwards TCP connections to the servers, one port for each of them.

    While it is `silent`, nothing gets through and no connection breaks, as if packets were lost.
    """

    def __init__(self, ports):
        self.targets, self.ports = list(ports), []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        asyncio.run_coroutine_threadsafe(self.listen(), self.loop).result(10)
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    async def listen(self):
        self.through = asyncio.Event()
        self.through.set()
        for target in self.targets:
            serve = lambda reader, writer, target=target: self.serve(target, reader, writer)
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            self.ports.append(server.sockets[0].getsockname()[1])

    def silence(self):
        self.loop.call_soon_threadsafe(self.through.clear)

    def restore(self):
        self.loop.call_soon_threadsafe(self.through.set)

    async def serve(self, target, reader, writer):
        await self.through.wait()
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(self.copy(reader, to_writer), self.copy(to_reader, writer))

    async def copy(self, reader, writer):
        """Copies one direction to its end. The end goes through as well."""
        try:
            while chunk := await reader.read(1 << 16):
                await self.through.wait()
                writer.write(chunk)
                await writer.drain()
            await self.through.wait()
            writer.write_eof()
        except OSError:
            writer.transport.abort()
        finally:
            writer.close()
