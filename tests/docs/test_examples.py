"""The examples run."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks
from tests.docs.session import with_bucket
from tests.downloads.server import File, serving
from tests.servers import Bucket
from tests.servers.shared import free_port

EXAMPLES = ROOT / "examples"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shell scripts")


def run(*command: object, environ: dict[str, str], answer: str = "") -> tuple[int, str]:
    done = subprocess.run(
        list(map(str, command)),
        env=environ,
        input=answer,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source" / "deep").mkdir(parents=True)
    (tmp_path / "source" / "a.txt").write_text("a")
    (tmp_path / "source" / "deep" / "b.txt").write_text("b")
    return tmp_path / "source"


def test_every_example_is_listed():
    listed = set(re.findall(r"\]\((\w+)/README\.md\)", (EXAMPLES / "README.md").read_text("utf-8")))
    assert listed == {path.name for path in EXAMPLES.iterdir() if path.is_dir() and path.name != "__pycache__"}


def test_a_plan_is_shown_and_applied_only_after_a_yes(source: Path, environ: dict[str, str], seaweed_bucket: Bucket):
    there = with_bucket(environ, seaweed_bucket)
    command = (sys.executable, EXAMPLES / "plan_review" / "mirror.py", source, f"{seaweed_bucket.url}/mirror")
    code, shown = run(*command, environ=there, answer="n\n")
    assert (code, "2 actions, 2 bytes" in shown) == (0, True), shown
    code, shown = run(*command, environ=there, answer="y\n")
    assert (code, "ok; take it back with: trueup undo" in shown) == (0, True), shown
    assert run(*command, environ=there) == (0, "nothing to do\n")


def test_a_plan_that_a_guard_refuses_ends_with_its_code(source: Path, environ: dict[str, str], tmp_path: Path):
    command = (sys.executable, EXAMPLES / "plan_review" / "mirror.py", source, tmp_path / "target", "--yes")
    assert run(*command, environ=environ)[0] == 0
    for name in ("a.txt", "deep/b.txt"):
        (source / name).unlink()
    code, shown = run(*command, environ=environ)
    assert (code, "is empty" in shown) == (3, True), shown
    assert (tmp_path / "target" / "a.txt").exists()


def test_a_deployment_is_stopped_until_everything_is_published(source: Path, environ: dict[str, str], tmp_path: Path):
    check = (EXAMPLES / "predeploy" / "check.sh", source, tmp_path / "live")
    code, said = run(*check, environ=environ)
    assert (code, "not published yet" in said) == (5, True), said
    assert run("trueup", "sync", source, tmp_path / "live", "--push", "--delete", environ=environ)[0] == 0
    code, said = run(*check, environ=environ)
    assert (code, "published is what was built" in said) == (0, True), said


def test_the_backup_is_quiet_until_it_fails_too_often_or_needs_a_person(
    source: Path, environ: dict[str, str], tmp_path: Path
):
    backup = (EXAMPLES / "cron" / "backup.sh", source, tmp_path / "backup")
    assert run(*backup, environ=environ) == (0, "")
    assert (tmp_path / "backup" / "deep" / "b.txt").read_text() == "b"
    unreachable = environ | {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "not-a-secret",
        "AWS_REGION": "us-east-1",
    }  # fmt: skip
    (tmp_path / "trueup.toml").write_text('[stores.off]\nurl = "s3://bucket"\nretries = 0\n')
    broken = (backup[0], source, "off")
    for _ in range(3):
        assert run(*broken, environ=unreachable) == (0, "")
    code, said = run(*broken, environ=unreachable)
    assert (code, "failed 4 times in a row" in said) == (1, True), said
    shutil.rmtree(source)
    code, said = run(*backup, environ=environ)
    assert (code, "needs you (exit code 3)" in said) == (3, True), said


def test_an_application_keeps_its_files_in_several_clouds(environ: dict[str, str], tmp_path: Path):
    from aiosmtpd.controller import Controller
    from aiosmtpd.handlers import Message

    mails: list[str] = []

    class Mailbox(Message):
        def handle_message(self, message: EmailMessage) -> None:
            mails.append(message["subject"])

    there = tmp_path / "app"
    shutil.copytree(EXAMPLES / "pool_app", there)
    shown = (there / "README.md").read_text("utf-8")
    assert run("bash", "-c", f"cd {there}; " + re.findall(r"mkdir.*", shown)[0], environ=environ)[0] == 0
    (there / "test_video.mp4").write_bytes(bytes(5000))

    def app(*given: str, **more: str) -> tuple[int, str]:
        return run("bash", "-c", f"cd {there}; exec {sys.executable} app.py {' '.join(given)}", environ=environ | more)

    code, said = app("upload", "test_video.mp4")
    assert (code, bool(re.fullmatch(r"5,000 bytes at (gcs|azure|s3): file://.*/test_video.mp4\n", said))) == (
        0,
        True,
    ), said
    with serving() as site:
        site.pages["/video.mp4"] = File(bytes(7000))
        code, said = app("fetch", site.url("/video.mp4"), TRUEUP_DOWNLOADS__ALLOW_PRIVATE_ADDRESSES="true")
    assert (code, said.startswith("7,000 bytes at ")) == (0, True), said
    code, said = app("stats")
    assert json.loads(said.splitlines()[-1])["total_size_bytes"] == 12_000
    assert app("clean") == (0, "0 uploads and 0 downloads gone, 0 alerts sent\n")
    port = free_port()
    server = Controller(Mailbox(), hostname="127.0.0.1", port=port)
    server.start()
    mail = {"MAILGUN_SMTP_HOST": "127.0.0.1", "MAILGUN_SMTP_PORT": str(port), "TRUEUP_ALERTS__EMAIL__TLS": "none"}
    told = {"ALERT_EMAIL_FROM": "a@example.com", "ALERT_EMAIL_TO": "b@example.com"}
    try:
        assert app("alert", **mail, **told) == (0, "")
    finally:
        server.stop()
    assert mails == ["gcs is full: 5.20 GB of 5.00 GB used"]


def test_a_bot_takes_each_match_file_once_whatever_is_lost(
    environ: dict[str, str], tmp_path: Path, sftp_folder: Bucket, sftp_server: dict[str, str]
):
    there, server = tmp_path / "bot", Path(sftp_server["folder"], "data", sftp_folder.url.rpartition("/")[2])
    shutil.copytree(EXAMPLES / "game_stats", there)
    for file in (there / "drop").iterdir():
        shutil.copyfile(file, server / file.name)
        os.utime(server / file.name, (1_711_400_000, 1_711_400_000))
    environ |= {
        "TRUEUP_INGEST__STATS__SOURCE": "server",
        "TRUEUP_STORES__SERVER__URL": sftp_folder.url,
        "TRUEUP_STORES__SERVER__KNOWN_HOSTS": sftp_folder.options["known_hosts"],
        "TRUEUP_STORES__SERVER__PASSWORD": sftp_folder.options["password"],
        "TRUEUP_HOME": str(tmp_path / "state"),
    }

    def bot(*given: str) -> tuple[int, str]:
        return run("bash", "-c", f"cd {there}; exec {sys.executable} bot.py {' '.join(given)}", environ=environ)

    def trueup(*given: str) -> tuple[int, str]:
        return run("bash", "-c", f"cd {there}; exec trueup {' '.join(given)}", environ=environ)

    first = "2024-03-24-211030-supply-round-1.txt"
    assert bot("--ask", first) == (0, "new\n")
    told = (
        "supply: round 1: allies win in 8:32; round 2: axis win in 8:32\n"
        "goldrush: round 1: axis win in 20:00; round 2: allies win in 14:07\n"
        "radar: round 2: allies win in 7:58\n"
    )
    assert bot("--once") == (0, told)
    assert bot("--once") == (0, "")
    assert bot("--ask", first) == (0, "taken, says local\n")

    shutil.rmtree(there / "local_stats")
    shutil.rmtree(tmp_path / "state")
    with closing(sqlite3.connect(there / "stats.db")) as db, db:
        db.execute("delete from processed_files")
    assert bot("--ask", first) == (0, "taken, says domain\n")
    assert bot("--once") == (0, "")
    assert "5 files known" in trueup("ingest", "stats")[1]

    late = server / "2024-03-25-195300-radar-round-1.txt"
    late.write_text((server / "2024-03-25-200500-radar-round-2.txt").read_text().replace("legacy3\\2", "legacy3\\1", 1))
    bad = server / "2024-03-25-210000-radar-round-1.txt"
    bad.write_text("cut sho")
    for file in (late, bad):
        os.utime(file, (1_711_400_000, 1_711_400_000))
    code, said = bot("--once")
    assert code == 1
    assert f"{bad.name} failed: ValueError: the first line is not that of a match file" in said
    assert "radar: round 1: allies win in 7:58; round 2: allies win in 7:58" in said
    assert trueup("diagnose", "stats", "--check")[0] == 5
    with closing(sqlite3.connect(there / "stats.db")) as db:
        assert db.execute("select map, round1_players, round2_players from sessions order by id").fetchall() == [
            ("supply", 6, 6), ("goldrush", 4, 4), ("radar", 6, 6)
        ]  # fmt: skip


def test_the_python_of_the_pages_runs(tmp_path: Path, environ: dict[str, str]):
    found = [
        block.text
        for page in (ROOT / "README.md", ROOT / "docs" / "reference" / "python.md")
        for block in blocks(page.read_text("utf-8"))
        if block.language == "python"
    ]
    assert len(found) >= 4
    for text in found:
        (tmp_path / "media").mkdir(exist_ok=True)
        (tmp_path / "media" / "a.txt").write_text(os.urandom(4).hex())
        for what in ("something to do", "nothing to do"):
            code, said = run(sys.executable, "-c", text, environ=environ)
            assert code == 0, f"{text}\n{what}: {said}"
            assert "<Action" not in said, "names are plain text"


def test_the_page_shows_what_the_sheet_and_the_api_say_and_what_is_pinned(environ: dict[str, str], tmp_path: Path):
    there = tmp_path / "followers"
    shutil.copytree(EXAMPLES / "followers", there)

    def shell(command: str) -> tuple[int, str]:
        return run("bash", "-c", f"cd {there}; exec {command}", environ=environ)

    page = f"{sys.executable} page.py"
    code, said = shell("trueup records sync")
    assert (code, "youtube.com/@spacex LookupError: the platform does not know it" in said) == (1, True), said
    assert shell(page) == (
        0,
        "instagram.com/esa: 52000 followers, 9700 views, 1 days\nx.com/nasa: 91000 followers, 5700 views, 1 days\n",
    )
    assert shell("trueup records pin instagram.com/esa followers 49100")[0] == 0
    assert "instagram.com/esa: 49100 followers" in shell(page)[1]
    code, said = shell("trueup records sync")
    assert "3 accounts, 0 changed, 0 snapshots" in said
    assert "instagram.com/esa: 49100 followers" in shell(page)[1]
