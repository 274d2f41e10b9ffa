"""What the URL and the options of an `fsspec+PROTO://…` place mean."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any, Final

from trueup import keys
from trueup.config import StoreConfig
from trueup.errors import ConfigError, MissingExtra
from trueup.stores.secrecy import SECRET, mark, scrubbed, secrets_of

_OURS: Final = ("connections", "retries")
_TEXT: Final = re.compile(r"user|login|account|name|host|repo|org", re.IGNORECASE)
"""Options that stay text even where they look like a number; so do secret ones."""
_PORTS: Final = {"ftp": 21, "sftp": 22, "ssh": 22, "smb": 445}


class Place:
    """One folder of one file system. Raises `ConfigError` and `MissingExtra`; nothing is contacted."""

    def __init__(self, config: StoreConfig) -> None:
        self.where = f"[stores.{config.name}]" if config.name else "the place"
        scheme, _, rest = config.url.partition("://")
        self.protocol = scheme.partition("+")[2].lower()
        address = f"{self.protocol}://{rest}"
        self._kind = self._file_system()
        given = {name: value for name, value in config.options.items() if value}
        self.connections = _whole(given.get("connections", "4"), range(1, 65), f"{self.where} connections")
        self.retries = _whole(given.get("retries", "3"), range(21), f"{self.where} retries")
        self._secrets = secrets_of(given)
        # fsspec's own way from a URL to arguments and a path; it has no public name.
        told: Mapping[str, Any] = self._kind._get_kwargs_from_urls(address)  # noqa: SLF001
        if told.get("password") or (self.protocol != "github" and re.match(r"[^/@]*:[^/]*@", rest)):
            raise ConfigError(
                f"{self.where} has a password in its URL", cure='A password is an option: password = "env:NAME"'
            )
        self.root = str(self._kind._strip_protocol(address)).rstrip("/")  # noqa: SLF001
        if any(part in {".", ".."} for part in self.root.split("/")) or "\0" in self.root:
            raise ConfigError(f"{self.where}: the folder {keys.display(self.root)!r} cannot be addressed")
        self._options = dict(told) | {name: _value(name, text) for name, text in given.items() if name not in _OURS}
        if self.protocol == "ftp":
            self._check_ftp()
        self.url = self._canonical(rest, given)

    def make(self) -> Any:  # noqa: ANN401 - fsspec has no types
        """A file system of our own: fsspec would share one between threads, and between stores."""
        try:
            return self._kind(**self._options, skip_instance_cache=True)
        except (ImportError, TypeError, ValueError) as error:
            if isinstance(error, UnicodeError):  # a host's name, as it seems
                raise
            # An option that is unknown, or missing, is an argument that Python refuses.
            raise ConfigError(
                f"{self.where}: {self.protocol} cannot be opened: {self.scrub(str(error))}",
                cure="Its options are the arguments of fsspec's file system",
            ) from None

    def scrub(self, text: str) -> str:
        """The text without any secret in it."""
        return scrubbed(text, self._secrets)

    def _check_ftp(self) -> None:
        """Fsspec's FTP passes over an option it does not know, and a misspelt password would be none."""
        known = inspect.signature(self._kind.__init__).parameters.keys() - {"self", "kwargs"}
        for name in self._options:
            if name not in known:
                cure = f"Known: url, {', '.join(sorted({*known, *_OURS}))}"
                raise ConfigError(f"{self.where}: the option '{name}' is unknown", cure=cure)
        if not self._options.get("host"):
            raise ConfigError(f"{self.where} names no host", cure="Write it like fsspec+ftp://user@host:21/folder")

    def _file_system(self) -> Any:  # noqa: ANN401
        try:
            import fsspec  # type: ignore[import-untyped]
        except ModuleNotFoundError:
            raise MissingExtra("an fsspec+… place", "fsspec") from None
        try:
            if not self.protocol:
                raise ValueError
            return fsspec.get_filesystem_class(self.protocol)
        except ValueError:
            known = ", ".join(sorted(fsspec.available_protocols()))
            raise ConfigError(f"{self.where}: fsspec knows no {self.protocol!r}", cure=f"Known: {known}") from None
        except ImportError as error:
            raise ConfigError(
                f"{self.where}: {self.protocol} needs another package: {error}", cure="Install it beside trueup"
            ) from None

    def _canonical(self, rest: str, given: Mapping[str, str]) -> str:
        """User, host, port and folder; what else tells two places apart goes into a short digest."""
        shown: set[str] = set()
        authority = rest.partition("/")[0]
        if "host" in self._options:
            port = self._options.get("port")
            user = self._options.get("username") or self._options.get("user")
            authority = f"{user}@" if user else ""
            authority += str(self._options["host"]).lower()
            authority += f":{port}" if port and port != _PORTS.get(self.protocol) else ""
            shown = {"host", "port", "username", "user"}
        path = self.root.rpartition("://")[2] or "/"  # some file systems keep whole URLs for paths
        if "host" not in self._options and path.lstrip("/").startswith(authority):
            authority = ""  # a bucket's name, say: the path begins with it
        slash = "/" if authority and not path.startswith("/") else ""
        return f"fsspec+{self.protocol}://{authority}{slash}{path}{mark(given, shown)}"


def _value(name: str, text: str) -> str | int | bool:
    """What an option means: file systems tell numbers from text."""
    if SECRET.search(name) or _TEXT.search(name):
        return text
    if text in {"true", "false"}:
        return text == "true"
    return int(text) if re.fullmatch(r"-?[0-9]+", text) else text


def _whole(text: str, allowed: range, where: str) -> int:
    if not text.isdecimal() or int(text) not in allowed:
        raise ConfigError(f"{where} = {text!r} is unusable", cure=f"Use {allowed[0]} to {allowed[-1]}")
    return int(text)
