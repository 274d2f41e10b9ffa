"""Puts a server on loopback at a distance: what arrives goes on a moment later, each way, however much is under way.

`distance.py FRONT BACK SECONDS`: the port to listen on, the server's port, and the round trip.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections import deque


class Way(asyncio.Protocol):
    """One end of a connection: passes on to the `other` end what it receives."""

    def __init__(self, delay: float, back: int = 0) -> None:
        self.other: asyncio.Transport | None = None
        self._delay = delay
        self._back = back
        self._under_way: deque[bytes] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._back:
            transport.pause_reading()
            self._going = asyncio.ensure_future(self._go_on(transport))

    async def _go_on(self, transport: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        self.other, far = await loop.create_connection(lambda: Way(self._delay), "127.0.0.1", self._back)
        far.other = transport
        transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        self._later(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._later(b"")

    def _later(self, data: bytes) -> None:
        # Two timers of one moment may go off in either order; the bytes keep theirs.
        self._under_way.append(data)
        asyncio.get_running_loop().call_later(self._delay, self._arrive)

    def _arrive(self) -> None:
        data = self._under_way.popleft()
        if self.other is None:
            return
        if data:
            self.other.write(data)
        else:
            self.other.close()


async def main(front: str, back: str, seconds: str) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Way(float(seconds) / 2, int(back)), "127.0.0.1", int(front))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
