"""What starting costs, and what it must not import."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import trueup
from tests.cli.conftest import Cli

IMPORTED = """
import json, sys
from trueup.cli import main
code = main({arguments!r})
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


def imported(*arguments: str) -> tuple[set[str], str]:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED.format(arguments=list(arguments))],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    names = json.loads(done.stderr.splitlines()[-1])
    return set(names), done.stdout


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_needs_next_to_nothing(flag: str) -> None:
    modules, out = imported(flag)
    assert out == f"trueup {trueup.__version__}\n"
    ours = {name for name in modules if name.startswith("trueup")}
    assert ours == {"trueup", "trueup.cli", "trueup.cli.streams"}
    assert modules & {"typer", "click", "rich", "opendal", "sqlite3", "logging", "importlib.metadata"} == set()


def test_the_version_is_the_package_s() -> None:
    assert trueup.__version__ == version("trueup")


def test_a_sync_imports_nothing_of_the_other_capabilities(trees: tuple[Path, Path]) -> None:
    modules, out = imported("sync", "./a", "./b")
    assert out.startswith("  copy right")
    assert (
        modules
        & {
            *("sqlalchemy", "alembic", "pydantic", "pydantic_settings", "fastapi", "starlette", "celery", "asyncio"),
            *("rich", "opendal", "obstore", "dotenv", "multiprocessing", "urllib.request", "trueup.cli.demo"),
        }
        == set()
    )


def test_help_imports_no_engine() -> None:
    modules, _ = imported("sync", "--help")
    assert modules & {"rich", "opendal", "pathspec", "sqlite3", "trueup.sync"} == set()


def test_python_m_is_the_same_program(spawn: Cli) -> None:
    assert spawn("--version").out == f"trueup {trueup.__version__}\n"
    assert spawn("sync", "--version").code == 2


def test_what_the_package_exports_is_there() -> None:
    for name in trueup.__all__:
        assert getattr(trueup, name) is not None
    assert set(trueup.__all__) <= set(dir(trueup))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = trueup.nonsense  # type: ignore[attr-defined]


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import trueup; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:  # an editable installation is found through site
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"typer", "rich", "sqlite3", "trueup.sync", "trueup.config", "typing"} & set(eval(done.stdout))


@pytest.mark.parametrize(
    "first", ["import trueup.sync", "from trueup.sync import plan", "import trueup.sync.verbs", ""]
)
def test_the_verb_and_its_package_share_a_name(trees: tuple[Path, Path], first: str) -> None:
    code = (
        f"{first}\nimport trueup\nrun = trueup.sync('./a', './b')\nimport trueup.sync as s\nprint(run.status, s.plan)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("ok <function plan"), done.stderr


def test_the_library_s_first_example_works(trees: tuple[Path, Path]) -> None:
    with trueup.plan("./a", "./b", prefer="right") as plan:
        run = trueup.apply(plan)
    assert run.status == "ok"
    assert trueup.undo(run.run).status == "ok"
