"""A relay before a server on loopback whose connections a test can cut, as a network does."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self


class Relay:
    """Passes bytes both ways between its own `port` and a server's. Use as a context manager."""

    def __init__(self, port: int) -> None:
        self._server = port
        self._front = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._front.getsockname()[1])
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._front.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._front.close()
        self.cut()
        for thread in self._threads:
            thread.join()
        for end in self._ends:
            end.close()

    def cut(self) -> None:
        """Break every connection there is; new ones work."""
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                ours, _ = self._front.accept()
            except OSError:
                return
            theirs = socket.create_connection(("127.0.0.1", self._server))
            self._ends += [ours, theirs]
            for pair in ((ours, theirs), (theirs, ours)):
                thread = threading.Thread(target=self._pump, args=pair)
                thread.start()
                self._threads.append(thread)

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
