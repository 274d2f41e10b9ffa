"""Somebody else's code: the function that a setting names, and its errors in words."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from trueup import keys
from trueup.errors import ConfigError, TrueupError

_LONGEST: Final = 1000
"""Characters of an error that are told."""


def named_function(spelled: str, *, base: Path, where: str) -> tuple[Callable[..., Any], ModuleType]:
    """What `module:function` means, and the module it is in. The module may lie in `base`, the folder of the settings
    file. Raises `ConfigError`; `where` begins its message."""
    module_name, _, name = spelled.partition(":")
    folder = str(base)
    if folder not in sys.path:  # whatever else is found first stays first
        sys.path.append(folder)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        missing = isinstance(error, ModuleNotFoundError) and module_name.startswith(error.name or "\0")
        what = "there is no such module" if missing else f"importing it fails: {described(error)}"
        raise ConfigError(f"{where}: {what}", cure="Set PYTHONPATH to the folder it lies in") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise ConfigError(f"{where}: {module_name} has no function {name}")
    return function, module


def described(error: BaseException) -> str:
    """An error of somebody else's code in one line that can be shown and kept anywhere."""
    try:
        # What a database says, without the statement that SQLAlchemy adds.
        said = " ".join(str(getattr(error, "orig", None) or error).split())
    except Exception:  # noqa: BLE001 - its class may be somebody else's, too
        said = ""
    # It is shown on terminals, and kept in databases that take neither NUL nor broken Unicode.
    name = "" if isinstance(error, TrueupError) else type(error).__name__
    text = keys.display(": ".join(filter(None, (name, said))))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
