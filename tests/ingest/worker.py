"""One of several workers that begin at the same moment.

    python -m tests.ingest.worker SETTINGS

Says when it is ready, and begins when its standard input ends. Prints what it processed, as JSON.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module

import trueup
from trueup.config import load

for name in ("trueup.catalog.sql.processed", "trueup.ingest", "sqlalchemy.dialects.postgresql.psycopg"):
    import_module(name)


def main(settings: str) -> None:
    print("ready", flush=True)
    sys.stdin.read()
    run = trueup.ingest("stats", settings=load(settings))
    print(json.dumps({"exit": run.exit_code, "reason": run.reason, "counts": run.counts}))


if __name__ == "__main__":
    main(sys.argv[1])
