"""What is in scope: gitignore patterns over the key alone, the same for both sides and for the baseline."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sync.world import World, done, nothing_to_do, outcomes, scratch
from trueup.errors import UsageError
from trueup.filters import Scope
from trueup.sync import explain


@pytest.mark.parametrize(
    ("include", "exclude", "inside", "outside"),
    [
        ((), (), ["a", "d/b"], []),
        (("*.txt",), (), ["a.txt", "d/e/b.txt"], ["a.md", "txt"]),
        ((), ("*.tmp",), ["a", "a.tmpx"], ["a.tmp", "d/b.tmp"]),
        (("*.txt",), ("draft*",), ["a.txt"], ["draft.txt", "d/draft-1.txt", "a.md"]),
        (("/top",), (), ["top", "top/x"], ["d/top"]),
        (("d/",), (), ["d/x", "e/d/x"], ["d", "x"]),
        ((), ("build/", "!build/keep.txt"), ["x", "build"], ["build/x", "d/build/x"]),
        (("a/**/z",), (), ["a/z", "a/b/c/z"], ["z", "a/b"]),
        ((), ("é.txt",), ["e.txt"], ["é.txt", "e\u0301.txt", "d/e\u0301.txt"]),
        ((), ("e\u0301.txt",), [], ["é.txt", "e\u0301.txt"]),
    ],
)
def test_patterns_mean_what_they_mean_in_gitignore(include, exclude, inside, outside):
    from trueup.keys import normal

    scope = Scope(include, exclude)
    for key in inside:
        assert normal(key) in scope
    for key in outside:
        assert normal(key) not in scope


@pytest.mark.parametrize("key", [".trueup/trash/x", "d/.trueup/y", "d/.trueup-123", ".trueup-x/y", ".trueup"])
def test_what_is_trueups_own_is_never_in_scope(world: World, key: str):
    assert key not in Scope()
    assert key not in Scope(include=(".trueup*", "**"))
    world.put("left", key, "not for anybody")
    world.put("left", "a", "a")
    assert done(world.sync(include=("**",))) == {"copy_right": 1}
    assert world.tree("right") == {"a": b"a"}


def test_a_pattern_that_is_none_is_wrong_usage():
    with pytest.raises(UsageError, match="--exclude"):
        Scope((), ("!",))


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("x[z-a]", r"--exclude 'x\[z-a\]': bad character range z-a. Patterns are"),
        ("[[:foo:]]", r"--exclude '\[\[:foo:\]\]': '\[:' inside .* has no sure meaning. Write a class as a range"),
        ("[a[:digit:]]", r"'\[:' inside"),
        ("[![a]", r"'\[' inside"),
        ("[a&&b]", "'&&' inside"),
    ],
)
def test_a_set_that_means_nothing_or_two_things_is_wrong_usage(pattern, said):
    with pytest.raises(UsageError, match=said):
        Scope((), ("*.ok", pattern))


def test_marks_in_a_set_that_are_plain_characters():
    for pattern in ("[a[]", "[]a]", r"\[[a]", "[a-]", "[!&]"):
        assert "b" not in Scope((pattern + "x",))


@given(st.text("[]!^-az0&|~:\\\\*?/#", max_size=9))
def test_any_pattern_works_or_is_wrong_usage(pattern):
    with suppress(UsageError):
        Scope((pattern,))  # a warning is an error in these tests


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("mode", ["two-way", "push", "pull"])
def test_what_is_excluded_is_never_copied_overwritten_or_deleted(world: World, mode: str, side: str):
    world.both({"a.tmp": "1", "b.tmp": "1", "c": "1", "d": "1"})
    other = "left" if side == "right" else "right"
    world.put(side, "a.tmp", "edited")
    world.remove(side, "b.tmp")
    world.put(side, "new.tmp", "new")
    before = world.trees()
    assert nothing_to_do(world.sync(mode=mode, delete=True, exclude=("*.tmp",)))
    assert world.trees() == before
    assert world.tree(other)["b.tmp"] == b"1"


def test_excluding_what_was_synced_does_not_delete_it_on_either_side(world: World):
    world.both({"a": "1", "b.tmp": "2"})
    world.sync(delete=True, exclude=("*.tmp",))
    assert world.tree("left") == world.tree("right") == {"a": b"1", "b.tmp": b"2"}
    assert set(world.baseline()) == {"a"}, "what a finished run left out is forgotten"


def test_including_again_starts_afresh(world: World):
    world.both({"a": "1", "b.tmp": "2"})
    world.sync(exclude=("*.tmp",))
    world.remove("left", "b.tmp")
    assert done(world.sync(delete=True)) == {"copy_left": 1, "unchanged": 1}, "nobody remembers that it was agreed"
    assert world.tree("left") == {"a": b"1", "b.tmp": b"2"}


def test_a_dry_run_and_an_interrupted_run_forget_nothing(world: World):
    from tests.sync.world import Outputs
    from trueup.errors import Interrupted

    world.both({"a": "1", "b.tmp": "2"})
    world.sync(exclude=("*.tmp",), dry_run=True)
    with pytest.raises(Interrupted):
        world.sync(exclude=("*.tmp",), outputs=Outputs(stopped=lambda: True))
    with world.plan(exclude=("*.tmp",)):
        pass
    assert set(world.baseline()) == {"a", "b.tmp"}


def test_a_pattern_sees_the_same_key_in_whatever_way_a_side_spells_it(world: World):
    """A Mac's folder spells é in two characters; leaving it out on one side only would delete it on the other."""
    world.put("left", "e\u0301.txt", "1")
    world.put("right", "é.txt", "1")
    world.put("left", "a", "a")
    world.sync()
    world.put("left", "e\u0301.txt", "edited")
    for pattern in ("é.txt", "e\u0301.txt"):
        assert nothing_to_do(world.sync(delete=True, exclude=(pattern,)))
        assert world.trees() == ({"a": b"a", "e\u0301.txt": b"edited"}, {"a": b"a", "é.txt": b"1"})
    assert done(world.sync(include=("é.txt",), prefer="left")) == {"copy_right": 1}
    assert set(world.tree("right")) == {"a", "é.txt"}, "each side keeps its spelling"


