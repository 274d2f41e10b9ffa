"""`python bench/scale.py`: what planning a billion objects costs in each cloud, computed from the newest measurements.

Every assumption can be changed: `--latency s3=0.05`, `--price azure=0.005`, `--at-once 8`, `--keys 5000000000`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from bench.model import Cloud, Measured, Points, Sharing, calibrated, foretold, off, simulate  # noqa: E402
from bench.results import Growth, growth, kept  # noqa: E402

PAGE = ROOT / "docs" / "scale.md"
KEYS = 1_000_000_000
WORKERS = (1, 10, 100)
AT_ONCE = 8
"""Pages under way at the same time, in the second column of one worker."""
CLOUDS = (
    # US dollars, as the clouds' price lists said in November 2026, before taxes, discounts and free allowances; calls a
    # second are what their guidelines say a bucket, prefix or account begins with.
    # S3: Standard, us-east-1; LIST; S3 Inventory.
    Cloud(name="s3", page=1000, latency=0.1, per_second=5500, per_thousand=0.005, inventory=0.0025),
    # R2: Standard, everywhere the same; class A. It has no reports, and says nothing of calls a second: as GCS.
    Cloud(name="r2", page=1000, latency=0.1, per_second=5000, per_thousand=0.0045, inventory=None),
    # GCS: Standard in one region, us-central1; class A. The reports' price was not to be had: taken to be that of S3.
    Cloud(name="gcs", page=1000, latency=0.1, per_second=5000, per_thousand=0.005, inventory=0.0025),
    # Azure: hot, LRS, East US; "list and create container", 0.05 for 10,000; the reports as in its documentation's
    # example. A page has five times as much and is assumed to take three times as long.
    Cloud(name="azure", page=5000, latency=0.3, per_second=20000, per_thousand=0.005, inventory=0.003),
)
TITLES = {"s3": "Amazon S3", "r2": "Cloudflare R2", "gcs": "Google Cloud Storage", "azure": "Azure Blob"}


def main() -> None:
    asked = arguments()
    sharing = Sharing(**{name: getattr(asked, name) for name in Sharing.__slots__})
    print(markdown(growth(kept()), keys=asked.keys, clouds=changed(CLOUDS, asked), sharing=sharing))


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line says. Each assumption about a cloud is CLOUD=NUMBER."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    usual = Sharing()
    parser.add_argument("--keys", type=int, default=KEYS, help="objects on each side (default: %(default)s)")
    for name, what in (
        ("latency", "seconds until a page of a listing is there"),
        ("per-second", "listing calls that a bucket answers in a second"),
        ("price", "US dollars for a thousand listing calls"),
        ("inventory", "US dollars for a million objects of an inventory report"),
    ):
        parser.add_argument(f"--{name}", action="append", default=[], type=_cloud, metavar="CLOUD=NUMBER", help=what)
    parser.add_argument("--at-once", type=int, default=usual.at_once, help="pages a worker waits for on each side")
    parser.add_argument("--uneven", type=float, default=usual.uneven, help="the busiest worker's work beside the mean")
    parser.add_argument("--task-seconds", type=float, default=usual.task_seconds, help="until a worker has a task")
    parser.add_argument("--hour", type=float, default=usual.hour, help="US dollars for an hour of a machine")
    return parser.parse_args(words)


def _cloud(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    if name not in TITLES:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(TITLES)}: write s3=0.1")
    try:
        return name, float(number)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{number!r} is not a number: write {name}=0.1") from None


def changed(clouds: Sequence[Cloud], asked: argparse.Namespace) -> list[Cloud]:
    """The clouds as the command line wants them."""
    latency, price, inventory = dict(asked.latency), dict(asked.price), dict(asked.inventory)
    per_second = dict(asked.per_second)
    return [
        replace(
            cloud,
            latency=latency.get(cloud.name, cloud.latency),
            per_second=per_second.get(cloud.name, cloud.per_second),
            per_thousand=price.get(cloud.name, cloud.per_thousand),
            inventory=inventory.get(cloud.name, cloud.inventory),
        )
        for cloud in clouds
    ]


def points(rows: Sequence[Growth]) -> tuple[Points, Points, Points]:
    """CPU seconds, memory in MB and what is kept in MB, of runs that find nothing to do; by keys."""
    cpu = [(one.row.keys, one.row.next.cpu) for one in rows]
    memory = [(one.row.keys, one.row.next.peak_mb) for one in rows]
    return cpu, memory, [(one.row.keys, one.row.kept_mb) for one in rows if one.row.kept_mb is not None]


def markdown(
    rows: Sequence[Growth], *, keys: int = KEYS, clouds: Sequence[Cloud] = CLOUDS, sharing: Sharing | None = None
) -> str:
    """Tables: by cloud, by workers, and how far the laws may be trusted."""
    sharing = sharing or Sharing()
    cpu, memory, disk = points(rows)
    measured = calibrated(seconds=cpu, memory_mb=memory, kept_mb=disk)
    lines = [*_by_cloud(keys, clouds, measured, sharing), "", *_by_workers(keys, clouds, measured, sharing)]
    return "\n".join([*lines, "", *_trust(cpu, memory, measured)]) + "\n"


def _by_cloud(keys: int, clouds: Sequence[Cloud], measured: Measured, sharing: Sharing) -> list[str]:
    found = [
        f"Planning a sync of two buckets of {keys:,} objects each, in one cloud, that already agree. Calls and money",
        "are those of both buckets. *Reports*: one inventory report of each, in place of the calls.",
        "",
        "| cloud | objects a page | s a page | listing calls | for the calls | for reports |",
        "| --- |" + " ---: |" * 5,
    ]
    for cloud in clouds:
        one = simulate(keys, cloud, measured, sharing=sharing)
        reports = "–" if one.inventory_money is None else dollars(one.inventory_money)
        cells = f"{cloud.page:,}", f"{cloud.latency:g}", f"{one.calls:,}", dollars(one.listing_money), reports
        found.append(f"| {TITLES[cloud.name]} | {' | '.join(cells)} |")
    return found


def _by_workers(keys: int, clouds: Sequence[Cloud], measured: Measured, sharing: Sharing) -> list[str]:
    wide = replace(sharing, at_once=max(AT_ONCE, sharing.at_once))
    columns = [(workers, how) for workers in WORKERS for how in (sharing, wide)]
    heads = [f"{workers} × {how.at_once}" for workers, how in columns]
    found = [
        "The time by workers × pages of each bucket that a worker has under way at once, and what comes with it:",
        "",
        f"|  | {' | '.join(heads)} |",
        f"| --- |{' ---: |' * len(heads)}",
    ]
    by_cloud = [[simulate(keys, cloud, measured, workers=n, sharing=how) for n, how in columns] for cloud in clouds]
    for cloud, simulated in zip(clouds, by_cloud, strict=True):
        found.append(f"| {TITLES[cloud.name]} | {' | '.join(duration(one.seconds) for one in simulated)} |")
    asked = [max(one.calls_a_second for one in ones) for ones in zip(*by_cloud, strict=True)]
    money = [max(one.machine_money for one in ones) for ones in zip(*by_cloud, strict=True)]
    memory = [one.memory_mb for one in by_cloud[0]]
    found.append(f"| calls a second to one bucket | {' | '.join(f'{calls:,.0f}' for calls in asked)} |")
    found.append(f"| memory of a worker, MB | {' | '.join(f'{held:.0f}' for held in memory)} |")
    found.append(f"| machines, at most | {' | '.join(map(dollars, money))} |")
    return found


def _trust(cpu: Points, memory: Points, measured: Measured) -> list[str]:
    sizes = " and ".join(f"{keys:,}" for keys in (min(cpu)[0], max(cpu)[0]))
    found = [
        f"Fitted to sizes between {sizes} objects: {measured.seconds.start:.2f} s of CPU time and",
        f"{1e6 * measured.seconds.each:.1f} µs an object, {off(measured.seconds, cpu):.0%} off at worst;",
        f"{measured.memory.each:.1f} MB more for ten times the objects;",
        f"{measured.kept_bytes:.0f} bytes of each object in the pair's memory on the disk.",
    ]
    if len(cpu) >= 3:
        told, error = foretold(cpu)
        keys, value = max(cpu)
        found.append(
            f"The smaller sizes alone foretell {told:.0f} s for {keys:,} objects; measured are {value:.0f} s,"
            f" {abs(error):.0%} {'more' if error > 0 else 'less'}."
        )
        grown = max(memory)[1] - min(memory)[1]
        found.append(f"Memory differs by {abs(grown):.0f} MB between the smallest and the largest size.")
    return found


def dollars(amount: float) -> str:
    return f"${amount:,.2f}"


def duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


if __name__ == "__main__":
    main()
