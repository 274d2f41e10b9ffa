"""When jobs run: one reading of cron lines, and the files that tell it to others."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cli.conftest import Cli
from trueup.config import load
from trueup.errors import ConfigError, UsageError
from trueup.jobs.broker import make_app
from trueup.jobs.config import SCHEDULE, Rate, Timetable, schedule_config, scheduled, server_config
from trueup.jobs.cron import Cron, parse_cron
from trueup.jobs.embedded import Embedded
from trueup.jobs.export import KINDS, Machine, export
from trueup.jobs.local import Rule, by_hour, repeated, rules
from trueup.jobs.queue import open_queue

SUNDAY = datetime(2026, 11, 22, tzinfo=UTC)
POOL = '[pool.providers.a]\nurl = "a"\n'
TASK = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"


def cron(text: str) -> Cron:
    return parse_cron(text, where="line")


def files(kind: str, text: str, hours: float = 0, **elsewhere: Path) -> dict[str, str]:
    zone = timezone(timedelta(hours=hours))
    machine = Machine(
        command=["/opt/true up/bin/python", "-m", "trueup"],
        folder=Path("/srv/100% ours"),
        files=Path("/srv/tasks"),
        now=SUNDAY.astimezone(zone),
        url="http://127.0.0.1:8000",
        user="NEST\\Jürgen",
    )
    planned = Timetable(
        jobs={"sync-storage-stats": cron(text)}, left_out={"smart-sync-all-projects": "there is no [records]"}
    )
    return dict(export(kind, planned, replace(machine, **elsewhere)))


# ----- settings


def test_without_settings_the_schedule_and_the_server_are_those_that_are_documented():
    schedule = schedule_config(load())
    assert {name: line.text for name, line in schedule.items() if line} == SCHEDULE
    server = server_config(load())
    assert (server.host, server.port, server.api_key, server.broker) == ("127.0.0.1", 8000, "", "")
    assert server.rate == Rate(requests=600, seconds=60)


def test_a_line_is_changed_or_switched_off_in_the_file_or_by_a_variable(monkeypatch: pytest.MonkeyPatch):
    Path("trueup.toml").write_text('[schedule]\nsync-storage-stats = "off"\ncleanup-old-downloads = "5 4 * * *"\n')
    monkeypatch.setenv("TRUEUP_SCHEDULE__CLEANUP_OLD_DOWNLOADS", "6 4 * * *")
    monkeypatch.setenv("TRUEUP_SCHEDULE__SMART_SYNC_ALL_PROJECTS", "off")
    schedule = schedule_config(load())
    assert schedule["sync-storage-stats"] is schedule["smart-sync-all-projects"] is None
    assert schedule["cleanup-old-downloads"] == cron("6 4 * * *")


def test_syncs_and_ingests_may_have_lines_by_their_names(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("left", "right", "drop"):
        (tmp_path / name).mkdir()
    (tmp_path / "left" / "page").write_text("hello")
    pairs = "".join(f'[sync.{name}]\nleft = "left"\nright = "right"\n' for name in ("my_site", "storage-stats"))
    drop = '[ingest.stats]\nsource = "drop"\ninto = "taken"\n'
    lines = '[schedule]\nsync-my_site = "15 4 * * 0"\ningest-stats = "off"\n'
    Path("trueup.toml").write_text(POOL + pairs + drop + lines)
    monkeypatch.setenv("TRUEUP_SCHEDULE__INGEST_STATS", "*/5 * * * *")
    schedule = schedule_config(load())
    # A sync cannot take the name of a line that is there already.
    assert schedule.keys() == {*SCHEDULE, "sync-my_site", "ingest-stats"}
    assert schedule["sync-my_site"] == cron("15 4 * * 0")
    assert schedule["ingest-stats"] == cron("*/5 * * * *")
    assert (scheduled("sync-my_site"), scheduled("sync-storage-stats")) == (
        ("sync_files", {"name": "my_site"}),
        ("sync_storage_stats", {}),
    )
    assert cli("schedule", "run", "sync-my_site").code == 0
    assert (tmp_path / "right" / "page").read_text() == "hello"
    text = cli("schedule", "export", "render").out
    assert '/api/sync/my_site"' in text
    assert '/api/ingest/stats"' in text
    assert '/api/admin/sync-storage-stats"' in text
    assert "schedule run sync-my_site" in cli("schedule", "export", "cron").out
    monkeypatch.setenv("TRUEUP_SERVER__BROKER", "redis://127.0.0.1:9/0")
    line = make_app(load()).conf.beat_schedule["sync-my_site"]
    assert (line["task"], line["kwargs"]) == ("sync_files", {"name": "my_site"})
    with closing(open_queue(load())) as catalog, closing(Embedded(load(), catalog)) as server:
        at = server.next_run("ingest-stats")
        assert at
        assert at.minute % 5 == 0


def test_who_is_nearer_decides_where_the_server_listens(monkeypatch: pytest.MonkeyPatch):
    Path("trueup.toml").write_text('[server]\nhost = "::1"\nport = 1\n')
    assert (server_config(load()).host, server_config(load()).port) == ("::1", 1)
    monkeypatch.setenv("HOST", "localhost")
    monkeypatch.setenv("PORT", "2")
    assert (server_config(load()).host, server_config(load()).port) == ("localhost", 2)
    monkeypatch.setenv("TRUEUP_SERVER__PORT", "3")
    assert server_config(load()).port == 3
    assert server_config(load(), host="127.0.0.2", port=4).port == 4


def test_the_key_is_found_in_its_variable_and_an_empty_one_opens_no_door(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRUEUP_API_KEY", "k3y")
    assert server_config(load()).api_key == "k3y"
    assert "k3y" not in repr(server_config(load()))
    monkeypatch.setenv("TRUEUP_API_KEY", "")
    with pytest.raises(ConfigError, match="the API key is empty"):
        server_config(load())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[schedule]\nsync-storage-stats = "99 * * * *"', "sync-storage-stats = '99 .*is no cron line: bad minute"),
        ('[schedule]\nsync-storage-stats = "* * * *"', "five fields are needed"),
        ('[schedule]\nsync-storage-stats = "@daily"', "five fields are needed"),
        ('[schedule]\nsync-storage-stats = "0 0 0 * * *"', "five fields are needed"),
        ('[schedule]\nsync-storage-stats = "0 0 L * *"', "five fields are needed"),
        ('[schedule]\nsync-storage-stats = "0 0 */2 * 1"', "mean different things"),
        ('[schedule]\nsync-storage-stats = "0 0 30 2 *"', "bad day-of-month"),
        ("[schedule]\nsync-storage-stats = 3", "sync-storage-stats = 3 is no cron line"),
        ('[schedule]\nsync-storage = "off"', r"\[schedule\] sync-storage is unknown. Known: cleanup-failed-"),
        ("[server]\nport = 65536", "port = 65536 is unusable"),
        ('[server]\nbroker = "http://u:secret@x"', "broker is no URL of a broker. Write it like redis:"),
        ('[server]\nbroker = "redis://:secret@x:port/0"', "broker is no URL of a broker. Write it like redis:"),
        ('[server]\nbroker = "redis://:secret@x/jobs"', "broker is no URL of a broker. Write it like redis:"),
        ('[server]\nrate_limit = "fast"', "rate_limit = 'fast' is unusable"),
        ('[server]\napi_key = "two words"', "the API key cannot be sent in a header"),
        ('[server]\ncolour = "red"', r"\[server\] colour is unknown"),
    ],
)
def test_what_cannot_be_meant_is_said_in_one_line(text: str, said: str):
    Path("trueup.toml").write_text(text)
    read = schedule_config if text.startswith("[schedule]") else server_config
    with pytest.raises(ConfigError, match=said) as caught:
        read(load())
    assert "secret" not in str(caught.value)


# ----- one reading


@pytest.mark.parametrize("line", ["0 0 * * 0", "0 0 * * 7", "0 0 * * sun"])
def test_day_0_and_day_7_are_sunday(line: str):
    assert cron(line).weekdays == (0,)
    assert next(cron(line).after(SUNDAY + timedelta(hours=1))) == SUNDAY + timedelta(days=7)


def test_the_last_time_up_to_a_moment_may_be_that_moment():
    line = cron("0 3 * * 0")
    slot = SUNDAY + timedelta(hours=3)
    assert line.until(slot) == line.until(slot + timedelta(days=6)) == slot
    assert line.until(slot - timedelta(microseconds=1)) == slot - timedelta(days=7)


def test_a_date_and_a_weekday_are_alternatives():
    times = list(islice(cron("0 0 1 12 1").after(SUNDAY), 3))
    assert [f"{found:%a %d}" for found in times] == ["Tue 01", "Mon 07", "Mon 14"]
    assert len(rules(cron("0 0 1 12 1"))) == 2
    assert rules(cron("0 0 1 * 0-6")) == rules(cron("0 0 * * *"))


FIELDS = st.tuples(
    st.sampled_from(["*/30", "7", "0,15,40", "1-9/4"]),
    st.sampled_from(["*", "*/12", "0", "3", "22-23", "5,17"]),
    st.sampled_from(["*", "1", "15,31", "*/10"]),
    st.sampled_from(["*", "12", "11,1"]),
    st.sampled_from(["*", "0", "1-5", "6,7"]),
)


def instants(found_rules: list[Rule], offset: timedelta) -> set[datetime]:
    """The times of two weeks and a bit, by walking over every minute of a clock with an offset."""
    found = set()
    start = datetime(2026, 11, 22)  # noqa: DTZ001 - by that clock
    for rule in found_rules:
        for day in (start + timedelta(days=number) for number in range(16)):
            if day.day in rule.days and day.month in rule.months and day.isoweekday() % 7 in rule.weekdays:
                found |= {day + timedelta(minutes=minutes) - offset for minutes in rule.times}
    return {moment.replace(tzinfo=UTC) for moment in found}


@settings(max_examples=50, deadline=None)
@given(FIELDS, st.sampled_from([0, 60, -300, 330, 765, -720]))
def test_a_line_means_the_same_instants_by_every_clock(fields: tuple[str, ...], minutes: int):
    offset = timedelta(minutes=minutes)
    try:
        line = cron(" ".join(fields))
        found = instants(rules(line, offset), offset)
    except (ConfigError, UsageError):
        return
    begin, end = SUNDAY + timedelta(days=1), SUNDAY + timedelta(days=14)
    expected = set()
    for moment in line.after(begin - timedelta(seconds=1)):
        if moment >= end:
            break
        expected.add(moment)
    assert {moment for moment in found if begin <= moment < end} == expected


@given(st.sets(st.integers(0, 1439), min_size=1))
def test_times_are_grouped_without_losing_one(times: set[int]):
    ordered = tuple(sorted(times))
    assert [first + step * turn for first, step, count in repeated(ordered) for turn in range(count)] == list(ordered)
    assert sorted(h * 60 + m for minutes, hours in by_hour(ordered).items() for h in hours for m in minutes) == list(
        ordered
    )


# ----- files


def test_a_crontab_has_the_time_of_its_machine():
    text = files("cron", "0 0 * * 0", hours=-5)["trueup.crontab"]
    *_, line = text.splitlines()
    assert line.startswith("0 19 * * 6 cd '/srv/100\\% ours' && ")
    assert shlex.split(line)[-5:] == ["trueup", "schedule", "run", "sync-storage-stats", "--quiet"]
    assert "UTC-05:00" in text
    assert "\n0 0 * * 0 cd " in files("cron", "0 0 * * 0")["trueup.crontab"]
    assert "\n15,45 * * * * cd " in files("cron", "*/30 * * * *", hours=5.75)["trueup.crontab"]
    with pytest.raises(UsageError, match="on another date here"):
        files("cron", "0 0 1 * *", hours=-5)


@pytest.mark.parametrize(("line", "hours"), [("0 3 1 * 1", 0), ("0,20 3,4 1,15 11-12 1,3", 2), ("0 3 1 * 1", -3)])
def test_a_monday_that_is_the_first_is_one_line_and_one_start(line: str, hours: float):
    lines = [found for found in files("cron", line, hours)["trueup.crontab"].splitlines() if not found.startswith("#")]
    (found,) = [cron(" ".join(entry.split()[:5])) for entry in lines]
    by_that_clock = SUNDAY + timedelta(hours=hours)
    shown = [moment - timedelta(hours=hours) for moment in islice(found.after(by_that_clock), 20)]
    assert shown == list(islice(cron(line).after(SUNDAY), 20))


def test_systemd_is_told_in_utc():
    units = files("systemd", "*/30 3 1 * 0", hours=-5)
    assert list(units) == ["trueup-sync-storage-stats.service", "trueup-sync-storage-stats.timer"]
    service, timer = units.values()
    assert "OnCalendar=*-*-01 03:00,30:00 UTC\nOnCalendar=Sun *-*-* 03:00,30:00 UTC\n" in timer
    assert 'ExecStart="/opt/true up/bin/python" -m trueup schedule run sync-storage-stats\n' in service
    assert "WorkingDirectory=/srv/100%% ours\n" in service
    assert "OnCalendar=Sun *-*-* 00:00:00 UTC" in files("systemd", "0 0 * * 0")["trueup-sync-storage-stats.timer"]


def test_windows_wakes_up_for_the_least_privileged_at_the_time_of_its_machine():
    made = files("windows", "0 0 * * 0")
    task = ET.fromstring(made["trueup-sync-storage-stats.xml"])
    texts = {element.tag.removeprefix(TASK): element.text for element in task.iter()}
    assert texts["URI"] == r"\trueup\sync-storage-stats"
    assert (texts["WakeToRun"], texts["RunLevel"]) == ("true", "LeastPrivilege")
    assert texts["MultipleInstancesPolicy"] == "IgnoreNew"
    assert (texts["LogonType"], texts["UserId"]) == ("S4U", "NEST\\Jürgen")
    assert texts["StartBoundary"] == "2026-11-22T00:00:00"
    assert texts["Command"] == r"%SystemRoot%\System32\cmd.exe"
    assert texts["Arguments"] == r"/d /c .\trueup-sync-storage-stats.bat"
    assert texts["WorkingDirectory"] == "/srv/tasks"
    assert "Sunday" in texts
    batch = made["trueup-sync-storage-stats.bat"]
    assert '\r\ncd /d "/srv/100%% ours"\r\n"/opt/true up/bin/python" "-m" "trueup" "schedule" "run" ' in batch
    assert batch.endswith("exit /b %ERRORLEVEL%\r\n")
    west = files("windows", "0 0 * * 0", hours=-5)["trueup-sync-storage-stats.xml"]
    assert "<DaysOfWeek><Saturday /></DaysOfWeek>" in west
    assert "T19:00:00</StartBoundary>" in west


def test_a_batch_file_keeps_letters_percent_signs_and_ampersands_of_paths():
    odd = Path("C:\\Users\\Jürgen & %TEMP% 100%")
    made = files("windows", "0 0 * * 0", folder=odd, files=odd, home=odd, env_file=odd)
    batch = made["trueup-sync-storage-stats.bat"]
    before, _, after = batch.partition("\r\nchcp 65001 >nul\r\n")
    assert before.isascii()
    assert after.count("Jürgen") == 3
    # What cmd makes of it: a doubled percent sign is one, and an ampersand in quotes is no end of a command.
    assert set(re.findall(r"%[^%\s]*%?", batch.replace("%%", ""))) == {
        '%~dp0trueup-sync-storage-stats.log"',
        "%TRUEUP_LOG%",
        "%ERRORLEVEL%",
    }
    bare = re.sub(r'"[^"\r\n]*"', "", batch)
    assert re.findall(r".{2}&.{1}", bare) == ["2>&1"]
    task = ET.fromstring(made["trueup-sync-storage-stats.xml"])
    assert task.findtext(f".//{TASK}WorkingDirectory") == str(odd)
    assert task.findtext(f".//{TASK}Arguments") == r"/d /c .\trueup-sync-storage-stats.bat"


@pytest.mark.parametrize(
    ("line", "schedule", "repetition"),
    [
        ("0 3 * * *", "<ScheduleByDay><DaysInterval>1</DaysInterval></ScheduleByDay>", ""),
        ("*/30 * * * *", "<ScheduleByDay>", "<Interval>PT30M</Interval><Duration>P1D</Duration>"),
        ("0 9-17 * * *", "<ScheduleByDay>", "<Interval>PT60M</Interval><Duration>PT481M</Duration>"),
        ("0 3 1 1,7 *", "<DaysOfMonth><Day>1</Day></DaysOfMonth><Months><January /><July /></Months>", ""),
        ("0 3 * 1 1", "<Week>Last</Week></Weeks><DaysOfWeek><Monday /></DaysOfWeek><Months><January />", ""),
    ],
)
def test_windows_says_every_kind_of_line(line: str, schedule: str, repetition: str):
    text = files("windows", line)["trueup-sync-storage-stats.xml"]
    assert schedule in text
    assert repetition in text
    assert bool(repetition) == ("<Repetition>" in text)
    ET.fromstring(text)


def test_windows_refuses_more_triggers_than_it_has():
    with pytest.raises(UsageError, match="has at most 48 triggers"):
        files("windows", "1,2,7 * * * *")


def test_hosted_cron_sends_the_key_in_a_header():
    text = files("render", "0 3 * * *")["trueup-render.sh"]
    assert (
        'curl -fsS -X POST -H "Authorization: Bearer $TRUEUP_API_KEY" '
        '"${TRUEUP_URL:-http://127.0.0.1:8000}/api/admin/sync-storage-stats"'
    ) in text
    assert "# sync-storage-stats: 0 3 * * *" in text
    subprocess.run(["sh", "-n"], input=text, text=True, check=True)


def test_hosted_cron_asks_an_address_of_ipv6_in_brackets(cli: Cli, tmp_path: Path):
    (tmp_path / "trueup.toml").write_text(f'{POOL}[server]\nhost = "::1"\nport = 8123\n')
    assert "${TRUEUP_URL:-http://[::1]:8123}/api/admin/sync-storage-stats" in cli("schedule", "export", "render").out


# ----- the command


def test_the_command_lists_the_next_times(cli: Cli):
    Path("trueup.toml").write_text(
        f'{POOL}[schedule]\ncleanup-failed-downloads = "off"\nsync-storage-stats = "0 0 * * 0"\n'
    )
    rows = {row["job"]: row for row in cli("schedule", "ls", "--json").document["schedule"]}
    assert rows["cleanup-failed-downloads"] == {
        "job": "cleanup-failed-downloads",
        "cron": "off",
        "next": [],
        "left_out": "",
    }
    next_one = datetime.fromisoformat(rows["sync-storage-stats"]["next"][0])
    assert f"{next_one:%a %H:%M:%S}" == "Sun 00:00:00"
    assert next_one > datetime.now(UTC)
    assert rows["smart-sync-all-projects"]["next"] == []
    assert "smart-sync-all-projects   */30 * * * *  left out: there is no [records]\n" in cli("schedule", "ls").out


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_with_nothing_to_do_is_left_out_and_the_files_say_why(kind: str, cli: Cli, tmp_path: Path):
    (tmp_path / "trueup.toml").write_text(POOL)
    done = cli("schedule", "export", kind, "--json")
    assert done.err == "warning: smart-sync-all-projects is left out, because there is no [records]\n"
    texts = [file["text"] for file in done.document["files"]]
    assert any("Left out: smart-sync-all-projects, because there is no [records]." in text for text in texts)
    assert not any("run smart-sync-all-projects" in text or "smart_sync" in text for text in texts)
    (tmp_path / "trueup.toml").write_text(f"{POOL}[records]\n")
    done = cli("schedule", "export", kind)
    assert done.err == ""
    assert "Left out" not in done.out


def test_a_reason_stays_on_its_line(cli: Cli, tmp_path: Path):
    (tmp_path / "trueup.toml").write_text('[pool.providers."a\\n* * * * * reboot"]\ncolour = "red"\n')
    lines = cli("schedule", "export", "cron", "--json").document["files"][0]["text"].splitlines()
    assert "reboot" in "".join(lines)
    assert all(line.startswith("#") for line in lines)


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_prints_files_or_writes_them(
    kind: str,
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        (tmp_path / "trueup.toml").write_text(f'{POOL}[schedule]\nsync-storage-stats = "30 14 * * 0"\n')
        shown = cli("schedule", "export", kind).out
        assert (tmp_path / "trueup.toml").as_posix() in shown or kind == "render"
        written = cli("schedule", "export", kind, "--into", "out").out.split()
        assert sorted(written) == sorted(
            path.relative_to(tmp_path).as_posix() for path in Path("out").absolute().iterdir()
        )
        local = re.search(
            r"(9|10) \* \* 0 cd|Sun \*-\*-\* 14:30:00 UTC|T(09|10):30:00</StartBoundary>|: 30 14 \* \* 0", shown
        )
        assert local
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


COMMANDS = {
    "cron": ("trueup.crontab", "run cleanup-old-downloads", "TRUEUP_HOME={home} "),
    "systemd": ("trueup-cleanup-old-downloads.service", "ExecStart=", "Environment=TRUEUP_HOME={home}\n"),
    "windows": ("trueup-cleanup-old-downloads.bat", '"cleanup-old-downloads"', 'set "TRUEUP_HOME={home}"\r\n'),
}


@pytest.mark.parametrize("kind", COMMANDS)
def test_files_carry_what_the_command_was_started_with_and_no_secret(
    kind: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "c.toml").write_text(POOL)
    (tmp_path / "e.env").write_text("SECRET=s3cret\n")
    monkeypatch.setenv("TRUEUP_HOME", "state")
    monkeypatch.setenv("TRUEUP_STORES__A__SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("TRUEUP_STORES__A__URL", "s3://a")
    done = cli("--env-file", "e.env", "--config", "c.toml", "schedule", "export", kind, "--json")
    name, command, home = COMMANDS[kind]
    text = next(file["text"] for file in done.document["files"] if file["name"] == name)
    (line,) = [line for line in text.splitlines() if command in line]
    words = shlex.split(line)
    assert words[words.index("--env-file") + 1] == str(tmp_path / "e.env")
    assert words[words.index("--config") + 1] == str(tmp_path / "c.toml")
    assert home.format(home=tmp_path / "state") in text
    assert "gives a job the environment of a login." in text
    assert "Credentials come from the env file that is named below." in text
    assert "which were set when this was made: TRUEUP_STORES__A__SECRET_ACCESS_KEY, TRUEUP_STORES__A__URL." in text
    assert "s3cret" not in done.out


@pytest.mark.parametrize("kind", COMMANDS)
def test_files_without_an_env_file_say_where_credentials_go(
    kind: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("TRUEUP_HOME")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    (tmp_path / "trueup.toml").write_text(POOL)
    text = cli("schedule", "export", kind).out
    assert "make this again with --env-file FILE" in text
    assert "TRUEUP_HOME" not in text
    (tmp_path / ".env").write_text("A=b\n")
    assert str(tmp_path / ".env") in cli("schedule", "export", kind).out
    (tmp_path / "other.env").write_text("A=b\n")
    monkeypatch.setenv("TRUEUP_ENV_FILE", "other.env")
    assert str(tmp_path / "other.env") in cli("schedule", "export", kind).out


def test_a_line_of_the_crontab_uses_the_same_state_and_the_same_credentials(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "it's 100% ours"
    (folder / "a").mkdir(parents=True)
    (folder / "c.toml").write_text(f'{POOL}[stores.b]\nurl = "s3://b"\nsecret_access_key = "env:SECRET"\n')
    (folder / "e.env").write_text("SECRET=s3cret\n")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TRUEUP_HOME", "the state")
    document = cli("--env-file", "e.env", "--config", "c.toml", "schedule", "export", "cron", "--json").document
    line = next(line for line in document["files"][0]["text"].splitlines() if "run sync-storage-stats" in line)
    monkeypatch.delenv("TRUEUP_HOME")
    bare = {name: value for name, value in os.environ.items() if name in {"HOME", "PATH", "PYTHONPATH"}}
    command = line.split(" ", 5)[5].replace(r"\%", "%")
    done = subprocess.run(["sh", "-c", command], cwd="/", env=bare, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (folder / "the state").is_dir()


def test_a_line_of_the_crontab_runs_as_it_is_written(cli: Cli, tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "trueup.toml").write_text(f'{POOL}[schedule]\nsmart-sync-all-projects = "off"\n')
    document = cli("schedule", "export", "cron", "--json").document
    line = next(line for line in document["files"][0]["text"].splitlines() if "run sync-storage-stats" in line)
    done = subprocess.run(
        ["sh", "-c", line.split(" ", 5)[5]], cwd="/", env=os.environ, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert sys.executable in line


def test_a_job_that_needs_somebody_ends_with_its_exit_code(cli: Cli, tmp_path: Path):
    assert cli("schedule", "run", "sync-files").code == 2
    (tmp_path / "trueup.toml").write_text('[pool.providers.a]\nurl = "nowhere"\n')
    done = cli("schedule", "run", "sync-storage-stats", "--json")
    assert (done.code, done.document["status"]) == (1, "failed")
    done = cli("schedule", "run", "sync-storage-stats", "--quiet")
    assert (done.code, done.out, done.err) == (1, "", "sync-storage-stats: failed\n")
    assert cli("schedule", "export", "fax").code == 2
