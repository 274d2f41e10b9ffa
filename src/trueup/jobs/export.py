"""Ready files for people who let something else keep the clock: crontab, systemd, Task Scheduler, hosted cron (no I/O).

Only systemd and hosted cron know UTC. A crontab and Task Scheduler go by the machine's own clock, so what is written
for them is right for the offset the machine has now; where that changes in summer, so does the time they start at.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from trueup.jobs.config import Timetable, scheduled
from trueup.jobs.cron import EVERY_DAY, EVERY_MONTH, EVERY_WEEKDAY
from trueup.jobs.local import Rule, by_hour, in_one, listed, rules
from trueup.jobs.windows import task_xml

_NAMES: Final = "Sun Mon Tue Wed Thu Fri Sat".split()
_EVERY_HOUR: Final = tuple(range(24))
_EVERY_MINUTE: Final = tuple(range(60))
_ROUTES: Final = {"smart-sync-all-projects": "admin/smart_sync"}
"""Where the name in the URL is another one than that of the job."""


class File(NamedTuple):
    """One file that is ready to use."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where the files are to be used."""

    command: Sequence[str]
    """The program with its settings file; a job's `schedule run NAME` is put behind it."""
    folder: Path
    """Where the program is started."""
    files: Path
    """Where these files will lie."""
    now: datetime
    """By the clock of that machine, with its offset."""
    url: str
    """Of the service, for who asks over the network."""
    user: str
    """Who runs the jobs there."""
    home: Path | None = None
    """The state folder, where it is another one than without a variable."""
    env_file: Path | None = None
    """Where credentials come from."""
    variables: Sequence[str] = ()
    """Names of settings in the environment this is made in, which is not the one a job is started in."""

    @property
    def offset(self) -> timedelta:
        """How far its clock is ahead of UTC."""
        return self.now.utcoffset() or timedelta()


def export(kind: str, planned: Timetable, machine: Machine) -> list[File]:
    """The files of one of `KINDS`. Raises `UsageError` for a time that it cannot say."""
    return list(KINDS[kind](planned, machine))


def _notes(planned: Timetable, machine: Machine) -> list[str]:
    """What to know about files that start a job here, a line each."""
    lines = ["Neither cron nor systemd nor Task Scheduler gives a job the environment of a login."]
    if machine.env_file is not None:
        lines.append("Credentials come from the env file that is named below.")
    else:
        lines.append("Credentials go into an env file: make this again with --env-file FILE.")
    if machine.variables:
        known = ", ".join(machine.variables)
        lines.append(f"Put these into it as well, which were set when this was made: {known}.")
    return lines + _left_out(planned)


def _left_out(planned: Timetable) -> list[str]:
    return [f"Left out: {name}, because {why}." for name, why in planned.left_out.items()]


def _crontab(planned: Timetable, machine: Machine) -> Iterator[File]:
    lines = [
        f"# Times are this machine's, UTC{machine.now.isoformat()[-6:]}; make the file again when its offset changes.",
        *(f"# {line}" for line in _notes(planned, machine)),
    ]
    for name, cron in planned.jobs.items():
        lines.append(f"# {name}: {cron.text} (UTC)")
        # Whatever is printed is mailed. A variable on a line of its own would be one for all that follows it.
        home = f"TRUEUP_HOME={shlex.quote(str(machine.home))} " if machine.home is not None else ""
        command = f"cd {shlex.quote(str(machine.folder))} && {home}{shlex.join(_run(machine, name))} --quiet"
        command = command.replace("%", r"\%")  # which would end it
        for rule in in_one(rules(cron, machine.offset)):
            lines += [f"{when} {command}" for when in _cron_fields(rule)]
    yield File("trueup.crontab", "\n".join(lines) + "\n")


def _cron_fields(rule: Rule) -> Iterator[str]:
    for minutes, hours in by_hour(rule.times).items():
        yield " ".join(
            (
                listed(minutes, _EVERY_MINUTE),
                listed(hours, _EVERY_HOUR),
                listed(rule.days, EVERY_DAY),
                listed(rule.months, EVERY_MONTH),
                listed(rule.weekdays, EVERY_WEEKDAY),
            )
        )


