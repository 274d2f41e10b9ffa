"""The tables: what they say, and that the documentation shows what the newest results give."""

from __future__ import annotations

import re
from typing import Any

import pytest
from bench import report, results, run
from bench.suite import Suite

from tests.benchmark import made


def page(found: dict[str, list[Any]] | None = None, **changes: Any) -> str:
    result = made.result(found, **changes)
    return report.markdown(results.together([result], parts=True), results.growth([result]))


def line(text: str, begin: str) -> list[str]:
    [found] = [line for line in text.splitlines() if line.startswith(f"| {begin} |")]
    return found[2:-2].split(" | ")


def test_the_documentation_shows_what_the_newest_results_give():
    kept = results.kept()
    now = report.markdown(results.together(kept), results.growth(kept), pictures="assets")
    assert now in run.PAGE.read_text("utf-8"), "write it anew: python bench/run.py --docs"


def test_every_comparison_has_its_table():
    headings = re.findall(r"^### (.*)$", page(), re.MULTILINE)
    assert headings == [
        "Time", "Ratios", "Peak memory", "Planning two buckets", "Very large files at once", "Start-up",
        "The books of the pool", "Reconciling", "Ingesting", "Records", "Serving",
    ]  # fmt: skip


def test_a_section_without_results_is_not_shown():
    text = page({"large": made.everything()["large"]})
    assert re.findall(r"^### (.*)$", text, re.MULTILINE) == ["Very large files at once"]


def test_a_case_shows_medians_ratios_of_rounds_and_whether_targets_are_met():
    text = page()
    times, ratios = text.split("### Ratios")
    assert line(times, "upload 10 small files")[1:6] == ["2.50 (2)", "5.00 (2)", "9.00 (1)", "–", "1.00 (2)"]
    upload = line(ratios.split("### Peak memory")[0], "upload 10 small files")
    assert upload[1:7] == ["0.50", "0.28", "0.50 (rclone)", "2.50", "≤ 0.60 × rclone", "met"]
    assert "| ≤ 1.25 × bare loop | **missed** |" in text
    assert "| memory < 120 MB | met |" in text


@pytest.mark.parametrize("full", [False, True])
def test_each_line_of_time_has_the_command_that_measures_it_again(full: bool):
    again = page(full=full).split("```sh\n")[1].split("```")[0].splitlines()
    cases = "upload-10-small-files", "nothing-to-do-10"
    assert again == [f'make bench ARGS="--only {name}{" --full" if full else ""}"' for name in cases]


def test_a_part_of_a_larger_run_is_measured_again_as_large():
    assert '`make bench ARGS="--only planning --full"`' in page(full=True)


def test_each_other_table_names_the_command_that_measures_it_again(tmp_path):
    text = page()
    words = re.findall(r'^`make bench ARGS="--only ([a-z-]+)"`$', text, re.MULTILINE)
    assert words == [
        "planning",
        "very-large",
        "start-up",
        "bookkeeping",
        "reconciling",
        "ingesting",
        "records",
        "serving",
    ]
    titles = ["planning", "very large", "start-up", "bookkeeping", "reconciling", "ingesting", "records", "serving"]
    for word, title in zip(words, titles, strict=True):
        suite = Suite(tmp_path, [word], full=False, rounds=None, minutes=1)
        assert [name for name in titles if suite.wanted(name)] == [title]


def test_a_command_names_one_case_only(tmp_path):
    """Of the cases that the benchmark really has, as the newest result lists them."""
    names = [case.name for case in results.together(results.kept())["cases"].found["cases"]]
    assert len(names) > 5
    for name in names:
        suite = Suite(tmp_path, [report.slug(name)], full=False, rounds=None, minutes=1)
        assert [other for other in names if suite.wanted(other)] == [name]


def test_planning_a_million_keys_is_held_against_rclone():
    for seconds, met in ((39.0, True), (41.0, False)):
        result = made.result({"planning": [made.planning(1_000_000, seconds, rclone=100.0)]})
        assert ("next ≤ 0.4 × rclone at 1,000,000 keys", met) in report.planning_verdicts(results.growth([result]))


def test_planning_beyond_a_million_keys_has_a_limit_of_its_own():
    result = made.result({"planning": [made.planning(1_000_000, 20.0), made.planning(10_000_000, 250.0)]})
    assert report.planning_verdicts(results.growth([result])) == [
        ("planning < 150 MB up to 1,000,000 keys", True),
        ("planning < 200 MB up to 10,000,000 keys", True),
        ("time per key grows ≤ 1.5 × from 1,000,000 to 10,000,000 keys", True),
    ]


def test_times_of_two_runs_are_not_compared_with_each_other():
    """Another day's machine may have been twice as fast."""
    newer = made.result({"planning": [made.planning(10, 1.0), made.planning(100, 10.0)]}, date="2026-02-01")
    older = made.result({"planning": [made.planning(1000, 500.0)]})
    found = report.planning_verdicts(results.growth([newer, older]))
    assert not any("grows" in wanted for wanted, _ in found)
    text = report.markdown(results.together([newer, older]), results.growth([newer, older]))
    assert line(text, "1,000")[-1] == "2026-01-02, 2 × Abacus"
    assert line(text, "100")[-1] == ""


def test_a_section_of_another_run_says_when_and_on_what_it_was_measured():
    whole, part = made.result(), made.result({"large": made.everything()["large"]}, date="2026-03-01", cpu="Slide rule")
    text = report.markdown(results.together([part, whole]), results.growth([part, whole]))
    assert text.startswith("Measured on 2026-01-02: 2 × Abacus")
    assert "Measured on 2026-03-01: 2 × Slide rule" in text.split("### Very large files")[1].split("###")[0]


def test_a_busy_machine_is_told():
    assert "busy" not in page()
    assert "**The machine was busy with other things**: 4.5 processes wanted its 2" in page(load=4.5)
    assert "busy" not in page(load=None)


def test_a_bare_server_has_no_target():
    served = page().split("### Serving")[1]
    assert "| `GET /api/x`, from a bare server | 4500 | 1.0 | 2.0 |  |  |" in served
    assert "| `GET /api/x` | 500 | 5.0 | 20.0 | at least 500 a second, 99 of 100 under 30 ms | met |" in served
