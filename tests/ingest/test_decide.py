"""The laws of deciding, for any file and anything that may be known of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from trueup.catalog.sql.processed import Row
from trueup.ingest.decide import Step, decide, lasting_looks, looks
from trueup.stores.base import Entry

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STABLE = 1_000

entries = st.builds(
    Entry,
    key=st.just("a"),
    size=st.integers(0, 2),
    mtime_ns=st.integers(STABLE - 2, STABLE + 2),
    fingerprint=st.sampled_from(["", "f1", "f2"]),
    md5=st.sampled_from(["", "m1", "m2"]),
)
times = st.none() | st.sampled_from([NOW - timedelta(seconds=1), NOW + timedelta(seconds=1)])
rows = st.builds(
    Row,
    filename=st.just("a"),
    success=st.booleans(),
    state=st.sampled_from("done assumed duplicate claimed failed quarantined requested".split()),
    size=st.none() | st.integers(0, 2),
    md5=st.sampled_from(["", "m1", "m2"]),
    seen=st.sampled_from(["", "f1", "f2", str(STABLE)]),
    version=st.integers(0, 2),
    attempts=st.integers(0, 3),
    error=st.just("why"),
    cause=st.just(""),
    owner=st.just(""),
    token=st.just(""),
    lease_until=times,
    retry_at=times,
    gone_since=st.none(),
    processed_at=st.none(),
)
policies = st.sampled_from(["ignore", "version", "error"])
steady = settings(derandomize=True, deadline=None, database=None)
ACTS = {Step.TAKE, Step.LOOK, Step.REWRITTEN}
RESTS = {Step.KNOWN, Step.NOTE}


def decided(entry: Entry, row: Row | None, policy: str = "version", *, held: bool = False):
    return decide(entry, row, on_rewrite=policy, stable_before_ns=STABLE, now=NOW, held=held)


@steady
@given(entries, rows, policies, st.booleans())
def test_what_looks_as_it_did_at_its_effect_is_never_taken(entry: Entry, row: Row, policy: str, held: bool):
    same = row._replace(success=True, size=entry.size, seen=looks(entry))
    assert decided(entry, same, policy, held=held).step == Step.KNOWN


@steady
@given(entries, st.none() | rows, policies, st.booleans())
def test_what_may_not_be_whole_is_never_touched(entry: Entry, row: Row | None, policy: str, held: bool):
    young = entry._replace(mtime_ns=STABLE + 1)
    assert decided(young, row, policy, held=held).step not in ACTS


@steady
@given(entries, rows, policies)
def test_what_somebody_is_at_is_left_to_them(entry: Entry, row: Row, policy: str):
    claimed = row._replace(success=False, state="claimed")
    assert decided(entry, claimed, policy, held=True).step == Step.WAIT
    old = entry._replace(mtime_ns=0)
    assert decided(old, claimed, policy, held=False).step == Step.TAKE


@steady
@given(entries, rows, st.booleans())
def test_a_rewrite_is_never_taken_where_it_is_ignored_or_an_error(entry: Entry, row: Row, held: bool):
    done = row._replace(success=True)
    assert decided(entry, done, "ignore", held=held).step in RESTS
    assert decided(entry, done, "error", held=held).step != Step.TAKE


@steady
@given(entries, rows, policies)
def test_known_bytes_are_never_taken_again(entry: Entry, row: Row, policy: str):
    done = row._replace(success=True, size=entry.size, md5="m1")
    assert decided(entry._replace(md5="m1"), done, policy).step in RESTS


@steady
@given(entries, rows)
def test_other_bytes_are_never_taken_for_known(entry: Entry, row: Row):
    old = entry._replace(mtime_ns=0, fingerprint="now")
    larger = row._replace(success=True, size=old.size + 1, seen="then")
    assert decided(old, larger).step == Step.TAKE
    other = row._replace(success=True, size=old.size, md5="m1", seen="then")
    assert decided(old._replace(md5="m2"), other).step == Step.TAKE
    assert decided(old._replace(md5=""), other).step == Step.LOOK


@steady
@given(entries, rows, policies)
def test_quarantine_ends_only_by_other_looks(entry: Entry, row: Row, policy: str):
    old = entry._replace(mtime_ns=0)
    kept = row._replace(success=False, state="quarantined", seen=looks(old))
    assert decided(old, kept, policy).step == Step.QUARANTINED
    replaced = decided(old, kept._replace(seen="other"), policy)
    assert (replaced.step, replaced.anew) == (Step.TAKE, True)


@steady
@given(entries, rows, policies)
def test_a_failure_waits_for_its_time(entry: Entry, row: Row, policy: str):
    old = entry._replace(mtime_ns=0)
    failed = row._replace(success=False, state="failed", seen=looks(old))
    later = failed._replace(retry_at=NOW + timedelta(seconds=1))
    assert decided(old, later, policy).step == Step.WAIT
    assert decided(old, failed._replace(retry_at=NOW), policy).step == Step.TAKE


@steady
@given(entries, policies, st.booleans())
def test_what_nobody_knows_is_taken_once_it_is_old_enough(entry: Entry, policy: str, held: bool):
    step = decided(entry, None, policy, held=held).step
    assert step == (Step.UNSTABLE if entry.mtime_ns > STABLE else Step.TAKE)


@steady
@given(entries, st.integers(-5 * 10**9, 5 * 10**9))
def test_looks_are_kept_only_of_what_was_not_written_just_then(entry: Entry, ago: int):
    kept = lasting_looks(entry, entry.mtime_ns + ago)
    assert kept == (looks(entry) if abs(ago) > 2 * 10**9 else "")
