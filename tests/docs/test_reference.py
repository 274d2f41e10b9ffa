"""Nothing users can rely on is without its line in the documentation, and nothing is described that is not there."""

from __future__ import annotations

import inspect
import io
import json
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

import trueup
import trueup.testing
from tests.docs.pages import DOCS, REFERENCE, ROOT, first_cells, section
from trueup import errors, events
from trueup.catalog.sql.tables import processed_files
from trueup.config import COMPARISONS, MODES, PREFERENCES, SyncConfig, load
from trueup.ingest import causes
from trueup.ingest import config as ingesting
from trueup.ingest.diagnose import ATTENTION, HEALTHY, UNKNOWN, Diagnosis
from trueup.ingest.report import LAYERS, Counts
from trueup.jobs import config as jobs
from trueup.records import ProjectResult, issues, tell
from trueup.records import config as recording
from trueup.records.merge import RULES
from trueup.stores import credentials
from trueup.sync import report
from trueup.sync.decide import Action, State, decide
from trueup.sync.item import PHASES, Phase
from trueup.sync.plan import Plan


def reference(name: str) -> str:
    return (REFERENCE / f"{name}.md").read_text("utf-8")


def classes(module: object, base: type) -> list[type]:
    return [found for _, found in inspect.getmembers(module, inspect.isclass) if issubclass(found, base)]


# ----- events


@pytest.mark.parametrize("event", [found for found in classes(events, events.Event) if found is not events.Event])
def test_every_event_is_described_with_each_of_its_fields(event: type[events.Event]):
    name = event.to_json(_blank(event))["event"]
    described = section(reference("events"), str(name))
    assert f"`{event.__name__}`" in described
    assert first_cells(described) == {field.name for field in fields(event)} - {"run"}


def _blank(event: type[events.Event]) -> events.Event:
    return event(**{field.name: None for field in fields(event)})


# ----- settings


