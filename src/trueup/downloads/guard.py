"""What the helper process may do: reach public addresses, and start no program.

An audit hook sees each connection that Python code makes, with the address it goes to, so redirects, second lookups
and whatever an extractor thinks of are all covered. It is no sandbox against code that wants out; it holds honest code
to where it may go.
"""

from __future__ import annotations

import sys
from ipaddress import ip_address
from typing import Any, Final

from trueup.urls.address import refusal

_CONNECTING: Final = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_STARTING: Final = (
    *("subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile"),
    *("os.system", "pty.spawn"),
)
_NATIVE: Final = ("curl_cffi", "pycurl")
"""Clients that connect in C, where no hook sees them."""


def install(*, allow_private: bool) -> list[str]:
    """Guard this process from now on. The list returned fills with what was refused, one sentence each; whoever was
    refused sees a `PermissionError`, as if the system had said no."""
    refused: list[str] = []
    for name in _NATIVE:
        sys.modules[name] = None  # type: ignore[assignment]  # the import then fails as if it were not installed

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _CONNECTING:
            if not allow_private and (reason := _refusal(arguments[1])):
                refused.append(reason)
                raise PermissionError(reason)
        elif event in _STARTING:
            raise PermissionError("no program is started here")

    sys.addaudithook(hook)
    return refused


def _refusal(address: object) -> str | None:
    if address is None:  # sendmsg over what is connected already
        return None
    host = address[0] if isinstance(address, tuple) else address
    try:
        reason = refusal(ip_address(host))  # type: ignore[arg-type]  # whatever else it is, it is refused below
    except ValueError:
        # A name would be looked up behind the hook; anything else is no address of the internet.
        return "only plain internet addresses are connected to"
    return f"it leads to {host}, which is {reason}" if reason else None