def _systemd(planned: Timetable, machine: Machine) -> Iterator[File]:
    head = "".join(f"# {line}\n" for line in _notes(planned, machine))
    home = f"Environment={_unit_word(f'TRUEUP_HOME={machine.home}')}\n" if machine.home is not None else ""
    for name, cron in planned.jobs.items():
        words = " ".join(_unit_word(word).replace("$", "$$") for word in _run(machine, name))
        yield File(
            f"trueup-{name}.service",
            f"{head}[Unit]\nDescription=trueup: {name}\nWants=network-online.target\nAfter=network-online.target\n\n"
            f"[Service]\nType=oneshot\nWorkingDirectory={_percent(str(machine.folder))}\n{home}ExecStart={words}\n"
            # Another run at work is no failure.
            "SuccessExitStatus=4\nNoNewPrivileges=true\n",
        )
        # A moment that two of them mean is one moment to a timer.
        whens = "".join(f"OnCalendar={when}\n" for rule in rules(cron) for when in _calendar(rule))
        yield File(
            f"trueup-{name}.timer",
            f"[Unit]\nDescription=trueup: {name} ({cron.text} UTC)\n\n"
            f"[Timer]\n{whens}Persistent=true\nAccuracySec=1s\n\n[Install]\nWantedBy=timers.target\n",
        )


def _calendar(rule: Rule) -> Iterator[str]:
    """As systemd.time(7) has it."""
    weekdays = "" if rule.weekdays == EVERY_WEEKDAY else ",".join(_NAMES[day] for day in rule.weekdays) + " "
    date = f"*-{listed(rule.months, EVERY_MONTH, _two)}-{listed(rule.days, EVERY_DAY, _two)}"
    for minutes, hours in by_hour(rule.times).items():
        yield f"{weekdays}{date} {listed(hours, _EVERY_HOUR, _two)}:{listed(minutes, _EVERY_MINUTE, _two)}:00 UTC"


def _two(number: int) -> str:
    return f"{number:02}"


def _unit_word(word: str) -> str:
    escaped = _percent(word).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if escaped != word or not word or set(word) & set(" '$") else word


def _percent(text: str) -> str:
    return text.replace("%", "%%")


def _windows(planned: Timetable, machine: Machine) -> Iterator[File]:
    head = "".join(f"rem {_percent(line)}\n" for line in _notes(planned, machine))
    home = f'set "TRUEUP_HOME={_percent(str(machine.home))}"\n' if machine.home is not None else ""
    for name, cron in planned.jobs.items():
        words = " ".join(f'"{_percent(word)}"' for word in _run(machine, name))
        batch = f"trueup-{name}.bat"
        # cmd reads line by line: those before it knows that this is UTF-8 must be ASCII. Where the file lies is asked
        # before the folder changes, which would change the answer.
        text = f'@echo off\nchcp 65001 >nul\nset "TRUEUP_LOG=%~dp0trueup-{name}.log"\n'
        text += f'{head}rem {name}: {cron.text} (UTC)\n{home}cd /d "{_percent(str(machine.folder))}"\n'
        text += f'{words} >> "%TRUEUP_LOG%" 2>&1\nexit /b %ERRORLEVEL%\n'
        yield File(batch, text.replace("\n", "\r\n"))
        yield File(f"trueup-{name}.xml", task_xml(name, cron, machine.files / batch, machine.now, machine.user))


def _hosted(planned: Timetable, machine: Machine) -> Iterator[File]:
    lines = [
        "# One job for each line; times are UTC. TRUEUP_URL is where `trueup serve` is found, TRUEUP_API_KEY its key.",
        *(f"# {line}" for line in _left_out(planned)),
    ]
    for name, cron in planned.jobs.items():
        url = f'"${{TRUEUP_URL:-{machine.url}}}/api/{_route(name)}"'
        lines.append(f"# {name}: {cron.text}")
        lines.append(f'curl -fsS -X POST -H "Authorization: Bearer $TRUEUP_API_KEY" {url}')
    yield File("trueup-render.sh", "\n".join(lines) + "\n")


def _route(name: str) -> str:
    job, arguments = scheduled(name)
    if arguments:
        return f"{job.partition('_')[0]}/{arguments['name']}"
    return _ROUTES.get(name, f"admin/{name}")


def _run(machine: Machine, name: str) -> list[str]:
    env_file = ["--env-file", str(machine.env_file)] if machine.env_file is not None else []
    return [*machine.command, *env_file, "schedule", "run", name]


KINDS: Final[Mapping[str, Callable[[Timetable, Machine], Iterator[File]]]] = {
    "cron": _crontab,
    "systemd": _systemd,
    "windows": _windows,
    "render": _hosted,
}
"""Whose files can be made."""