def test_every_setting_of_a_sync_is_described_with_its_default():
    described = section(reference("settings"), "A sync")
    defaults = SyncConfig()
    rows = dict(re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", described, re.MULTILINE))
    assert set(rows) == {field.name for field in fields(SyncConfig)}
    for name, shown in rows.items():
        value = getattr(defaults, name)
        assert json.loads(shown) == (list(value) if isinstance(value, tuple) else value), name
    for value in (*MODES, *PREFERENCES, *COMPARISONS):
        assert f'"{value}"' in described


def test_every_option_of_a_store_is_described():
    text = reference("places")
    common = first_cells(section(text, "Options of every cloud"))
    assert common == set(credentials._COMMON)
    headings = {
        "s3": "Amazon S3 and its relatives",
        "gs": "Google Cloud Storage",
        "az": "Azure Blob Storage",
        "r2": "Cloudflare R2",
    }
    for scheme, options in credentials._OPTIONS.items():
        described = section(text, headings[scheme])
        if scheme == "r2":
            described += section(text, headings["s3"])
            assert "`account_id`" in described
            options = tuple(option for option in options if option != "account_id")  # noqa: PLW2901
        names = {name for name in first_cells(described) if name.islower()}
        assert names == set(options), scheme


def test_every_variable_is_described():
    text = reference("places") + reference("settings")
    read = re.findall(
        r'"((?:AWS|AZURE|GOOGLE|R2|STORAGE|TRUEUP)_[A-Z0-9_]*[A-Z0-9])"',
        "".join((ROOT / "src/trueup" / name).read_text("utf-8") for name in ("config.py", "stores/credentials.py")),
    )
    assert len(read) > 15
    assert [name for name in read if f"`{name}`" not in text] == []


# ----- results


def test_every_count_is_described():
    assert first_cells(section(reference("json"), "Counts")) == set(report.COUNTS)


def test_every_field_of_the_document_and_of_an_item_is_described():
    rare = {"undoes": "q", "items_truncated": True, "inventory": {"left": {}}, "parts": ({},)}
    run = report.SyncRun(run="r", status="ok", left="a", right="b", mode="push", **rare)
    top = section(reference("json"), "`sync`, `apply` and `undo`")
    assert first_cells(top) == set(run.to_json())
    assert first_cells(section(reference("json"), "Status")) == set(report._EXIT_CODES)
    items = section(reference("json"), "Items")
    assert {"key", "action", "reason", "bytes", "outcome", "error", "from"} <= first_cells(items)


def test_every_reason_of_a_decision_is_described(tmp_path: Path):
    described = first_cells(section(reference("json"), "Items"))
    source = "".join((ROOT / "src/trueup/sync" / name).read_text("utf-8") for name in ("decide.py", "clashes.py"))
    used = set(re.findall(r'(?:Decision\(\S+, |"extra" if target is _N else )"([a-z-]+)"', source)) - {"gone", "same"}
    used |= {f"no-{rule}" for rule in ("newer", "older", "larger", "smaller")}
    assert len(used) > 10
    assert used <= described


@pytest.mark.parametrize("error", classes(errors, errors.TrueupError))
def test_every_error_is_described_with_its_exit_code(error: type[errors.TrueupError]):
    row = re.search(rf"^\| `{error.__name__}` \| (\d+) \|(.*)$", reference("errors"), re.MULTILINE)
    assert row, f"{error.__name__} has no row"
    assert int(row[1]) == error.exit_code
    assert ("retryable" in row[2]) == error.retryable


def test_every_exit_code_is_described_and_no_other():
    codes = {error.exit_code for error in classes(errors, errors.TrueupError)} | {0, 5}
    codes |= set(report._EXIT_CODES.values())
    described = {int(code) for code in re.findall(r"^\| (\d+) \|", reference("exit-codes"), re.MULTILINE)}
    assert described == codes
    in_short = (ROOT / "README.md").read_text("utf-8").partition("## Exit codes")[2].partition("\n## ")[0]
    assert all(re.search(rf"\b{code} ", in_short) for code in codes)


def test_every_public_name_is_described():
    text = reference("python")
    for name in trueup.__all__:
        assert name == "__version__" or f"trueup.{name}" in text, name
    assert first_cells(section(text, "For tests")) == set(trueup.testing.__all__)


def test_every_field_of_a_saved_plan_is_described(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("x")
    with trueup.plan("a", "b") as plan:
        file = io.StringIO()
        plan.save(file)
    header, item = map(json.loads, file.getvalue().splitlines())
    text = reference("plan-file")
    assert first_cells(section(text, "Header")) == set(header)
    described = section(text, "Items")
    assert first_cells(described) == set(item)
    assert all(f"`{name}`" in described for name in item["left"])
    for phase in Phase:
        assert re.search(rf"\b{int(phase)} \w", described), phase
    with Plan.load(file.getvalue().splitlines()) as again:
        assert again.size() == 1
    assert set(PHASES) < set(Action)


# ----- ingest and diagnose


def test_every_setting_of_an_ingest_is_described_with_its_default(tmp_path: Path):
    described = section(reference("settings"), "Ingest")
    rows = dict(re.findall(r"^\| `(\w+)` \|(?: `([^`]*)`|[^|]*) ?\|", described, re.MULTILINE))
    assert set(rows) == ingesting._KNOWN
    shown = "\n".join(f"{name} = {default}" for name, default in rows.items() if default)
    plain = '[ingest.plain]\nsource = "drop"\ninto = "here"\n'
    (tmp_path / "trueup.toml").write_text(f"{plain}{plain.replace('plain', 'shown').replace('here', 'there')}{shown}\n")
    settings = load()
    bare = ingesting.ingest_config("plain", settings)
    assert replace(ingesting.ingest_config("shown", settings), name="plain", into=bare.into) == bare
    for value in (*ingesting._REWRITES, *ingesting._DUPLICATES):
        assert f'"{value}"' in described


def test_every_setting_of_records_is_described():
    text = reference("settings")
    assert first_cells(section(text, "Records")) == recording._KNOWN
    assert first_cells(section(text, "The sheet")) == recording._OF_SHEETS
    rows = re.findall(r'^\| `"(\w+)"` \|([^|]*)\|', section(text, "Fresh numbers"), re.MULTILINE)
    described = {kind: {"kind", *re.findall(r"`(\w+)`", names)} for kind, names in rows}
    assert described == recording._OF_PARSED
    assert first_cells(section(text, "An API")) == recording._OF_PARSED["http"] - {"kind"}
    for value in (*RULES, recording.SOFT_DELETE, recording.KEEP):
        assert f'"{value}"' in section(text, "Records")


def test_every_field_code_and_issue_of_records_is_described():
    text = reference("json")
    result = ProjectResult(project=recording.Project(id="p", name="P"), timestamp="").to_json()
    described = re.findall(
        r"`(\w+)`", "".join(re.findall(r"^\|([^|]*)\|", section(text, "`records sync`"), re.MULTILINE))
    )
    assert set(described) == set(result)
    named = {value for name, value in vars(issues).items() if name.isupper() and isinstance(value, str)}
    codes, kinds = first_cells(section(text, "Codes of errors")), first_cells(section(text, "Issues"))
    assert named <= codes | kinds
    assert codes & kinds == set()
    for kind in (tell.SYNCED, tell.FAILED):
        assert f"| `{kind}` |" in (DOCS / "guides" / "records.md").read_text("utf-8")


def test_every_rule_has_its_line():
    page = (DOCS / "guides" / "merge-rules.md").read_text("utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(RULES)


def test_every_setting_of_the_service_is_described_with_its_default():
    described = section(reference("settings"), "The service")
    rows = dict(re.findall(r'^\| `([\w-]+)` \| `"(.*?)"` \|', described, re.MULTILINE))
    assert {name: line for name, line in rows.items() if name in jobs.SCHEDULE} == jobs.SCHEDULE
    assert first_cells(described) - {"[server]", "[schedule]"} >= jobs._SERVER | jobs.SCHEDULE.keys()
    server = jobs.server_config(load())
    assert rows["host"] == server.host
    assert f"| `{server.port}` |" in described
    assert server.rate == jobs._rate(rows["rate_limit"])


def test_every_count_of_an_ingest_is_described():
    described = section(reference("json"), "`ingest`")
    assert first_cells(described) == {field.name for field in fields(Counts)} - {"already_by_layer"}
    assert all(f'"{field.name}"' in described for field in fields(Counts))
    assert first_cells(section((DOCS / "guides" / "ingest.md").read_text("utf-8"), "Who remembers")) == set(LAYERS)


def test_every_field_and_cause_of_a_diagnosis_is_described():
    described = first_cells(section(reference("json"), "`diagnose`"))
    assert described == set(Diagnosis(name="stats", truncated=True).to_json()) - {"files_truncated"}
    page = (DOCS / "guides" / "diagnose.md").read_text("utf-8")
    named = {value for name, value in vars(causes).items() if name.isupper() and isinstance(value, str)}
    assert first_cells(section(page, "The causes")) >= named
    assert first_cells(section(page, "Healthy or not")) == {HEALTHY, ATTENTION, UNKNOWN}


def test_every_column_of_the_taken_files_is_described():
    page = (DOCS / "guides" / "ingest.md").read_text("utf-8")
    assert first_cells(section(page, "The table `processed_files`")) == set(processed_files.columns.keys())


# ----- the decision table


def test_the_decision_table_is_the_one_that_decides():
    text = (DOCS / "concepts" / "decision-table.md").read_text("utf-8")
    rows = re.findall(r"^\| \*\*(\w+)\*\* \|(.*)\|$", text, re.MULTILINE)
    heads = re.search(r"^\| left \\ right \|(.*)\|$", text, re.MULTILINE)
    assert heads
    columns = [State(name.strip()) for name in heads[1].split("|")]
    assert [State(name) for name, _ in rows] == columns == list(State)
    words = {
        "copy left": Action.COPY_LEFT,
        "copy right": Action.COPY_RIGHT,
        "nothing": Action.UNCHANGED,
        "-": Action.UNCHANGED,
        "delete left*": Action.DELETE_LEFT,
        "delete right*": Action.DELETE_RIGHT,
        "forget": Action.FORGET,
    }
    config = SyncConfig(delete=True)
    for name, cells in rows:
        for column, cell in zip(columns, (cell.strip() for cell in cells.split("|")), strict=True):
            states = {"left_state": State(name), "right_state": column}
            if cell == "compare":
                assert decide(None, None, **states, equal=True, config=config).action is Action.ADOPT
                continue
            try:
                decided = decide(None, None, **states, equal=False, config=config).action
            except KeyError:
                assert cell == "-", f"{name} x {column}: {cell}"
            else:
                assert decided is words[cell], f"{name} x {column}: {cell}"
                if cell.endswith("*"):
                    kept = decide(None, None, **states, equal=False, config=SyncConfig()).action
                    assert kept in {Action.COPY_LEFT, Action.COPY_RIGHT}
