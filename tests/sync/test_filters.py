"""What is in scope: gitignore patterns over the key alone, the same for both sides and for the baseline."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sync.world import World, done, nothing_to_do, outcomes, scratch
from trueup.errors import UsageError
from trueup.sync import explain
from trueup.sync.filters import Scope


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


def test_the_outcome_of_an_excluded_key_is_not_listed(world: World):
    world.put("left", "a.tmp", "1")
    assert outcomes(world.sync(exclude=("*.tmp",))) == {}
