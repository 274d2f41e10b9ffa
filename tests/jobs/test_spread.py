"""A sync that workers do range by range: the same result as on one machine, whoever is killed in between."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.jobs.celery_process import celery
from tests.jobs.world import wait_for
from tests.servers.kinds import make_s3_bucket, s3_client
from trueup.config import Settings, SyncConfig, load
from trueup.jobs import spread
from trueup.jobs.broker import make_app, registered
from trueup.jobs.spread import Spread
from trueup.sync import sync
from trueup.sync.report import SyncRun
from trueup.sync.session import session

STORE = """
[stores.{name}]
url = "{bucket.url}/tree"
endpoint = "{endpoint}"
region = "us-east-1"
byte_ordered = true
access_key_id = "{options[access_key_id]}"
secret_access_key = "{options[secret_access_key]}"
"""


class Pairs:
    """The same two trees twice: what one machine syncs, and what many do."""

    def __init__(self, server: dict[str, str], settings: Callable[[], Settings]) -> None:
        self.client = s3_client(server["endpoint"])
        self.buckets = {name: make_s3_bucket(server) for name in ("left1", "right1", "left4", "right4")}
        self.settings = settings

    def put(self, side: str, key: str, body: str) -> None:
        for pair in "14":
            self.client.put_object(Bucket=self.buckets[side + pair].name, Key=f"tree/{key}", Body=body.encode())

    def remove(self, side: str, key: str) -> None:
        for pair in "14":
            self.client.delete_object(Bucket=self.buckets[side + pair].name, Key=f"tree/{key}")

    def alone(self, **options: object) -> SyncRun:
        return sync("left1", "right1", config=SyncConfig(**options), settings=self.settings())

    def together(self, *, dry_run: bool = False, **options: object) -> SyncRun:
        settings = self.settings()
        with Spread(settings) as hands:
            return sync(
                "left4", "right4", config=SyncConfig(**options), settings=settings, hands=hands, dry_run=dry_run
            )

    def tree(self, name: str) -> dict[str, bytes]:
        found = {}
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.buckets[name].name)
        for page in pages:
            for entry in page.get("Contents", ()):
                if "/.trueup/" not in entry["Key"]:
                    body = self.client.get_object(Bucket=self.buckets[name].name, Key=entry["Key"])["Body"]
                    found[entry["Key"]] = body.read()
        return found

    def baseline(self, pair: str) -> list[tuple[object, ...]]:
        with session(f"left{pair}", f"right{pair}", self.settings(), run="looks", lock=False) as opened:
            return [tuple(row) for row in opened.state.baseline()]

    def are_the_same(self) -> bool:
        return all(
            one == four
            for one, four in (
                (self.tree("left1"), self.tree("left4")),
                (self.tree("right1"), self.tree("right4")),
                (self.baseline("1"), self.baseline("4")),
            )
        )


@pytest.fixture(params=["sqlite", "postgresql"])
def pairs(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    moto_server: dict[str, str],
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Pairs]:
    monkeypatch.setenv("TRUEUP_SERVER__BROKER", redis_url)
    if request.param == "postgresql":
        from trueup.catalog.database import upgrade

        url = request.getfixturevalue("postgres_url")
        upgrade(url)
        monkeypatch.setenv("TRUEUP_DATABASE__URL", url)
    made = Pairs(moto_server, load)
    stores = (
        STORE.format(name=name, bucket=bucket, endpoint=bucket.options["endpoint"], options=bucket.options)
        for name, bucket in made.buckets.items()
    )
    (tmp_path / "trueup.toml").write_text("".join(stores) + '[sync.many]\nleft = "left4"\nright = "right4"\n')
    monkeypatch.setattr(spread, "cut", lambda _store, _parts: ["d", "k", "k/5", "s"])
    monkeypatch.setattr(spread, "_ITEMS", 10)
    with closing(made.client):
        yield made


@contextmanager
def workers(number: int) -> Iterator[list]:
    with ExitStack() as stack:
        started = [stack.enter_context(celery("worker")) for _ in range(number)]
        with closing(make_app(load())) as app:
            wait_for(lambda: len(registered(app)) == number, 60)
        yield started


def edited(pairs: Pairs) -> None:
    """Two trees that agreed, and what people did to both since."""
    chance = random.Random(7)
    keys = [f"{folder}/{number}" for folder in "aekstz" for number in range(10)]
    for key in keys:
        pairs.put("left", key, f"{key} as it was")


def test_four_workers_do_what_one_machine_does(pairs: Pairs):
    edited(pairs)
    with workers(2):
        first = pairs.together(delete=True)
        assert pairs.alone(delete=True).counts == first.counts
        assert pairs.are_the_same()
        print(first.to_json())