def test_a_rename_out_of_scope_is_a_delete_in_scope(world: World):
    world.both({"a.txt": "content", "z.txt": "z"})
    (world.left / "a.txt").rename(world.left / "a.bak")
    run = world.sync(delete=True, exclude=("*.bak",))
    assert done(run) == {"delete_right": 1, "unchanged": 1}
    assert world.tree("right") == {"z.txt": b"z"}


def test_a_side_emptied_in_scope_is_emptied(world: World):
    from trueup.errors import Refused

    world.both({"a.txt": "1", "b.md": "2"})
    world.remove("left", "a.txt")
    with pytest.raises(Refused, match="is empty, but held 1"):
        world.sync(delete=True, include=("*.txt",))


def test_explain_says_which_pattern_kind_left_a_key_out(world: World):
    world.put("left", "a.tmp", "1")
    from trueup.config import SyncConfig

    def verdict(**options: object) -> str:
        return explain(*world.specs, "a.tmp", config=SyncConfig(**options), settings=world.settings).verdict

    assert "--exclude pattern matches" in verdict(exclude=("*.tmp",))
    assert "no --include pattern" in verdict(include=("*.txt",))
    assert "copied from left to right" in verdict()


PATTERNS = st.lists(st.sampled_from(["*.a", "/d", "d/", "e/**", "!d/x.a", "*é*", "x.b"]), max_size=3).map(tuple)
KEYS = st.sampled_from(["x.a", "x.b", "d/x.a", "d/y", "e/d/x.b", "é.a", "e/é"])


