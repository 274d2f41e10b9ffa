"""What each key and button does, on real folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Button, Checkbox, Input, Select

from tests.tui.conftest import Driver, job, play, write
from trueup.config import SyncConfig, SyncJob
from trueup.sync import sync
from trueup.tui.dialogs import Choice, Question
from trueup.tui.screen import SyncScreen

Places = tuple[Path, Path]


def test_start_shows_the_plan_asks_and_applies_it(places: Places):
    left, right = places

    async def scenario(user: Driver) -> None:
        await user.press("s")
        await user.asked()
        assert "3 changes" in user.text()
        assert not (right / "index.html").exists()
        await user.press("enter")
        await user.idle()
        assert (right / "index.html").read_text() == "hello\n"
        assert (left / "notes.txt").read_text() == "new on the right\n"
        assert {status for _, _, status in user.rows()} == {"done"}
        assert "Total 3   Synced 3   Errors 0" in user.statistics()
        assert "ok: 3 changes made" in user.log()

    play(scenario)


def test_no_is_an_answer_and_changes_nothing(places: Places):
    _, right = places

    async def scenario(user: Driver) -> None:
        await user.press("s")
        await user.asked()
        await user.press("escape")
        await user.idle()
        assert not (right / "index.html").exists()
        assert "nothing was changed" in user.log()

    play(scenario)


def test_refresh_shows_what_would_be_done_and_what_is_new_since(places: Places):
    left, _ = places

    async def scenario(user: Driver) -> None:
        await user.press("r")
        await user.until(user.rows)
        await user.idle()
        assert ("copy right", "index.html", "planned") in user.rows()
        write(left / "later.txt", "later")
        await user.press("r")
        await user.until(lambda: ("copy right", "later.txt", "planned") in user.rows())

    play(scenario)


def test_the_buttons_do_what_the_keys_do(places: Places):
    _, right = places

    async def scenario(user: Driver) -> None:
        await user.pilot.click("#refresh")
        await user.until(lambda: len(user.rows()) == 3)
        await user.idle()
        user.screen.query_one("#start", Button).focus()
        await user.press("space")
        await user.asked()
        await user.pilot.click("#go")
        await user.idle()
        assert (right / "index.html").exists()
        await user.pilot.click("#clear")
        await user.pilot.pause()
        assert user.log() == ""

    play(scenario)


def test_upload_only_leaves_the_left_side_alone(places: Places):
    left, right = places

    async def scenario(user: Driver) -> None:
        user.screen.query_one("#mode", Select).focus()
        await user.press("enter", "down", "enter")
        await user.pilot.pause()
        assert user.screen.query_one("#mode", Select).value == "push"
        await user.press("s")
        await user.asked()
        await user.press("enter")
        await user.idle()
        assert (right / "index.html").exists()
        assert not (left / "notes.txt").exists()

    play(scenario)


def test_the_preferred_side_wins_a_conflict(places: Places):
    left, right = places
    write(left / "both.txt", "left")
    write(right / "both.txt", "right, longer")

    async def scenario(user: Driver) -> None:
        user.screen.query_one("#prefer", Select).focus()
        await user.press("enter", "down", "enter", "tab", "escape")
        await user.press("s")
        await user.asked()
        await user.press("enter")
        await user.idle()

    play(scenario)
    assert (right / "both.txt").read_text() == "left"


def test_other_rules_clear_the_plan_of_the_old_ones(places: Places):
    async def scenario(user: Driver) -> None:
        await user.press("r")
        await user.until(lambda: len(user.rows()) == 3)
        await user.idle()
        user.screen.query_one("#delete", Checkbox).focus()
        await user.press("space")
        await user.pilot.pause()
        assert user.rows() == []
        assert "Refresh shows" in user.text()

    play(scenario)


def test_deletes_are_counted_before_they_are_done(places: Places):
    left, right = places
    sync("./site", "./bucket")
    (left / "notes.txt").unlink()

    async def scenario(user: Driver) -> None:
        await user.press("s")
        await user.asked()
        shown = user.text()
        assert "1 file to be deleted" in shown
        assert "1  delete on the right" in shown
        await user.press("enter")  # Cancel has the focus
        await user.idle()
        assert (right / "notes.txt").exists()
        await user.press("s")
        await user.asked()
        await user.press("shift+tab", "enter")
        await user.idle()
        assert not (right / "notes.txt").exists()

    play(scenario, job(delete=True))


def test_a_refused_guard_is_shown_in_words_and_offers_no_start(places: Places):
    left, right = places
    sync("./site", "./bucket")
    for name in ("index.html", "img/cat.jpg", "notes.txt"):
        (left / name).unlink()

    async def scenario(user: Driver) -> None:
        await user.press("s")
        await user.asked()
        assert "Refused" in user.text()
        assert "is empty, but held 3 files" in " ".join(user.text().split())
        assert not user.app.screen.query("#go")
        await user.press("enter")
        await user.idle()
        assert "a guard refuses this" in user.log()

    play(scenario, job(delete=True))
    assert (right / "index.html").exists()


def test_undo_takes_the_last_run_back_and_shows_what_came_back(places: Places):
    left, right = places
    sync("./site", "./bucket")
    write(left / "index.html", "worse\n")

    async def scenario(user: Driver) -> None:
        await user.press("s")
        await user.asked()
        await user.press("enter")
        await user.idle()
        assert (right / "index.html").read_text() == "worse\n"
        await user.press("u")
        await user.asked()
        assert "1  copy to the right" in user.text()
        await user.press("enter")
        await user.idle()
        assert (right / "index.html").read_text() == "hello\n"
        assert user.rows() == [("copy right", "index.html", "done")]
        assert "1 change undone" in user.log()
        await user.press("u")  # the run before that one
        await user.asked()
        await user.press("enter")
        await user.idle()
        assert not (right / "index.html").exists(), user.log()
        await user.press("u")
        await user.pilot.pause()
        assert "no run of these two places" in user.log()

    play(scenario)


def test_undo_knows_the_runs_of_earlier_days_and_says_when_there_is_none(places: Places):
    _, right = places

    async def nothing(user: Driver) -> None:
        await user.press("u")
        await user.pilot.pause()
        assert "no run of these two places" in user.log()

    async def earlier(user: Driver) -> None:
        await user.press("u")
        await user.asked()
        await user.press("enter")
        await user.idle()

    play(nothing)
    sync("./site", "./bucket")
    play(earlier)
    assert not (right / "index.html").exists()


def test_a_run_that_cannot_be_undone_says_why(places: Places):
    sync("./site", "./bucket", config=SyncConfig(trash=False))

    async def scenario(user: Driver) -> None:
        await user.press("u")
        await user.asked()
        await user.press("enter")
        await user.idle()
        assert "made with --no-trash" in " ".join(user.log().split())

    play(scenario)


@pytest.mark.parametrize("by", ["key", "button"])
def test_stop_in_the_middle_finishes_what_runs_and_keeps_the_rest_for_later(tmp_path: Path, by: str):
    for number in range(60):
        write(tmp_path / "site" / f"{number:03}.bin", "x" * 20_000)

    async def scenario(user: Driver) -> None:
        await user.press("s")
        await user.asked()
        await user.press("enter")
        await user.until(lambda: user.screen._numbers.moved > 0)
        await (user.press("ctrl+c") if by == "key" else user.pilot.click("#stop"))
        await user.idle()
        assert "interrupted" in user.log()
        assert user.app.is_running

    play(scenario, job(workers=1, bwlimit=100_000))
    copied = len(list((tmp_path / "bucket").glob("*.bin")))
    assert 0 < copied < 60
    sync("./site", "./bucket")
    assert len(list((tmp_path / "bucket").glob("*.bin"))) == 60


def test_ctrl_c_right_after_start_changes_nothing(places: Places):
    async def scenario(user: Driver) -> None:
        await user.press("s")
        await user.press("ctrl+c")
        await user.idle()
        assert isinstance(user.app.screen, SyncScreen)

    play(scenario)
    assert not (places[1] / "index.html").exists()


def test_ctrl_c_quits_when_nothing_runs(places: Places):
    async def scenario(user: Driver) -> None:
        await user.press("ctrl+c")

    assert play(scenario).return_value == 0


def test_ctrl_c_while_stopping_quits_after_the_running_files(tmp_path: Path):
    for number in range(9):
        write(tmp_path / "site" / f"{number}.bin", "x" * 50_000)

    async def scenario(user: Driver) -> None:
        await user.press("s")
        await user.asked()
        await user.press("enter")
        await user.until(lambda: user.screen._numbers.moved > 0)
        await user.press("ctrl+c", "ctrl+c")
        await user.until(lambda: not user.app.is_running or user.app._exit)

    assert play(scenario, job(workers=1, bwlimit=100_000)).return_value == 0


def test_errors_stand_in_the_log_with_their_cause(places: Places):
    left, _ = places

    async def scenario(user: Driver) -> None:
        await user.press("s")
        await user.asked()
        (left / "index.html").unlink()
        await user.press("enter")
        await user.idle()
        log = " ".join(user.log().split())
        assert "drifted: copy right index.html: not as planned any more" in log
        assert "partial: 2 changes made" in log
        assert "Errors 1" in user.statistics()
        assert ("copy right", "index.html", "drifted") in user.rows()

    play(scenario)


def test_a_place_that_is_not_there_is_an_error_in_the_log(tmp_path: Path):
    async def scenario(user: Driver) -> None:
        await user.press("s")
        await user.idle()
        assert "is not there" in " ".join(user.log().split())
        assert isinstance(user.app.screen, SyncScreen)

    play(scenario)


def test_what_is_shown_passes_the_veil(places: Places):
    left, _ = places

    async def scenario(user: Driver) -> None:
        await user.press("s")
        await user.asked()
        (left / "index.html").unlink()
        await user.press("enter")
        await user.idle()
        assert "index" not in user.log()
        assert all("index" not in row.details for row in user.table.rows.everything)

    play(scenario, clean=lambda text: text.replace("index", "***"))


def test_nothing_to_do_asks_nothing_and_remembers_what_agrees(tmp_path: Path):
    write(tmp_path / "site" / "a", "same")
    write(tmp_path / "bucket" / "a", "same")

    async def scenario(user: Driver) -> None:
        await user.press("s")
        await user.until(lambda: "ok:" in user.log())
        assert "nothing to do" in user.log()

    play(scenario)
    (tmp_path / "site" / "a").unlink()
    run = sync("./site", "./bucket", config=SyncConfig(delete=True, force=True))
    assert run.counts["delete_right"] == 1


def test_one_of_several_pairs_is_chosen(places: Places):
    other = SyncJob(left="./elsewhere", right="./bucket")

    async def scenario(user: Driver) -> None:
        assert isinstance(user.app.screen, Choice)
        await user.press("down", "enter")
        await user.pilot.pause()
        assert "site: ./site ⇄ ./bucket" in user.text()

    play(scenario, other, job(), names=("other", "site"))


def test_choosing_none_quits(places: Places):
    async def scenario(user: Driver) -> None:
        await user.press("escape")

    assert play(scenario, job(), job(), names=("a", "b")).return_value == 0


def test_tab_reaches_everything_and_comes_back_to_the_table(places: Places):
    async def scenario(user: Driver) -> None:
        seen = []
        for _ in range(9):
            await user.press("tab")
            seen.append(user.screen.focused.id if user.screen.focused else None)
        assert seen == ["log", "mode", "prefer", "delete", "start", "refresh", "undo", "clear", "filter"]
        await user.press("tab")
        assert user.screen.focused is user.table

    play(scenario)


@pytest.mark.parametrize("key", ["Tab", "Enter", "Space", "^C"])
def test_the_footer_names_the_keys(places: Places, key: str):
    async def scenario(user: Driver) -> None:
        await user.pilot.pause(0.1)
        footer = user.text().splitlines()[-1]
        assert key in footer
        assert "Quit" in footer

    play(scenario)


def test_light_and_dark(places: Places):
    async def scenario(user: Driver) -> None:
        assert user.app.current_theme.dark
        await user.press("u")
        said = user.log()
        await user.press("t")
        assert not user.app.current_theme.dark
        assert user.log() == said

    play(scenario)


def test_a_narrower_terminal_breaks_the_lines_of_the_log_anew(places: Places):
    async def scenario(user: Driver) -> None:
        await user.press("r")
        await user.until(user.rows)
        await user.idle()
        before = user.log().split()
        await user.pilot.resize_terminal(60, 24)
        await user.pilot.pause(0.2)
        assert user.log().split() == before
        assert max(map(len, user.log().splitlines())) < 60
        assert max(map(len, user.text().splitlines())) <= 60

    play(scenario, size=(120, 40))


def test_details_tell_everything_about_a_row(places: Places):
    async def scenario(user: Driver) -> None:
        await user.press("r")
        await user.until(lambda: len(user.rows()) == 3)
        await user.idle()
        await user.press("down", "enter")
        await user.asked()
        assert isinstance(user.app.screen, Question)
        shown = user.text()
        assert "index.html" in shown
        assert "copy to the right" in shown
        assert "6 B, 20" in shown  # size and time on the left
        await user.press("escape")

    play(scenario)


def test_the_filter_narrows_the_table_as_one_types(places: Places):
    async def scenario(user: Driver) -> None:
        await user.press("r")
        await user.until(lambda: len(user.rows()) == 3)
        await user.idle()
        await user.press("slash", *"JPG")
        await user.pilot.pause()
        assert [name for _, name, _ in user.rows()] == ["img/cat.jpg"]
        assert "1 of 3 rows" in user.text()
        await user.press("space", *"left")
        await user.pilot.pause()
        assert user.rows() == []
        assert "No row holds these words" in user.text()
        await user.press("escape")
        await user.pilot.pause()
        assert len(user.rows()) == 3
        await user.press("escape")
        assert user.screen.focused is user.table

    play(scenario)


def test_enter_in_the_filter_leads_to_the_table(places: Places):
    async def scenario(user: Driver) -> None:
        await user.press("slash", "s", "enter")
        assert user.screen.query_one("#filter", Input).value == "s"
        assert user.screen.focused is user.table

    play(scenario)
