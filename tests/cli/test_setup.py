"""init, doctor and demo."""

from __future__ import annotations

import re
import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from trueup.cli import setup
from trueup.config import load, state_home, sync_config

TEMPLATES = Path(setup.__file__).parent / "templates"


def test_init_writes_both_files_once(cli: Cli, tmp_path: Path) -> None:
    first = cli("init", "--json")
    assert first.code == 0
    assert first.document == {"written": ["trueup.toml", ".env.example"]}
    assert load().stores == {}

    (tmp_path / "trueup.toml").write_text("# mine")
    again = cli("init")
    assert again.code == 3
    assert "trueup.toml is there already; nothing was written" in again.err
    assert (tmp_path / "trueup.toml").read_text() == "# mine"


def test_init_writes_beside_the_named_settings_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    assert cli("init", "--config", "deep/my.toml").code == 0
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == [".env.example", "my.toml"]
    assert cli("init", "--config", "absent/my.toml").code == 2


def test_every_setting_of_the_template_works_when_uncommented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trueup.ingest.config import _KNOWN, ingest_config
    from trueup.notify.config import alerts
    from trueup.pool.config import pool_config
    from trueup.stores import open_store

    text = (TEMPLATES / "trueup.toml").read_text()
    lines = [line.removeprefix("# ") for line in text.splitlines() if re.match(r"# (\[|\w+ = )", line)]
    for name in ("R2_ACCOUNT_ID", "R2_ACCESS_KEY_ID", "R2_SECRET_ACCESS_KEY", "DROP_PASSWORD", "SMTP_PASSWORD"):
        monkeypatch.setenv(name, "abc")
    (tmp_path / "known_hosts").touch()
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "UseDevelopmentStorage=true")
    (tmp_path / "trueup.toml").write_text("\n".join(lines))

    settings = load()

    assert set(settings.stores) == {"media", "s3", "r2", "gcs", "azure", "drop"}
    assert settings.jobs["site"].options.bwlimit == 10 << 20
    job = tomllib.loads("\n".join(lines))["sync"]["site"]
    assert set(job) - {"left", "right"} == set(sync_config({}).__slots__) - {"force", "release"}
    assert list(pool_config(settings).providers) == ["first"]
    assert ingest_config("stats", settings).source == settings.stores["drop"]
    assert set(tomllib.loads("\n".join(lines))["ingest"]["stats"]) == _KNOWN
    assert alerts(settings).email is not None
    for store in settings.stores.values():
        open_store(store, settings.environ).close()


def test_doctor_is_content_with_a_folder(cli: Cli, trees: tuple[Path, Path]) -> None:
    result = cli("doctor", "./a", "./b")
    assert result.code == 0
    assert re.search(r"ok +\./a +file://.*/a: 2 files, answered in", result.out)
    assert re.search(r"ok +\./b +file://.*/b: empty", result.out)
    assert result.out.endswith("all is well\n")
    assert not list(trees[1].iterdir())


