"""A disk that folds case, on one that does not: the store says that it folds, which is all the planner goes by."""

from __future__ import annotations

import pytest

from trueup.config import load
from trueup.stores.tree import Tree
from trueup.sync import sync


@pytest.fixture
def folding(monkeypatch):
    monkeypatch.setattr(Tree, "folds_case", True)


def write(root, **files):
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def case_notes(run):
    return sorted(str(item["key"]) for item in run.items if item["reason"] == "case")


@pytest.mark.usefixtures("folding")
def test_a_name_that_is_there_in_another_case_is_reported_and_left_alone(tmp_path):
    left, right = tmp_path / "left", tmp_path / "right"
    write(left, **{"photo.jpg": "old", "b": "b"})
    right.mkdir()
    assert sync(str(left), str(right), settings=load()).status == "ok"
    write(right, **{"Photo.jpg": "another"})
    run = sync(str(left), str(right), settings=load())
    assert case_notes(run) == ["Photo.jpg"]
    assert run.status == "ok"
    assert not (left / "Photo.jpg").exists()
    assert (left / "photo.jpg").read_text() == "old"


@pytest.mark.usefixtures("folding")
def test_folders_that_differ_in_case_are_found_segment_by_segment(tmp_path):
    left, right = tmp_path / "left", tmp_path / "right"
    write(left, Photos__a="a")
    write(right, photos__b="b")
    run = sync(str(left), str(right), settings=load())
    assert case_notes(run) == ["Photos/a", "photos/b"]
    assert not (left / "photos").exists()
    assert not (right / "Photos").exists()


@pytest.mark.usefixtures("folding")
def test_two_new_names_that_would_meet_are_both_left_alone_and_the_rest_goes_on(tmp_path):
    left, right = tmp_path / "left", tmp_path / "right"
    write(left, A="1", a="2", c="3")
    right.mkdir()
    run = sync(str(left), str(right), settings=load())
    assert case_notes(run) == ["A", "a"]
    assert [path.name for path in right.iterdir() if path.name != ".trueup"] == ["c"]
