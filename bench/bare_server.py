"""The least that answers over HTTP: one function under uvicorn. `bare_server.py PORT FILE` gives a file's bytes."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn

Message = dict[str, Any]


def answering(body: bytes) -> Callable[..., Awaitable[None]]:
    """An application that answers every request with the same JSON."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]

    async def application(scope: Message, _receive: object, send: Callable[[Message], Awaitable[None]]) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    return application


if __name__ == "__main__":
    application = answering(Path(sys.argv[2]).read_bytes())
    uvicorn.run(application, port=int(sys.argv[1]), lifespan="off", access_log=False, log_level="error")
