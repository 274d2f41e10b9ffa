"""`update_storage` and `sync_storage`: what travels, what is refused, what is logged, and the exit codes."""

from __future__ import annotations

import io
import logging
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command, load_command_class
from django.test import override_settings

import trueup
from tests.contrib.conftest import EXAMPLE, Manage
from tests.docs.session import with_bucket
from tests.servers import Bucket
from trueup.config import StoreConfig
from trueup.contrib.django.models import StorageCredential
from trueup.runs import RunLog, run_lock
from trueup.stores import open_store


def update(*flags: str, command: str = "update_storage") -> str:
    said = io.StringIO()
    call_command(command, *flags, stdout=said)
    return said.getvalue()


def refused(*flags: str) -> CommandError:
    with pytest.raises(CommandError) as caught:
        update(*flags)
    return caught.value


def files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and ".trueup" not in path.parts
    }


@pytest.mark.parametrize("command", ["update_storage", "sync_storage"])
def test_both_roots_reach_the_bucket_and_come_back(site: Path, command: str):
    said = update(command=command)
    assert files(site / "bucket") == {"static/site.css": "body {}", "media/cat.jpg": "cat"}
    assert "STATIC_ROOT: uploaded 1 file (7 bytes)" in said
    (site / "bucket" / "media" / "dog.jpg").write_text("dog")
    (site / "media" / "cat.jpg").write_text("another cat")
    (site / "static" / "new.css").write_text("")
    said = update(command=command)
    assert files(site / "bucket" / "media") == {"cat.jpg": "another cat", "dog.jpg": "dog"}
    assert files(site / "media") == {"cat.jpg": "another cat", "dog.jpg": "dog"}
    assert "MEDIA_ROOT: uploaded 1 file (11 bytes), downloaded 1 file (3 bytes)" in said
    assert "nothing to do" in update(command=command)


def test_the_bucket_wins_where_both_sides_changed_and_the_log_says_so(site: Path, caplog: pytest.LogCaptureFixture):
    update()
    (site / "media" / "cat.jpg").write_text("mine")
    (site / "bucket" / "media" / "cat.jpg").write_text("theirs")
    caplog.set_level(logging.INFO, "trueup.sync")
    update()
    assert files(site / "media") == {"cat.jpg": "theirs"}
    lines = [record.getMessage() for record in caplog.records if record.name == "trueup.sync"]
    assert "conflict cat.jpg: both sides changed, the right won (prefer=right)" in lines
    assert "copy_left cat.jpg (conflict, 6 bytes)" in lines


def test_upload_only_writes_nothing_here_and_download_only_nothing_there(site: Path):
    (site / "bucket" / "media").mkdir(parents=True)
    (site / "bucket" / "media" / "dog.jpg").write_text("dog")
    update("--upload-only")
    assert files(site / "media") == {"cat.jpg": "cat"}
    assert files(site / "bucket" / "media") == {"cat.jpg": "cat", "dog.jpg": "dog"}
    (site / "media" / "bird.jpg").write_text("bird")
    update("--download-only")
    assert "bird.jpg" not in files(site / "bucket" / "media")
    assert "dog.jpg" in files(site / "media")


def test_the_directions_contradict_each_other(site: Path):
    with pytest.raises(CommandError):
        update("--upload-only", "--download-only")
    with pytest.raises(CommandError, match="contradict") as caught:
        call_command("update_storage", upload_only=True, download_only=True)
    assert caught.value.returncode == 2
    call_command("update_storage", upload_only=True, stdout=io.StringIO())
    assert (site / "bucket" / "media" / "cat.jpg").exists()


def test_deletions_travel_only_when_asked(site: Path):
    (site / "media" / "dog.jpg").write_text("dog")
    update()
    (site / "media" / "dog.jpg").unlink()
    assert "would delete in the bucket: dog.jpg" in update("--delete", "--dry-run")
    assert "deleted 1 file in the bucket" in update("--delete")
    assert files(site / "bucket" / "media") == {"cat.jpg": "cat"}


