"""What the errors of file systems that fsspec knows mean here. Most are Python's own; FTP has codes."""

from __future__ import annotations

import ftplib
import re
import socket
from collections.abc import Callable
from typing import Final

from trueup import keys
from trueup.errors import (
    AccessDenied,
    NoSpace,
    NotFound,
    PreconditionFailed,
    StoreError,
    TrueupError,
    Unaddressable,
    Unreachable,
)
from trueup.stores import oserror

_SLOW: Final = "Check host, port and network, and run again"


def is_answer(error: Exception) -> bool:
    """Whether a service said so itself, over a connection that is still good."""
    answers = FileNotFoundError | FileExistsError | PermissionError | IsADirectoryError | NotADirectoryError
    return isinstance(error, answers | NotImplementedError | UnicodeError | ftplib.error_perm | TrueupError)


def translated(error: Exception, key: str, verb: str, place: str, scrub: Callable[[str], str]) -> TrueupError:
    """The error that says what happened to `key` in `place`; `verb` is the past participle: *read*, *written*. Without
    a key it is about the place itself."""
    if isinstance(error, TrueupError):
        return error
    name = f"'{keys.display(key)}' in {place}" if key else place
    text = scrub(keys.display(str(error))) or type(error).__name__
    if isinstance(error, ftplib.Error):
        return _of_ftp(name, text, verb, place)
    match error:
        case NotImplementedError():
            return StoreError(f"{name} cannot be {verb}: fsspec's file system does not do that")
        case FileNotFoundError():
            return NotFound(f"{name} is not there")
        case FileExistsError() | IsADirectoryError() | NotADirectoryError():
            return PreconditionFailed(f"{name} cannot be {verb}: something else has its place", cure="Run again")
        case PermissionError():
            return AccessDenied(f"{name} cannot be {verb}: {text}", cure="Check the credentials and the rights there")
        case UnicodeError():
            return Unaddressable(
                f"{name} cannot be {verb}: a name there is not valid in this encoding", cure="Set the option encoding"
            )
        case TimeoutError():
            return Unreachable(f"{name} cannot be {verb}: the service does not answer in time", cure=_SLOW)
        case socket.gaierror():
            return Unreachable(f"{place} cannot be reached: its host is not known", cure="Check the host's name")
        case ConnectionError() | EOFError():
            return Unreachable(f"{name} cannot be {verb}: the connection failed ({text})", cure=_SLOW)
        case OSError() if error.errno is not None:
            found = oserror.translated(error, key or place, verb)
            return type(found)(scrub(found.message), cure=found.cure)
    return StoreError(f"{name} cannot be {verb}: {type(error).__name__}: {text}")


def _of_ftp(name: str, text: str, verb: str, place: str) -> StoreError:
    """By the reply's code, and by its words where a code says too little: https://www.rfc-editor.org/rfc/rfc959 ."""
    code, lowered = text[:3], text.lower()
    if code in {"530", "331", "332", "430", "532"}:
        return AccessDenied(f"{place} does not let this user in: {text}", cure="Check username and password")
    if code in {"452", "552"} or "no space" in lowered or "quota" in lowered:
        return NoSpace(f"{name} cannot be {verb}: {text}", cure="Free some space there and run again")
    if code.startswith("4"):
        cure = "Set connections to a smaller number, or try again later" if code == "421" else _SLOW
        return Unreachable(f"{name} cannot be {verb}: {text}", cure=cure)
    if re.search(r"no such|not found|not exist|cannot find|can't find", lowered):
        return NotFound(f"{name} is not there")
    if re.search(r"denied|permission|not allowed|forbidden|read.only", lowered):
        return AccessDenied(f"{name} cannot be {verb}: {text}", cure="Check the owner and the permissions there")
    return StoreError(f"{name} cannot be {verb}: {text}")