def test_doctor_names_the_settings_it_read(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "settings  no settings file; trueup init writes one" in cli("doctor").out
    monkeypatch.setenv("TRUEUP_STORES__HERE__URL", ".")
    assert "settings  no settings file; from the environment: 1 store, 0 jobs" in cli("doctor").out
    monkeypatch.delenv("TRUEUP_STORES__HERE__URL")
    cli("init")
    assert "settings  trueup.toml: 0 stores, 0 jobs" in cli("doctor").out


def test_doctor_names_what_fails_and_its_cure(cli: Cli, trees: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "trueup.toml").write_text(
        '[stores.here]\nurl = "a"\n[stores.gone]\nurl = "gone"\n'
        '[stores.bucket]\nurl = "s3://bucket"\nendpoint = "http://127.0.0.1:9"\nretries = 0\ntimeout = "2s"\n'
        'access_key_id = "AKIAEXAMPLE"\nsecret_access_key = "very-secret-indeed"\n'
    )

    result = cli("doctor", "--json")

    assert result.code == 1
    found = {check["name"]: check for check in result.document["checks"]}
    assert [found[name]["status"] for name in ("settings", "state", "here", "gone", "bucket")] == [
        *("ok", "ok", "ok", "fail", "fail")
    ]
    assert found["settings"]["detail"] == "trueup.toml: 3 stores, 0 jobs"
    assert "is not there" in found["gone"]["detail"]
    assert found["gone"]["cure"]
    assert "unforeseen" not in found["bucket"]["detail"]
    text = cli("doctor", "-vv")
    assert text.code == 1
    assert "FAIL" in text.out
    assert "very-secret-indeed" not in result.out + text.out + text.err


def test_doctor_reports_settings_that_cannot_be_read(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "trueup.toml").write_text("[stores")
    result = cli("doctor")
    assert result.code == 1
    assert re.search(r"FAIL +settings +trueup.toml cannot be read", result.out)


def test_doctor_reports_a_state_folder_it_cannot_write(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUEUP_HOME", "/proc/trueup")
    result = cli("doctor")
    assert result.code == 1
    assert "TRUEUP_HOME" in result.out


def test_doctor_looks_into_the_state_files(cli: Cli, trees: tuple[Path, Path], tmp_path: Path) -> None:
    for left, right in (("./a", "./b"), ("./a", "./c"), ("./a", "./d")):
        cli("sync", left, right)
    first, second, _ = sorted((state_home() / "pairs").glob("*.db"))
    history = state_home() / "runs.db"
    before = {path: path.read_bytes() for path in (first, second, history)}
    sound = cli("doctor")
    assert (sound.code, sound.out.count("state files")) == (0, 1)
    assert "4 state files are sound" in sound.out
    assert before == {path: path.read_bytes() for path in before}

    first.write_bytes(b"no database")
    with closing(sqlite3.connect(second)) as db:
        db.executescript("pragma journal_mode=delete; pragma user_version=99")
    halved = history.read_bytes()
    history.write_bytes(halved[: len(halved) // 2])
    ill = cli("doctor", "--json")

    assert ill.code == 1
    found = {check["name"]: check for check in ill.document["checks"]}
    assert found["state"]["status"] == "ok"
    for path in (first, second, history):
        check = found[path.name]
        assert check["status"] == "fail"
        assert str(path) in check["detail"]
        assert "away" in check["detail"] + check["cure"]
    assert "all is well" not in cli("doctor").out


def test_doctor_looks_at_the_database_and_at_each_place_of_the_pool_once(cli: Cli, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    text = '[stores.first]\nurl = "a"\n[pool.providers.one]\nurl = "first"\n[pool.providers.two]\nurl = "b"\n'
    (tmp_path / "trueup.toml").write_text(text + '[pool.providers.gone]\nurl = "gone"\n')

    result = cli("doctor", "--json")

    assert result.code == 1
    found = {check["name"]: check for check in result.document["checks"]}
    assert list(found) == ["settings", "state", "first", "database", "pool two", "pool gone"]
    assert [check["status"] for check in found.values()] == ["ok"] * 5 + ["fail"]
    assert found["database"]["detail"].endswith("trueup.db is made when it is first used")
    assert not (tmp_path / "trueup.db").exists()
    assert "database" not in cli("doctor", "./a").out

    (tmp_path / "trueup.toml").write_text(text)
    (tmp_path / "trueup.db").touch()
    assert "is brought up to date when it is next used" in cli("doctor").out
    assert cli("pool", "stats").code == 0
    assert "trueup.db is up to date, at revision" in cli("doctor").out


def test_doctor_names_a_pool_and_a_database_that_cannot_be_used(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_text("no database, and long enough to be seen as none " * 100)
    (tmp_path / "trueup.toml").write_text('[database]\nurl = "sqlite:///broken.db"\n')
    result = cli("doctor")
    assert (result.code, result.out.count("FAIL")) == (1, 1)
    assert re.search(r"FAIL +database .*cannot be used", result.out)
    (tmp_path / "trueup.toml").write_text("[pool]\n")
    assert re.search(r"FAIL +pool  the pool has no provider", cli("doctor").out)


def test_doctor_looks_at_each_job_that_takes_files(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "drop").mkdir()
    (tmp_path / "taking.py").write_text("def take(file, db): ...\n")
    (tmp_path / "a file").touch()
    (tmp_path / "trueup.toml").write_text(
        '[stores.server]\nurl = "drop"\n'
        '[ingest.well]\nsource = "server"\ninto = "here/deep"\nhandler = "taking:take"\n'
        '[ingest.nowhere]\nsource = "gone"\ninto = "a file"\ndatabase = "mongodb://127.0.0.1:9/x"\n'
        '[ingest.nothing]\nsource = "server"\ninto = "there"\nhandler = "taking:give"\n'
        '[ingest.wrong]\nsource = "server"\n'
    )

    result = cli("doctor", "--json")

    found = {check["name"]: (check["status"], check["detail"]) for check in result.document["checks"]}
    assert result.code == 1
    assert found["settings"] == ("ok", "trueup.toml: 1 store, 4 jobs")
    assert found["ingest well"] == (
        "ok",
        f"{tmp_path / 'here/deep'} is made when it is first used; taking:take is found",
    )
    assert found["ingest well database"][1].endswith("trueup.db is made when it is first used")
    assert "ingest well source" not in found, "it was looked at by its name"
    assert found["ingest nowhere"] == ("fail", f"{tmp_path / 'a file'} cannot be written to")
    assert found["ingest nowhere source"] == ("fail", f"{(tmp_path / 'gone').as_uri()} is not there")
    assert found["ingest nowhere database"][0] == "fail"
    assert found["ingest nothing"][1].endswith("taking has no function give")
    assert found["ingest wrong"] == ("fail", "[ingest.wrong] has no into")
    assert not (tmp_path / "here").exists()


def test_the_demo_tells_its_story_and_leaves_nothing_behind(
    spawn: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    result = spawn("demo")

    assert result.code == 0, result.err
    for sign in (
        "would copy", "copied 400 files to the right", "nothing to do: both sides agree (400 files)", "conflict",
        "$ trueup undo ", "'# edited on the left'", "refused: the run would delete", "(exit code 3)",
        "stats: 40 files taken", "stats: 0 files taken, 40 files known", "stats: healthy", "40 files, 80 rows",
        "views                  5,700  parsed    sheet 4,000, parsed 5,700", "Space: 2 accounts, 0 changed",
        "49,100  pin", "▁▁▂▅█  91,000 -> 92,000", "+400      +0.4%  ████████████████████",
    ):  # fmt: skip
        assert sign in result.out
    assert list(tmp_path.iterdir()) == []
