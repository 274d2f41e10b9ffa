"""Finding out which conditions a server really checks. Some accept `If-Match` and ignore it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from trueup import keys

if TYPE_CHECKING:
    from opendal import Operator

_WRONG = '"00000000000000000000000000000000"'


class Conditions(NamedTuple):
    """What the server checks by itself."""

    if_absent: bool = False
    if_match: bool = False
    delete_if_match: bool = False


def conditions(operator: Operator) -> Conditions:
    """Write and delete one small object under a random name of ours. Whatever goes wrong means *no*: the store then
    looks before it acts, which needs no right but the usual ones."""
    from opendal.exceptions import ConditionNotMatch

    name = f"{keys.RESERVED}/probe-{os.urandom(8).hex()}"

    def refuses(act: Callable[..., object], *arguments: object, **options: object) -> bool:
        try:
            act(name, *arguments, **options)
        except ConditionNotMatch:
            return True
        except Exception:  # noqa: BLE001 - a client that cannot, or a server that will not
            return False
        return False

    can = operator.capability()
    found = Conditions()
    try:
        operator.write(name, b"1", if_not_exists=can.write_with_if_not_exists or None)
    except Exception:  # noqa: BLE001
        return found
    try:
        if_absent = can.write_with_if_not_exists and refuses(operator.write, b"2", if_not_exists=True)
        if_match = can.write_with_if_match and refuses(operator.write, b"3", if_match=_WRONG)
        found = Conditions(if_absent=if_absent)
        if if_match:  # the right ETag must be let through, or nothing could ever be replaced
            etag = (operator.stat(name).etag or "").strip('"')
            operator.write(name, b"4", if_match=f'"{etag}"')
            found = Conditions(if_absent=if_absent, if_match=True)
        found = found._replace(delete_if_match=refuses(operator.delete, if_match=_WRONG))
    except Exception:  # noqa: BLE001, S110 - what was found so far holds
        pass
    finally:
        with contextlib.suppress(Exception):
            operator.delete(name)
    return found
