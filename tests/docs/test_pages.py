"""Links lead somewhere, every page is in the navigation, and every module is on the map."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, anchors, blocks, name_of, pages, prose
from trueup.config import load
from trueup.downloads import downloads_config
from trueup.ingest.config import ingest_config
from trueup.jobs.config import server_config
from trueup.notify.config import alerts
from trueup.pool.config import pool_config
from trueup.records.config import records_config


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_link_leads_to_a_page_and_a_heading(page: Path):
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.is_file(), f"{target}: no such file"
        if DOCS in page.parents:
            assert DOCS in found.parents, f"{target}: leaves the documentation"
        if anchor:
            assert anchor in anchors(found.read_text("utf-8")), f"{target}: no such heading"


def test_every_page_is_in_the_navigation_once():
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    names = re.findall(r"(\S+\.md)$", text.partition("\nnav:")[2], re.MULTILINE)
    assert sorted(names) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_snippet_of_settings_and_python_is_well_formed(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    names = "R2_ACCOUNT_ID R2_ACCESS_KEY_ID R2_SECRET_ACCESS_KEY R2_KEY DROP_PASSWORD CLOUD_PASSWORD"
    for name in f"{names} SMTP_PASSWORD HOOK_SECRET".split():
        monkeypatch.setenv(name, "x")
    (tmp_path / "r2-secret.txt").write_text("x")
    for block in blocks(page.read_text("utf-8")):
        if block.language == "toml":
            tomllib.loads(block.text)
            (tmp_path / "trueup.toml").write_text(block.text, "utf-8")
            settings = load(tmp_path / "trueup.toml")
            fetching = "downloads" in settings.sections and downloads_config(settings)
            serving = "server" in settings.sections and server_config(settings)
            taking = [ingest_config(name, settings) for name in settings.sections.get("ingest", {})]
            merging = "records" in settings.sections and records_config(settings)
            assert (
                taking
                or merging
                or settings.stores
                or settings.jobs
                or alerts(settings).email
                or fetching
                or serving
                or pool_config(settings)
            )
        elif block.language == "python":
            compile(block.text, name_of(page), "exec")


def test_every_module_is_on_the_map():
    drawn = mapped()
    real = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "src" / "trueup").rglob("*")
        if path.suffix == ".py" or path.name == "py.typed"
    }
    assert real - drawn == set(), "not on the map in CONTRIBUTING.md"
    assert {path for path in drawn if path.endswith((".py", ".typed"))} - real == set(), "on the map, and not there"
    assert [path for path in drawn if not (ROOT / path).exists()] == []


def mapped() -> set[str]:
    """Every path of the map, found by its indentation."""
    text = next(
        block.text for block in blocks((ROOT / "CONTRIBUTING.md").read_text("utf-8")) if "src/trueup/" in block.text
    )
    found: set[str] = set()
    stack: list[tuple[int, str]] = []
    for line in text.splitlines():
        match = re.match(r"( *)(\S+)(?:  +\S.*)?$", line)
        if not match:
            continue
        depth, name = len(match[1]), match[2]
        while stack and stack[-1][0] >= depth:
            stack.pop()
        path = (stack[-1][1] if stack else "") + name
        found.add(path.rstrip("/"))
        if name.endswith("/"):
            stack.append((depth, path))
    return found


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_no_page_holds_a_path_of_somebodys_machine(page: Path):
    assert not re.search(r"/root/|/home/(?!ann/)\w|/tmp/\w", page.read_text("utf-8"))
