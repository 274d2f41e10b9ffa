"""The script that computes a billion objects: its assumptions can be changed, and its page is that of the results."""

from __future__ import annotations

import pytest
from bench import results, run, scale
from bench.model import Sharing


def rows() -> list[results.Growth]:
    return results.growth(results.kept())


def test_every_cloud_and_every_number_of_workers_has_its_figures():
    text = scale.markdown(rows())
    for title in scale.TITLES.values():
        assert text.count(f"| {title} |") == 2
    assert "| 1 × 1 | 1 × 8 | 10 × 1 | 10 × 8 | 100 × 1 | 100 × 8 |" in text
    assert "| 1,000 | 0.1 | 2,000,006 | $10.00 | $5.00 |" in text


def test_each_assumption_can_be_changed():
    asked = scale.arguments(["--latency", "s3=0.05", "--price", "s3=0.5", "--inventory", "gcs=1", "--at-once", "4"])
    s3, r2, gcs, azure = scale.changed(scale.CLOUDS, asked)
    assert (s3.latency, s3.per_thousand, s3.inventory) == (0.05, 0.5, scale.CLOUDS[0].inventory)
    assert gcs.inventory == 1
    assert (r2, azure) == (scale.CLOUDS[1], scale.CLOUDS[3])
    assert asked.at_once == 4
    dearer = scale.markdown(rows(), clouds=[s3])
    assert "| 1,000 | 0.05 | 2,000,006 | $1,000.00 | $5.00 |" in dearer


@pytest.mark.parametrize("words", [["--latency", "s4=1"], ["--price", "s3"], ["--price", "s3=much"]])
def test_what_is_no_assumption_is_refused_with_an_example(words: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        scale.arguments(words)
    assert "write s3=0.1" in capsys.readouterr().err


def test_ten_times_the_hour_is_ten_times_the_money_for_machines():
    def money(hour: float) -> float:
        [line] = [
            line for line in scale.markdown(rows(), sharing=Sharing(hour=hour)).splitlines() if "machines" in line
        ]
        return float(line.split("$")[1].partition(" ")[0])

    assert money(10.0) == pytest.approx(10 * money(1.0), rel=0.01)


def test_the_page_shows_what_the_newest_results_give():
    assert scale.markdown(rows()) in scale.PAGE.read_text("utf-8"), "write it anew: python bench/run.py --docs"
    assert run.BEGIN in scale.PAGE.read_text("utf-8")


@pytest.mark.parametrize(
    ("seconds", "shown"), [(1.4, "1 s"), (119, "119 s"), (300, "5 min"), (7199, "120 min"), (36_000, "10.0 h")]
)
def test_a_time_is_shown_in_a_fitting_unit(seconds: float, shown: str):
    assert scale.duration(seconds) == shown
