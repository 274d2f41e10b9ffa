"""The files of an FTP server: fsspec connects and logs in; what it does from there on is done otherwise here.

fsspec takes a folder it cannot read for an empty one, reads a large file in many commands that each break one off, and
lists the whole folder to look at one file. None of that will do for a sync.
https://www.rfc-editor.org/rfc/rfc3659 has the commands that tell facts: MLST and MLSD.
"""

from __future__ import annotations

import ftplib
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from typing import Any, Final

from trueup.errors import AccessDenied, NotFound, StoreError
from trueup.stores.base import CHUNK
from trueup.stores.fsspec_error import translated
from trueup.stores.fsspec_info import found_of
from trueup.stores.remote_service import Found
from trueup.stores.remote_tree import rename_over

_HERE: Final = frozenset({".", ".."})
_UNKNOWN: Final = frozenset({"500", "502", "504"})
"""Replies to a command that a server does not have."""


class FtpFiles:
    """The files over one connection; see `Files`."""

    def __init__(self, make: Callable[[], Any], root: str) -> None:
        self._make = make
        self._root = root
        self._fs: Any = None
        self._looks_directly = True

    def _ftp(self) -> ftplib.FTP:
        """The connection, made anew after one that was left in the middle of a transfer."""
        if self._fs is None:
            self._fs = self._make()
        ftp: ftplib.FTP = self._fs.ftp
        return ftp

    def close(self) -> None:
        fs, self._fs = self._fs, None
        if fs is not None:
            with suppress(Exception):
                fs.ftp.close()

    def path(self, key: str) -> str:
        return f"{self._root}/{key}" if key else self._root or "/"

    def look(self, key: str) -> Found | None:
        if not key and not self._root:
            return Found("folder", found_of("", {"type": "dir"}, "ftp").entry)
        if self._looks_directly:
            try:
                answer = self._ftp().sendcmd(f"MLST {self.path(key)}")
            except ftplib.error_perm as error:
                if isinstance(translated(error, key, "read", "it", str), AccessDenied):
                    raise
                code = str(error)[:3]
                if code not in _UNKNOWN and code != "501":  # 501: it does not take this name here
                    return None
                self._looks_directly = code == "501"
            else:
                facts = next((line for line in answer.splitlines()[1:] if "=" in line), "")
                return found_of(key, _facts(facts.strip().partition(" ")[0]), "ftp")
        path = self.path(key)
        folder, _, name = path.rpartition("/")
        try:
            inside = self._mlsd(folder or "/")
        except (NotFound, NotADirectoryError):
            return None
        return next((found_of(key, facts, "ftp") for found, facts in inside if found == name), None)

    def names(self, folder: str) -> Iterable[Found]:
        for name, facts in self._mlsd(self.path(folder)):
            if name not in _HERE and facts.get("type") not in {"cdir", "pdir"}:
                yield found_of(f"{folder}/{name}" if folder else name, facts, "ftp")

    def _mlsd(self, path: str) -> list[tuple[str, dict[str, Any]]]:
        """The names in a folder. A server without MLSD has only a list for people, which cannot be relied on."""
        lines: list[str] = []
        try:
            self._ftp().retrlines(f"MLSD {path}", lines.append)
        except ftplib.error_perm as error:
            if str(error)[:3] in _UNKNOWN:
                raise StoreError(
                    "this FTP server lists folders for people only (it has no MLSD)",
                    cure="Use another protocol to it, such as sftp://",
                ) from None
            raise
        except UnicodeDecodeError:
            self.close()
            raise
        found = []
        for line in lines:
            facts, _, name = line.partition(" ")
            found.append((name, _facts(facts)))
        return found

    def read(self, key: str, offset: int, length: int) -> Generator[bytes]:
        ftp = self._ftp()
        done = False
        last = b""
        try:
            ftp.voidcmd("TYPE I")
            with ftp.transfercmd(f"RETR {self.path(key)}", offset or None) as data:
                while length and (piece := data.recv(min(CHUNK, length))):
                    length -= len(piece)
                    if last:
                        yield last
                    last = piece
                whole = not data.recv(1)
                _unwrap(data)
            if whole:
                ftp.voidresp()
            done = whole
            if last:  # held back until the server has said that it was sent well
                yield last
        except ftplib.error_perm:
            done = True
            raise
        finally:
            if not done:
                self.close()

    def put(self, key: str, body: Iterable[bytes], size: int | None) -> None:  # noqa: ARG002 - streamed anyway
        ftp = self._ftp()
        try:
            ftp.voidcmd("TYPE I")
            data = ftp.transfercmd(f"STOR {self.path(key)}")
            try:
                with data:
                    for piece in body:
                        data.sendall(piece)
                    _unwrap(data)
            except BaseException:
                with suppress(Exception):  # who cleans up must come after the server, which is still at it
                    ftp.voidresp()
                raise
            ftp.voidresp()
        except ftplib.error_perm:
            raise
        except BaseException:
            self.close()
            raise

    def rename(self, source: str, target: str) -> None:
        try:
            self._rename(source, target)
        except ftplib.error_perm:
            if self.look(source) is None or self.look(target) is None:
                raise
            rename_over(self._rename, self.remove, source, target)

    def _rename(self, source: str, target: str) -> None:
        self._ftp().rename(self.path(source), self.path(target))

    def copy(self, source: str, target: str) -> bool:  # noqa: ARG002 - the protocol has no such command
        return False

    def remove(self, key: str) -> None:
        self._ftp().delete(self.path(key))

    def make_folder(self, folder: str) -> None:
        try:
            self._ftp().mkd(self.path(folder))
        except ftplib.error_perm:
            if self.look(folder) is None:
                raise
            raise FileExistsError from None

    def remove_folder(self, folder: str) -> None:
        self._ftp().rmd(self.path(folder))

    def make_root(self) -> None:
        path = ""
        for part in self._root.split("/")[1:]:
            path += f"/{part}"
            with suppress(ftplib.error_perm):  # it is there, or the listing will say what is wrong
                self._ftp().mkd(path)


def _facts(text: str) -> dict[str, Any]:
    facts = {name.lower(): value for name, _, value in (fact.partition("=") for fact in text.split(";")) if name}
    facts["type"] = facts.get("type", "").lower()
    return facts


def _unwrap(data: object) -> None:
    """End the encryption of a data connection properly, where it has one."""
    unwrap = getattr(data, "unwrap", None)
    if unwrap is not None:
        with suppress(OSError):
            unwrap()
