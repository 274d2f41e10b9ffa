"""The table: order, filter, and that it draws only what can be seen."""

from __future__ import annotations

from pathlib import Path
from typing import SupportsIndex

import pytest
from rich.cells import cell_len

from tests.tui.conftest import Driver, play, write
from trueup import events
from trueup.stores.base import Entry
from trueup.tui.files import _fit
from trueup.tui.rows import LIMIT, Row, Rows, described


def row(number: int, **changes: object) -> Row:
    values: dict[str, object] = {
        "action": "copy_right",
        "key": f"{number:06}.txt",
        "name": f"{number:06}.txt",
        "size": number * 7 % 1000,
        "status": "planned",
        "details": "new",
    }
    return Row(**(values | changes))  # type: ignore[arg-type]


class Watched(list[Row]):
    """A list that knows which of its rows were looked at."""

    def __init__(self, rows: list[Row]) -> None:
        super().__init__(rows)
        self.seen: set[int] = set()

    def __getitem__(self, index):
        assert isinstance(index, SupportsIndex)
        self.seen.add(int(index))
        return super().__getitem__(index)

    def __iter__(self):
        raise AssertionError("somebody goes through every row")


def test_a_hundred_thousand_rows_are_drawn_a_screen_at_a_time():
    rows = [row(number) for number in range(100_000)]

    async def scenario(user: Driver) -> None:
        widgets = len(user.screen.query("*"))
        user.table.fill(rows)
        await user.pilot.pause()
        assert len(user.screen.query("*")) == widgets
        assert user.table.rows.everything is not rows
        user.table.rows.shown = watched = Watched(user.table.rows.shown)
        user.table.refresh()
        await user.pilot.pause()
        assert watched.seen <= set(range(24))
        assert watched.seen >= set(range(5))
        watched.seen.clear()
        await user.press("end")
        await user.pilot.pause()
        assert min(watched.seen - {0}) > 99_900
        assert "099999.txt" in user.text()
        watched.seen.clear()
        await user.press("home", "pagedown")
        await user.pilot.pause()
        assert len(watched.seen) < 100

    play(scenario)


def test_a_burst_of_events_is_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rows = [row(number) for number in range(20_000)]

    async def scenario(user: Driver) -> None:
        user.table.fill(rows)
        user.screen._doing = "sync"
        await user.pilot.pause(0.2)
        drawn = []
        user.table.refresh = lambda *_, **__: drawn.append(1)  # type: ignore[assignment,method-assign]
        for each in rows[:10_000]:
            user.screen._runner.inbox.append(
                events.ItemFinished(run="r", key=each.key, action=each.action, reason="new", bytes=1, outcome="done")
            )
        await user.until(lambda: not user.screen._runner.inbox)
        assert len(drawn) < 10
        assert "Synced 10,000" in user.statistics()
        user.screen._doing = ""

    play(scenario)


def test_many_errors_are_summed_up_in_the_log_and_all_in_the_table():
    rows = [row(number) for number in range(5_000)]

    async def scenario(user: Driver) -> None:
        user.table.fill(rows)
        user.screen._doing = "sync"
        user.screen._runner.inbox.extend(
            events.ItemFinished(
                run="r", key=each.key, action=each.action, reason="new", bytes=0, outcome="failed", error="disk full"
            )
            for each in rows
        )
        await user.until(lambda: "more; the table has them all" in user.log())
        assert user.log().count("disk full") < 5_000
        assert {each.status for each in rows} == {"failed"}
        user.screen._doing = ""

    play(scenario)


def test_a_click_on_a_header_sorts_up_then_down_then_as_planned(places: tuple[Path, Path]):
    left, _ = places
    write(left / "big.bin", "x" * 50_000)

    async def scenario(user: Driver) -> None:
        await user.press("r")
        await user.until(lambda: len(user.rows()) == 4)
        await user.idle()
        planned = [name for _, name, _ in user.rows()]
        size = sum(user.table._widths()[:2]) + 2 * 2 + 3
        by_size = ["index.html", "notes.txt", "img/cat.jpg", "big.bin"]
        await user.pilot.click("#files", offset=(size, 0))
        assert [name for _, name, _ in user.rows()] == by_size
        assert "Size ▲" in user.text()
        await user.pilot.click("#files", offset=(size, 0))
        assert [name for _, name, _ in user.rows()] == by_size[::-1]
        assert "Size ▼" in user.text()
        await user.pilot.click("#files", offset=(size, 0))
        assert [name for _, name, _ in user.rows()] == planned
        await user.press("2")
        assert [name for _, name, _ in user.rows()] == sorted(planned)

    play(scenario)


def test_a_click_moves_the_cursor_and_a_second_one_opens_the_row(places: tuple[Path, Path]):
    async def scenario(user: Driver) -> None:
        await user.press("r")
        await user.until(lambda: len(user.rows()) == 3)
        await user.idle()
        await user.pilot.click("#files", offset=(20, 2))
        assert user.table.cursor == 1
        await user.pilot.click("#files", offset=(20, 2), times=2)
        await user.asked()

    play(scenario)


def test_the_filter_wants_every_word_and_follows_the_status():
    rows = Rows()
    rows.fill([row(1), row(2, name="Photo.JPG"), row(3, name="photo.png", action="delete_left")])
    rows.filter("photo")
    assert [each.name for each in rows.shown] == ["Photo.JPG", "photo.png"]
    rows.filter("photo left")
    assert [each.name for each in rows.shown] == ["photo.png"]
    rows.filter("failed")
    assert rows.shown == []
    rows.everything[0].settle("failed", "disk full")
    rows.again()
    assert [each.details for each in rows.shown] == ["disk full"]


def test_filter_and_order_stay_when_rows_come():
    rows = Rows()
    rows.filter("txt")
    rows.sort(1)
    rows.add([row(3), row(1)])
    rows.add([row(2), row(0, name="other")])
    assert [each.name for each in rows.shown] == ["000001.txt", "000002.txt", "000003.txt"]
    assert rows.find("copy_right", "000002.txt") is rows.everything[2]


def test_more_rows_than_the_table_holds_are_left_out():
    rows = Rows()
    rows.fill(row(number) for number in range(LIMIT + 5))
    assert len(rows.everything) == LIMIT
    rows.add([row(0)])
    assert len(rows.everything) == LIMIT


@pytest.mark.parametrize(
    "text", ["short", "a/rather/long/name/of/a/file.txt", "日本語の名前/とても長い/ファイル.txt", "ä" * 40]
)
@pytest.mark.parametrize("end", [False, True])
def test_a_cell_is_exactly_as_wide_as_its_column(text: str, end: bool):
    fitted = _fit(text, 16, end=end)
    assert cell_len(fitted) == 16
    if cell_len(text) > 16:
        assert "…" in fitted
        assert fitted.endswith(text[-4:]) == end or "ä" in text


def test_details_give_both_sides():
    entry = Entry("a", 2_048, 1_700_000_000_000_000_000)
    lines = dict(described(row(1, left=entry, right=entry._replace(mtime_ns=0))))
    assert lines["Left"] == "2.0 KiB, 2023-11-14 22:13:20 UTC"
    assert lines["Right"] == "2.0 KiB, time unknown"
