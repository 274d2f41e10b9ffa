"""An application with its files in several clouds: python app.py upload FILE | fetch URL | stats | clean | alert"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

import trueup


async def upload(pool: trueup.Pool, path: str) -> None:
    url, provider, file_size = await pool.aupload(path)
    print(f"{file_size:,} bytes at {provider}: {url}")


async def fetch(pool: trueup.Pool, source: str) -> None:
    url, provider, file_size = await pool.afetch(source)
    print(f"{file_size:,} bytes at {provider}: {url}")


async def stats(pool: trueup.Pool) -> None:
    found = await pool.astats()
    for row in found.providers:
        print(f"{row.provider}: {row.total_size_gb} GB, {row.used_percentage} %, full: {row.is_full}")
    print(json.dumps(found.model_dump()))


async def clean(pool: trueup.Pool) -> None:
    """What an application runs every half hour; `trueup pool sweep` is the same from cron."""
    swept = await pool.asweep()
    print(f"{swept.removed} uploads and {swept.downloads} downloads gone, {swept.told} alerts sent")
    for problem in swept.problems:
        print(problem, file=sys.stderr)


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=["upload", "fetch", "stats", "clean", "alert"])
    parser.add_argument("what", nargs="?", default="")
    given = parser.parse_args()
    try:
        if given.verb == "alert":
            trueup.send_storage_alert("gcs", used_gb=5.2, limit_gb=5.0)
            return 0
        with trueup.Pool.from_config() as pool:
            for name, problem in pool.problems.items():
                print(f"{name} cannot be used: {problem}", file=sys.stderr)
            match given.verb:
                case "upload":
                    await upload(pool, given.what)
                case "fetch":
                    await fetch(pool, given.what)
                case "stats":
                    await stats(pool)
                case "clean":
                    await clean(pool)
    except trueup.errors.PoolFull as error:
        print(f"come back later: {error}", file=sys.stderr)
        return error.exit_code
    except trueup.errors.TrueupError as error:
        print(f"app: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
