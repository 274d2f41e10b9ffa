"""Which pairs the shared database knows."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from trueup.catalog.database import open_shared
from trueup.catalog.sql.engine import engine_of, reading, unusable
from trueup.catalog.sql.locks import SqlLocks
from trueup.catalog.sql.tables import pair_baseline, pair_runs
from trueup.sync.shared import lock_of


def shared_pairs(url: str) -> list[str]:
    """The pairs of which a database remembers runs."""
    engine = open_shared(url)
    try:
        with reading(engine) as db:
            return list(db.scalars(sa.select(pair_runs.c.pair).distinct().order_by(pair_runs.c.pair)))
    finally:
        engine.dispose()


def is_shared(url: str, pair: str) -> bool:
    """Whether a database remembers a pair, or somebody leads workers there now. Nothing is made or changed, and one
    without such tables knows of none. Raises `ConfigError`, `MissingExtra` and `TrueupError`."""
    engine = engine_of(url)
    try:
        with reading(engine) as db:
            if not sa.inspect(db).has_table(pair_runs.name):
                return False
            for table in (pair_runs, pair_baseline):
                if db.scalar(sa.select(table.c.pair).where(table.c.pair == pair).limit(1)) is not None:
                    return True
        return SqlLocks(engine).holder(lock_of(pair)) is not None
    except SQLAlchemyError as error:
        raise unusable(engine, error) from error
    finally:
        engine.dispose()