@settings(max_examples=40)
@given(
    st.dictionaries(KEYS, st.booleans(), min_size=1), PATTERNS, PATTERNS, st.sampled_from(["two-way", "push", "pull"])
)
def test_out_of_scope_is_untouched_and_in_scope_is_as_without_a_filter(files, include, exclude, mode):
    scope = Scope(include, exclude)
    with scratch() as folder:
        from pathlib import Path

        world, plain = World(Path(folder) / "filtered"), World(Path(folder) / "plain")
        for each in (world, plain):
            each.both(dict.fromkeys(KEYS.elements, "1"))
            for key, edited in files.items():
                if each is plain and key not in scope:
                    continue
                if edited:
                    each.put("left", key, "edited")
                else:
                    each.remove("right", key)
        before = world.trees()
        world.sync(mode=mode, delete=True, include=include, exclude=exclude, force=True)
        plain.sync(mode=mode, delete=True, force=True)
        for side in (0, 1):
            now, expected = world.trees()[side], plain.trees()[side]
            assert {k: v for k, v in now.items() if k not in scope} == {
                k: v for k, v in before[side].items() if k not in scope
            }
            assert {k: v for k, v in now.items() if k in scope} == {k: v for k, v in expected.items() if k in scope}


@pytest.fixture(params=["left", "right"])
def inside(world: World, request: pytest.FixtureRequest) -> str:
    """The side in which the state folder lies, as it does when a whole home folder is synced."""
    side = str(request.param)
    world.settings = replace(world.settings, home=world[side] / ".local/state/trueup")
    return side


def test_a_state_folder_inside_a_side_is_never_synced(world: World, inside: str):
    other = "left" if inside == "right" else "right"
    world.put(inside, ".local/state/trueup-notes", "mine")
    world.put(inside, ".local/state/trueup.txt", "mine")
    world.put(inside, "a", "1")
    assert done(world.sync(delete=True)) == {f"copy_{other}": 3}
    assert set(world.tree(other)) == {".local/state/trueup-notes", ".local/state/trueup.txt", "a"}
    for mode in ("two-way", "push", "pull"):
        assert nothing_to_do(world.sync(mode=mode, delete=True))


def test_another_machines_state_folder_on_the_other_side_is_left_alone(world: World, inside: str):
    other = "left" if inside == "right" else "right"
    theirs = world.put(other, ".local/state/trueup/pairs/theirs.db", "live")
    world.put(inside, "a", "1")
    world.sync()
    for mode in ("two-way", "push", "pull"):
        assert nothing_to_do(world.sync(mode=mode, delete=True))
    assert theirs.read_bytes() == b"live"
    assert not (world.settings.home / "pairs/theirs.db").exists()


def test_a_state_folder_that_was_synced_before_is_deleted_on_neither_side(world: World):
    key = ".local/state/trueup/pairs/old.db"
    world.both({"a": "1", key: "2"})
    state = world.settings.home
    world.settings = replace(world.settings, home=world.left / ".local/state/trueup")
    (state / "pairs").rename(state / "moved")
    for path in (state / "moved").iterdir():
        path.rename(world.settings.home / "pairs" / path.name)
    world.remove("right", key)
    world.put("left", key, "3")
    run = world.sync(delete=True, mode="two-way")
    assert not {"delete_left", "delete_right", "copy_left", "copy_right"} & done(run).keys()
    assert (world.left / key).read_bytes() == b"3"
    assert nothing_to_do(world.sync(delete=True))
    assert set(world.baseline()) == {"a"}


def test_explain_says_that_the_state_folder_is_left_alone(world: World, inside: str):
    world.sync()
    found = explain(*world.specs, ".local/state/trueup/pairs/x.db", settings=world.settings)
    assert "nothing would be done" in found.verdict
    assert "trueup's own state" in " ".join(found.lines)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_state_folder_itself_is_no_place_to_sync(world: World, side: str):
    world.settings = replace(world.settings, home=world[side])
    with pytest.raises(UsageError, match=f"the {side} is trueup's own state folder.*TRUEUP_HOME"):
        world.sync()


def test_the_outcome_of_an_excluded_key_is_not_listed(world: World):
    world.put("left", "a.tmp", "1")
    assert outcomes(world.sync(exclude=("*.tmp",))) == {}
