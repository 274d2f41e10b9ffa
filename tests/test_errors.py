from __future__ import annotations

import re

from trueup import errors
from trueup.errors import MissingExtra, TrueupError

BRANCH = re.compile(r"^ {4}(?P<tree>[ │├└─]*)(?P<name>[A-Z]\w+)(?: +(?P<code>\d+))?(?: {2,}.*)?$")


def drawn() -> dict[str, tuple[str, int]]:
    """The tree at the top of the module: class -> (its base, its exit code)."""
    found: dict[str, tuple[str, int]] = {}
    above: list[str] = []
    for line in errors.__doc__.splitlines():
        branch = BRANCH.match(line)
        if branch is None:
            continue
        depth = len(branch["tree"]) // 4
        base = above[depth - 1] if depth else "Exception"
        code = int(branch["code"]) if branch["code"] else found[base][1]
        del above[depth:]
        above.append(branch["name"])
        found[branch["name"]] = (base, code)
    return found


def defined() -> dict[str, tuple[str, int]]:
    classes = [found for found in vars(errors).values() if isinstance(found, type) and issubclass(found, TrueupError)]
    return {found.__name__: (found.__bases__[0].__name__, found.exit_code) for found in classes}


def test_the_drawn_tree_is_the_tree():
    assert drawn() == defined()
    assert len(drawn()) > 15


def test_only_trouble_with_the_way_there_is_worth_a_retry():
    worth_it = {"DatabaseUnavailable", "FetchUnfinished", "Unreachable"}
    assert {name for name in defined() if getattr(errors, name).retryable} == worth_it


def test_an_error_reads_as_its_message_and_its_cure():
    assert str(TrueupError("it broke", cure="Mend it")) == "it broke. Mend it"
    assert str(TrueupError("it broke")) == "it broke"


def test_every_error_can_be_raised_with_a_message_and_a_cure_and_is_documented():
    for name in defined():
        found = getattr(errors, name)
        assert found.__doc__
        if found is not MissingExtra:
            assert str(found("what", cure="How")) == "what. How"


def test_a_missing_extra_says_how_to_install_it():
    assert "pip install 'trueup[sftp]'" in str(MissingExtra("sftp://", "sftp"))
