"""What planning costs at sizes nobody measures here: laws fitted to measured sizes, and clouds as one assumes them.

Pure: figures in, figures out. Measured are the time without a network, the memory and what is kept on the disk, from
10^4 keys up. Assumed are what a page of a listing takes, what clouds ask for it, and how work is shared out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isqrt, log10

Points = Sequence[tuple[float, float]]
"""Keys on each side, and what was measured there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """A straight line: `start` once, and `each` for every key."""

    start: float
    each: float

    def at(self, keys: float) -> float:
        """The figure for this many keys."""
        return self.start + self.each * keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What measurements say of planning two buckets that agree: `seconds` of a processor, all processes together;
    `memory` in 10^6 bytes over log10 of the keys; `kept_bytes` on the disk for each key."""

    seconds: Law
    memory: Law
    kept_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """One cloud as it is assumed to be. Prices are US dollars; `inventory`: for a million objects of one report."""

    name: str
    page: int
    """Objects in an answer to a listing call."""
    latency: float
    """Seconds until a page is there."""
    per_second: float
    """Listing calls that one bucket answers; more have to wait."""
    per_thousand: float
    """A thousand listing calls."""
    inventory: float | None
    """None: there are no such reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """How work is shared out, as assumed. `at_once`: pages of one side that a worker has under way at the same time.
    `uneven`: what the busiest of several workers has to do, beside the mean. `task_seconds`: until a worker has its
    next task. `hour`: US dollars for an hour of a machine like the one that measured."""

    at_once: int = 1
    uneven: float = 1.25
    task_seconds: float = 1.0
    hour: float = 0.10


# How trueup goes about it. A bucket is cut by looking at pages one after the other; where pages are fetched at once,
# one call in so many finds where to begin.
TASKS = 4
"""For each worker, where there are several."""
MOST_TASKS = 1000
CUT_CALLS = 64
CUT_CALLS_EACH = 4
"""For each task, on each side."""
TASK_CALLS = 3
"""For each task, on each side: to begin it, and to make sure of its end."""
PAGES_AHEAD = 8
HANDFUL = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """One planning run over two buckets of one cloud. Calls and money are those of both sides together."""

    calls: int
    seconds: float
    memory_mb: float
    """The most that any machine holds."""
    kept_bytes: float
    """The pair's memory on the disk, on all machines together."""
    calls_a_second: float
    """The most that a bucket is asked."""
    listing_money: float
    machine_money: float
    inventory_money: float | None
    """One report of each side, in place of the listing calls."""


def fitted(points: Points) -> Law:
    """The line with the least sum of squared relative errors, so that ten thousand keys count as much as ten million.
    It falls nowhere: more keys never take less. Raises `ValueError` for fewer than two sizes."""
    if len({keys for keys, _ in points}) < 2:
        raise ValueError("a law needs measurements of two sizes at least")
    # Weighted by 1/value²: the sums of the normal equations.
    weights = [1 / value**2 for _, value in points]
    one = sum(weights)
    x = sum(w * keys for w, (keys, _) in zip(weights, points, strict=True))
    y = sum(w * value for w, (_, value) in zip(weights, points, strict=True))
    xx = sum(w * keys**2 for w, (keys, _) in zip(weights, points, strict=True))
    xy = sum(w * keys * value for w, (keys, value) in zip(weights, points, strict=True))
    each = max(0.0, (one * xy - x * y) / (one * xx - x * x))
    return Law(start=(y - each * x) / one, each=each)


def off(law: Law, points: Points) -> float:
    """The largest relative error of a law over these points: 0.1 is 10%."""
    return max(abs(law.at(keys) - value) / value for keys, value in points)


def foretold(points: Points) -> tuple[float, float]:
    """How well smaller sizes foretell the largest: the law of all others there, and its error, negative where more was
    foretold than measured. Raises `ValueError` for fewer than three sizes."""
    *others, (keys, value) = sorted(points)
    told = fitted(others).at(keys)
    return told, (value - told) / value


def calibrated(*, seconds: Points, memory_mb: Points, kept_mb: Points) -> Measured:
    """Laws for what was measured at several sizes. What is kept for a key is what it was at the largest size."""
    keys, kept = max(kept_mb)
    # Memory hardly grows: over the keys themselves a line would turn the noise of the largest size into gigabytes.
    memory = fitted([(log10(size), value) for size, value in memory_mb])
    return Measured(seconds=fitted(seconds), memory=memory, kept_bytes=kept * 1e6 / keys)


def simulate(
    keys: int, cloud: Cloud, measured: Measured, *, workers: int = 1, sharing: Sharing | None = None
) -> Simulated:
    """Planning two buckets of `keys` objects each that agree, by so many workers, one machine each.

    A worker waits for its pages and works on them on one processor: the two times are added, though in truth they
    overlap, and listings run on processors of their own; so the time is an upper bound. Both sides are listed at the
    same time. Several workers take task after task, when the buckets have been cut, first one and then the other; one
    alone goes through all keys in one stream.
    """
    sharing = sharing or Sharing()
    tasks = 1 if workers == 1 else min(MOST_TASKS, TASKS * workers)
    pages = ceil(keys / cloud.page)
    listing = pages + (ceil(pages / PAGES_AHEAD) if sharing.at_once > 1 else 0)
    cutting = 0 if tasks == 1 else CUT_CALLS + CUT_CALLS_EACH * tasks
    busiest = 1.0 if workers == 1 else min(1.0, sharing.uneven / workers)
    alone = 2 * cutting * cloud.latency
    waiting = busiest * (listing / sharing.at_once + TASK_CALLS * tasks) * cloud.latency
    waiting = max(waiting, listing / cloud.per_second)
    working = busiest * (measured.seconds.each * keys + sharing.task_seconds * tasks)
    seconds = measured.seconds.start + alone + waiting + working
    calls = 2 * (listing + cutting + TASK_CALLS * tasks)
    return Simulated(
        calls=calls,
        seconds=seconds,
        memory_mb=measured.memory.at(log10(max(1, keys / tasks))),
        kept_bytes=measured.kept_bytes * keys,
        calls_a_second=min(cloud.per_second, workers * sharing.at_once / cloud.latency),
        listing_money=calls / 1000 * cloud.per_thousand,
        machine_money=workers * seconds / 3600 * sharing.hour,
        inventory_money=None if cloud.inventory is None else 2 * keys / 1e6 * cloud.inventory,
    )


def worthwhile(keys: int, cloud: Cloud, *, sharing: Sharing | None = None) -> int:
    """How many workers pay at most, by their waiting alone: for one more, cutting would take as long as it saves, or
    the bucket could not answer. Where that is a handful, one alone is as fast: cutting has to begin somewhere."""
    sharing = sharing or Sharing()
    each = 2 * CUT_CALLS_EACH * TASKS
    saving = isqrt(int(ceil(keys / cloud.page) * sharing.uneven / (sharing.at_once * each)))
    return max(1, min(saving if saving >= HANDFUL else 1, int(cloud.per_second * cloud.latency / sharing.at_once)))
