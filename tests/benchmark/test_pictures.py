"""The pictures show the results, truly: bars from zero, units named, each file no older than the figures."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from bench import pictures, results, run

from tests.benchmark import made

SVG = "{http://www.w3.org/2000/svg}"
DC = "{http://purl.org/dc/elements/1.1/}"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("drawn")
    result = made.result()
    found = pictures.draw(results.together([result]), results.growth([result]), folder)
    return {path.stem: path for path in found}


def words(path: Path) -> list[str]:
    return ["".join(text.itertext()) for text in ET.parse(path).iter(f"{SVG}text")]


def told(path: Path) -> str:
    found = ET.parse(path).find(f".//{DC}source")
    assert found is not None
    return found.text or ""


def test_there_is_a_picture_of_every_comparison(drawn: dict[str, Path]):
    names = (pictures.TIME, pictures.MEMORY, pictures.CURVES, pictures.RECONCILED)
    assert set(drawn) == {name for name, _ in (*names, pictures.INGESTED, pictures.RECORDS, pictures.SERVED)}


def test_each_panel_names_its_case_its_tools_its_unit_and_its_figures(drawn: dict[str, Path]):
    found = words(drawn["bench-time"])
    for wanted in ("upload 10 small files", "nothing to do, 10", "trueup", "rclone", "bare loop", "2.5", "5", "9", "1"):
        assert wanted in found
    assert found.count("seconds") == 2
    assert "MB" in words(drawn["bench-memory"])
    curves = words(drawn["bench-growth"])
    assert "keys on each side (logarithmic)" in curves
    assert "seconds (logarithmic)" in curves
    assert "MB" in curves


def test_where_there_is_no_panel_nothing_is_drawn(tmp_path: Path):
    found = made.everything() | {"cases": [made.case(f"upload {number} small files") for number in range(3)]}
    result = made.result(found)
    paths = pictures.draw(results.together([result]), results.growth([result]), tmp_path)
    time = next(path for path in paths if path.stem == "bench-time")
    assert "0.8" not in words(time), "the scale of an empty panel"


def test_bars_begin_at_zero(drawn: dict[str, Path]):
    from matplotlib.figure import Figure

    for panels in pictures.charts(results.together([made.result()])).values():
        for panel in panels:
            ax = Figure().subplots()
            pictures.panel(ax, panel)
            low, high = ax.get_xlim()
            assert low == 0
            assert high > max(value for _, value, _ in panel.bars)
            assert ax.get_xscale() == "linear"
            assert ax.get_xlabel() == panel.unit
            assert [bar.get_width() for bar in ax.patches] == [value for _, value, _ in panel.bars]


def test_memory_begins_at_zero_beside_the_logarithmic_times():
    result = made.result()
    time, memory = pictures.plot(results.growth([result])).axes
    assert (time.get_xscale(), time.get_yscale(), memory.get_yscale()) == ("log", "log", "linear")
    assert memory.get_ylim()[0] == 0


def test_a_point_of_another_run_is_hollow():
    newer = made.result({"planning": [made.planning(10), made.planning(100)]}, date="2026-02-01")
    older = made.result({"planning": [made.planning(1000)]})
    time, _ = pictures.plot(results.growth([newer, older])).axes
    hollow = [line for line in time.get_lines() if line.get_markerfacecolor() == "white"]
    assert {tuple(line.get_xdata()) for line in hollow} == {(1000,), ()}
    legend = time.get_legend()
    assert legend
    assert "hollow: from another run" in [text.get_text() for text in legend.get_texts()]


def test_a_picture_fetches_nothing_keeps_its_text_and_lies_on_a_white_card(drawn: dict[str, Path]):
    for path in drawn.values():
        text = path.read_text("utf-8")
        assert "@import" not in text
        assert "url(http" not in text
        assert "<image" not in text
        assert words(path)
        card = ET.parse(path).find(f".//{SVG}g[@id='patch_1']/{SVG}path")
        assert card is not None
        assert "fill: #ffffff" in card.attrib["style"]
        assert len(text) < 150_000


def test_the_same_results_give_the_same_file(drawn: dict[str, Path], tmp_path: Path):
    result = made.result({"reconciled": made.everything()["reconciled"]})
    [again] = pictures.draw(results.together([result]), results.growth([result]), tmp_path)
    assert again.read_bytes() == drawn["bench-reconciling"].read_bytes()


def test_what_there_are_no_results_for_has_no_picture_any_more(tmp_path: Path):
    (tmp_path / "bench-time.svg").write_text("of yesterday")
    result = made.result({"ingested": made.everything()["ingested"]})
    [left] = pictures.draw(results.together([result]), results.growth([result]), tmp_path)
    assert list(tmp_path.iterdir()) == [left]


def test_the_pictures_of_the_documentation_show_the_newest_results():
    kept = results.kept()
    sections, growth = results.together(kept), results.growth(kept)
    wanted = {name: panels for (name, _), panels in pictures.charts(sections).items() if panels}
    wanted[pictures.CURVES[0]] = pictures.curves(growth)
    files = {path.stem: told(path) for path in (run.DOCS / "assets").glob("bench-*.svg")}
    now = {name: pictures.source(shown) for name, shown in wanted.items()}
    assert files == now, "draw them anew: python bench/run.py --docs"
    page = run.PAGE.read_text("utf-8")
    assert all(f"](assets/{name}.svg)" in page for name in files)
