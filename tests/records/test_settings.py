from __future__ import annotations

from pathlib import Path

import pytest

from tests.records.world import World
from trueup.config import load
from trueup.errors import ConfigError, UsageError
from trueup.records.config import Field, RecordsConfig, records_config

SHEETS = '[records.sheets]\nkind = "csv"\npath = "sheets/{name}.csv"\n'
HTTP = '[records.parsed]\nkind = "http"\nurl = "https://api.example.com/{name}"\n'
PROJECT = '[[records.projects]]\nid = "a"\nname = "Project A"\n'


def config(text: str) -> RecordsConfig:
    Path("trueup.toml").write_text(text)
    return records_config(load())


def test_every_setting_has_its_default(tmp_path: Path):
    found = config(SHEETS + PROJECT)
    assert found.database == tmp_path / "accounts.db"
    assert found.zone.key == "UTC"
    assert (found.key, found.delete_missing, found.parsed.kind) == ("profile_url", True, "readmodel")
    assert found.fields == {name: Field(name=name) for name in ("followers", "likes", "comments", "videos", "views")}
    assert found.sheets.path == str(tmp_path / "sheets/{name}.csv")
    assert [project.active for project in found.projects] == [True]


def test_a_spreadsheet_of_google_has_its_settings_too():
    text = '[records.sheets]\nspreadsheet = "Numbers"\ncredentials = "file:not-there.json"\n'
    found = config(text + 'timeout = "5s"\nwrite_back = true\n').sheets
    assert (found.kind, found.spreadsheet, found.timeout, found.deadline) == ("google", "Numbers", 5.0, 60.0)
    assert (found.credentials, found.write_back) == ("file:not-there.json", True)
    assert "not-there" not in repr(found)


def test_a_field_has_a_rule_and_a_type():
    found = config(SHEETS + '[records.fields]\nviews = "min"\nname = { rule = "parsed", type = "text" }\n')
    assert found.fields == {
        "views": Field(name="views", rule="min"),
        "name": Field(name="name", rule="parsed", text=True),
    }


def test_a_project_is_known_by_its_id_and_its_name():
    found = config(SHEETS + PROJECT)
    assert found.project("a") == found.project("Project A") == found.projects[0]
    with pytest.raises(UsageError, match="Known: Project A"):
        found.project("b")


def test_the_environment_beats_the_file(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRUEUP_RECORDS__TIMEZONE", "Europe/Berlin")
    assert config(SHEETS).zone.key == "Europe/Berlin"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no spreadsheet"),
        ("[records]\ncolour = 1\n", "colour is unknown"),
        ('[records]\ntimezone = "Mars/Base"\n', "'Mars/Base' is unknown"),
        ('[records]\ntimezone = "../etc/passwd"\n', "is unknown"),
        ('[records]\non_missing = "purge"\n', "soft-delete, keep"),
        ('[records]\ndatabase = "postgresql://x/y"\n', "is no file"),
        ('[records]\nkey = ""\n', "has no key"),
        ("[records.fields]\n", "is empty"),
        ('[records.fields]\nviews = "avg"\n', "max, min, sheet, parsed, latest, sum"),
        ('[records.fields]\n"Views; drop" = "max"\n', "cannot be a field's name"),
        ('[records.fields]\nprofile_url = "max"\n', "cannot be a field's name"),
        ('[records]\ndatabase = ["a"]\n', "has no database"),
        ("[records]\ndatabase = { a = 1 }\n", "has no database"),
        ('[records.fields]\na_b = "max"\na__b = "max"\n', "a__b: no header tells it from a_b"),
        ('[records]\nkey = "My-Link"\n[records.fields]\nmy_link = "max"\n', "my_link: no header tells it from My-Link"),
        ('[records]\nkey = "views"\n', "views: no header tells it from views"),
        (f'[records.fields]\n{"a" * 64} = "max"\n', "cannot be a field's name"),
        ("[records.fields]\n" + "".join(f'n{number} = "max"\n' for number in range(101)), "names 101 columns"),
        ('[records.fields]\ndate = "max"\n', "cannot be a field's name"),
        ('[records.fields]\nname = { rule = "max", type = "text" }\n', "needs numbers"),
        ('[records.fields]\nviews = "sum"\n', "the read model is none"),
        ('[records.fields]\nviews = "latest"\n', "the read model is none"),
        ('[records.sheets]\nkind = "excel"\n', "google, csv"),
        ('[records.sheets]\nkind = "csv"\n', "has no path"),
        ('[records.sheets]\nkind = "csv"\npath = "x"\nlocale = "klingon"\n', "locale = 'klingon' is unknown"),
        ('[records.sheets]\nspreadsheet = "x"\nendpoint = "sheets"\n', "is no URL"),
        ('[records.sheets]\nspreadsheet = "x"\ntimeout = "soon"\n', "timeout = 'soon' is unusable"),
        ('[records.parsed]\nkind = "xml"\n', "readmodel, csv, sql, http, python"),
        ('[records.parsed]\nkind = "csv"\nquery = "x"\n', "query is unknown"),
        ('[records.parsed]\nkind = "sql"\nquery = "select 1"\n', "has no database"),
        ('[records.parsed]\nkind = "sql"\ndatabase = "sqlite:///x.db"\n', "has no query"),
        ('[records.parsed]\nkind = "http"\nurl = "ftp://x"\n', "url is none"),
        (HTTP + "max_size = 0\n", "max_size = 0 lets nothing through"),
        (HTTP + 'timeout = "soon"\n', "[records.parsed] timeout = 'soon' is unusable"),
        (HTTP + 'allow_private_addresses = "perhaps"\n', "neither true nor false"),
        (HTTP + 'rows = "data."\n', "rows = 'data.' leads nowhere"),
        (HTTP + "fields = { views = 5 }\n", "fields views = 5 leads nowhere"),
        (HTTP + 'fields = { veiws = "views" }\n', "fields veiws is unknown"),
        (HTTP + 'headers = { Host = "x" }\n', "'Host' cannot be sent"),
        (HTTP + 'headers = { "a b" = "x" }\n', "'a b' cannot be sent"),
        (HTTP + 'headers = { Authorization = "" }\n', "is empty, or holds what no header can"),
        (HTTP + 'headers = { Authorization = "env:NOT_THERE" }\n', "NOT_THERE is not set"),
        ('[records.parsed]\nkind = "python"\nfunction = "numbers"\n', "names no function"),
        ('[records]\nprojects = "a"\n', "one for each"),
        (SHEETS + '[[records.projects]]\nid = "a"\n', "has no name"),
        (SHEETS + PROJECT + PROJECT, "two of them"),
        (SHEETS + PROJECT.replace("Project A", "../A"), "is no file's name"),
    ],
)  # fmt: skip
def test_a_setting_that_makes_no_sense_is_told_in_one_line(text: str, said: str):
    with pytest.raises(ConfigError) as refused:
        config(text)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_hundred_fields_with_long_names_are_possible(world: World):
    names = [f"{number:0>63}".replace("0", "n", 1) for number in range(100)]
    lines = "".join(f'{name} = "max"\n' for name in names)
    (world.folder / "trueup.toml").write_text(f"{SHEETS}{PROJECT}[records.fields]\n{lines}")
    world.sheet(("x.com/a", *range(100)), name="Project A", header=("profile_url", *names))
    assert world.result()["issues"] == []
    assert world.rows(f"select {names[0]}, {names[99]} from accounts") == [(0, 99)]
