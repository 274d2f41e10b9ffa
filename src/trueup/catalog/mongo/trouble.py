"""What the driver's errors mean, in one place for everything that is kept in MongoDB."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from pymongo.errors import ConnectionFailure, PyMongoError

from trueup.errors import DatabaseUnavailable, TrueupError


@contextmanager
def plainly() -> Iterator[None]:
    """Around whatever asks the database, also as a decorator. Raises `TrueupError` for the driver's errors."""
    try:
        yield
    except PyMongoError as error:
        # The driver tells its timeouts and the whole topology as well.
        said = re.split(r" \(configured timeouts|, Timeout:|, full error:|\n", str(error), maxsplit=1)[0]
        kind = DatabaseUnavailable if isinstance(error, ConnectionFailure) else TrueupError
        raise kind(f"the MongoDB database cannot be used: {said}", cure="Check [database] url") from error
