"""What a run found is kept, read back and put together."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import results

from tests.benchmark import made


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    return tmp_path


def bare(rows: object) -> object:
    return results.plain(rows)


def test_every_section_is_read_back_as_it_was_written_without_what_was_printed():
    kept = made.result()
    assert set(kept.found) == set(results.SECTIONS)
    path = results.write(kept)
    assert "what it printed" not in path.read_text()
    again = results.read(path)
    assert again.facts == kept.facts
    assert again.found.keys() == kept.found.keys()
    for name, rows in kept.found.items():
        assert [type(row) for row in again.found[name]] == [type(row) for row in rows]
        assert bare(again.found[name]) == bare(rows)
    assert again.found["cases"][0].targets == kept.found["cases"][0].targets


def test_a_row_of_an_older_result_has_the_default_of_what_it_lacks(folder: Path):
    path = results.write(made.result({"planning": [made.planning(10)]}))
    path.write_text(path.read_text().replace('"kept_mb": 0.003', '"other": 1').replace('"load": 0.1,', ""))
    again = results.read(path)
    assert again.found["planning"][0].kept_mb is None
    assert again.facts["load"] is None


def test_a_name_says_the_day_the_machine_and_what_was_asked_for(folder: Path):
    names = [
        results.write(made.result(**asked)).name.partition("2026-01-02-")[2]
        for asked in ({}, {"full": True}, {"full": True, "only": ["planning"]}, {"only": ["very large"]})
    ]
    platform = names[0].partition("-")[0]
    wanted = ["2cpu", "2cpu-full", "2cpu-full-planning", "2cpu-very_large"]
    assert names == [f"{platform}-{name}.json" for name in wanted]


def test_each_section_comes_from_the_newest_run_that_has_it_and_the_comparison_from_a_run_of_all(folder: Path):
    results.write(made.result())
    results.write(
        made.result({"cases": [made.case()], "large": made.everything()["large"]}, date="2026-01-03", only=["large"])
    )
    found = results.together(results.kept(folder))
    assert found["large"].facts["date"] == "2026-01-03"
    assert found["cases"].facts["date"] == found["planning"].facts["date"] == "2026-01-02"
    assert len(found["cases"].found["cases"]) == 2


def test_of_one_day_the_later_run_is_newer(folder: Path):
    for at, only in (("09:00", ["planning"]), ("10:00", []), ("11:00", ["large"])):
        results.write(made.result(at=at, only=only))
    assert [result.facts["at"] for result in results.kept(folder)] == ["11:00", "10:00", "09:00"]


def test_a_size_that_the_newest_run_lacks_comes_from_an_older_one_and_says_so(folder: Path):
    results.write(made.result({"planning": [made.planning(10), made.planning(1000)]}, full=True))
    results.write(made.result({"planning": [made.planning(10), made.planning(100)]}, date="2026-02-01"))
    found = results.growth(results.kept(folder))
    assert [(one.row.keys, one.facts["date"]) for one in found] == [
        (10, "2026-02-01"), (100, "2026-02-01"), (1000, "2026-01-02"),
    ]  # fmt: skip


def test_the_facts_say_how_busy_the_machine_was_and_not_whose_it_is():
    found = results.machine()
    assert found["load"] >= 0
    assert set(found) == {"date", "at", "cpus", "cpu", "memory_gb", "system", "storage", "load"}


def test_every_result_in_the_repository_can_be_read():
    for path in Path(results.__file__).with_name("results").glob("*.json"):
        found = results.read(path)
        assert found.found
        assert found.facts["versions"]["trueup"]