def test_a_dry_run_lists_and_does_nothing(site: Path):
    said = update("--dry-run")
    assert "would upload: cat.jpg (new)" in said
    assert "MEDIA_ROOT: would upload 1 file (3 bytes)" in said
    assert not (site / "bucket").exists()


def test_a_refused_root_does_not_stop_the_other_and_force_is_the_way_out(site: Path):
    update()
    shutil.rmtree(site / "static")
    (site / "static").mkdir()
    (site / "media" / "dog.jpg").write_text("dog")
    error = refused("--delete")
    assert error.returncode == 3
    assert str(error).startswith("STATIC_ROOT: ")
    assert "is empty" in str(error)
    assert "MEDIA_ROOT" not in str(error)
    assert files(site / "bucket") == {"static/site.css": "body {}", "media/cat.jpg": "cat", "media/dog.jpg": "dog"}
    assert refused("--delete", "--dry-run").returncode == 3
    update("--delete", "--force")
    assert "static/site.css" not in files(site / "bucket")


def test_a_conflict_that_nobody_won_is_logged_with_its_reason(site: Path, caplog: pytest.LogCaptureFixture):
    (site / "media" / "name").write_text("a file here")
    (site / "bucket" / "media" / "name").mkdir(parents=True)
    (site / "bucket" / "media" / "name" / "below.txt").write_text("a folder there")
    error = refused()
    assert error.returncode == 1
    assert "MEDIA_ROOT: uploaded 1 file (3 bytes); left alone: " in str(error)
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert any(line.startswith("conflict name") and "left untouched on both sides" in line for line in lines), lines
    shutil.rmtree(site / "static")
    assert refused().returncode == 3, "what was refused counts more than what stayed in conflict"


def test_a_state_folder_that_cannot_be_used_is_said_without_a_traceback(site: Path):
    (site / "in-the-way").write_text("")
    with override_settings(TRUEUP_HOME=site / "in-the-way" / "state"):
        error = refused()
    assert (error.returncode, "in-the-way" in str(error)) == (1, True)


def test_a_root_that_is_locked_by_another_run_ends_with_4(site: Path):
    update()
    locks = list((Path(os.environ["TRUEUP_HOME"]) / "pairs").glob("*.lock"))
    assert len(locks) == 2
    with run_lock(locks[0], run="another"):
        assert refused().returncode == 4


def test_a_root_that_is_not_set_is_left_out(site: Path):
    with override_settings(STATIC_ROOT=None):
        assert "STATIC_ROOT: not set, left out" in update()
        with override_settings(MEDIA_ROOT=""):
            assert refused().returncode == 2
    assert list(files(site / "bucket")) == ["media/cat.jpg"]


def test_the_state_lies_where_the_setting_says(site: Path, tmp_path: Path):
    with override_settings(TRUEUP_HOME=tmp_path / "memory"):
        update()
    assert len(list((tmp_path / "memory" / "pairs").glob("*.db"))) == 2
    assert not Path(os.environ["TRUEUP_HOME"]).exists()


def test_one_error_names_all_that_is_missing_and_where_it_may_be_put(site: Path, monkeypatch: pytest.MonkeyPatch):
    with override_settings(TRUEUP_BUCKET=""):
        error = refused()
        assert error.returncode == 2
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_S3_ENDPOINT_URL", "AWS_STORAGE_BUCKET_NAME")
        assert all(name in str(error) for name in names)
        assert all(place in str(error) for place in ("admin", "settings", "environment"))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
        StorageCredential.objects.create(endpoint_url="http://127.0.0.1:9", bucket_name="bucket")
        assert str(refused()).startswith("AWS_SECRET_ACCESS_KEY is missing")


