"""Rate and time left."""

from __future__ import annotations

from trueup.tui.pace import Pace
from trueup.tui.words import clock, size


def test_the_rate_follows_the_last_seconds():
    pace = Pace()
    for second in range(20):
        pace.mark(float(second), actions=second, amount=1_000 * second if second < 10 else 9_000 + 5_000 * (second - 9))
    assert pace.bytes_rate == 5_000


def test_the_time_left_is_that_of_what_takes_longer():
    pace = Pace()
    for second in range(5):
        pace.mark(float(second), actions=10 * second, amount=1_000 * second)
    assert pace.left(actions=10, amount=30_000) == 30
    assert pace.left(actions=900, amount=1_000) == 90
    assert pace.left(actions=5, amount=0) == 0.5


def test_nothing_is_guessed():
    pace = Pace()
    assert pace.left(actions=10, amount=10) is None
    pace.mark(0.0, actions=0, amount=0)
    pace.mark(0.1, actions=5, amount=500)
    assert pace.bytes_rate == 0
    assert pace.left(actions=10, amount=10) is None
    pace.mark(3.0, actions=5, amount=500)
    pace.mark(9.0, actions=5, amount=500)
    assert pace.left(actions=10, amount=10) is None


def test_times_and_sizes_are_short():
    assert [clock(seconds) for seconds in (0, 7.4, 750, 7_380)] == ["0:00", "0:07", "12:30", "2:03:00"]
    assert [size(amount) for amount in (0, 1023, 1536, 5 << 30)] == ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]