def test_a_bucket_that_cannot_be_reached_ends_with_1_for_both_and_the_secret_stays_hidden(
    site: Path, caplog: pytest.LogCaptureFixture
):
    StorageCredential.objects.create(
        access_key_id="an-access-key", secret_access_key="a-long-secret", endpoint_url="http://127.0.0.1:9",
        bucket_name="bucket",
    )  # fmt: skip
    with override_settings(TRUEUP_BUCKET=""):
        error = refused()
    assert error.returncode == 1
    assert str(error).count("\n") == 1, "a line for each root"
    assert "a-long-secret" not in str(error) + caplog.text


def test_credentials_in_the_database_reach_a_real_bucket_and_the_command_line_takes_a_run_back(
    site: Path, seaweed_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
):
    StorageCredential.objects.create(
        access_key_id=seaweed_bucket.options["access_key_id"],
        secret_access_key=seaweed_bucket.options["secret_access_key"],
        endpoint_url=seaweed_bucket.options["endpoint"],
        bucket_name=seaweed_bucket.name,
    )
    store = open_store(StoreConfig(url=seaweed_bucket.url, options=seaweed_bucket.options), {})
    with override_settings(TRUEUP_BUCKET=""):
        assert "uploaded 1 file" in update()
        assert [entry.key for entry in store.list()] == ["media/cat.jpg", "static/site.css"]
        store.write("media/dog.jpg", [b"dog"])
        assert "downloaded 1 file (3 bytes)" in update("--download-only")
    assert files(site / "media") == {"cat.jpg": "cat", "dog.jpg": "dog"}
    for name, value in with_bucket({}, seaweed_bucket).items():
        monkeypatch.setenv(name, value)
    run = next(run for run in RunLog(Path(os.environ["TRUEUP_HOME"])).latest() if str(site / "media") in run.name)
    assert trueup.undo(run.run).status == "ok"
    assert files(site / "media") == {"cat.jpg": "cat"}
    for entry in list(store.list()):
        store.delete(entry.key)


# ----- a real manage.py


def test_a_process_logs_through_djangos_settings_and_ends_with_the_codes(manage: Manage, tmp_path: Path):
    media = tmp_path / "var" / "media"
    media.mkdir(parents=True)
    (media / "cat.jpg").write_text("cat")
    done = manage("update_storage")
    # STATIC_ROOT is neither here nor there.
    assert (done.returncode, "STATIC_ROOT" in done.stderr) == (3, True), done.stderr
    assert "INFO copy_right cat.jpg (new, 3 bytes)" in done.stderr
    (tmp_path / "var" / "static").mkdir()
    done = manage("sync_storage", "--two-way")
    assert (done.returncode, done.stderr.count("ERROR")) == (0, 0), done.stderr
    assert manage("update_storage", "--two-way", "--upload-only").returncode == 2
    missing = manage("update_storage", SITE_BUCKET="")
    assert missing.returncode == 2
    assert "has `python manage.py migrate` run?" in missing.stderr
    assert "Traceback" not in missing.stderr


def test_help_says_what_sync_storage_is():
    text = " ".join(
        load_command_class("trueup.contrib.django", "sync_storage").create_parser("", "").format_help().split()
    )
    assert "The same as update_storage" in text
    for flag in ("--two-way", "--upload-only", "--download-only", "--delete", "--dry-run", "[50%]"):
        assert flag in text


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT")
def test_an_interrupted_command_stops_after_the_running_actions_and_ends_with_130(tmp_path: Path):
    var = tmp_path / "var"
    for name in ("static", "media"):
        (var / name).mkdir(parents=True)
        for number in range(1500):
            (var / name / f"{number}.txt").write_text(str(number))
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLE / "manage.py"), "update_storage"],
        env=os.environ | {"SITE_VAR": str(var)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "copy_right" in line:
            process.send_signal(signal.SIGINT)
            break
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert said.count("stopping after the running actions") == 1
    assert "interrupted: what was done is recorded" in said
    assert "MEDIA_ROOT" not in said, "nothing else is begun"
    assert 0 < len(list((var / "bucket" / "static").iterdir())) < 1500
