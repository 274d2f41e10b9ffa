"""A task of Windows' Task Scheduler as XML, which `schtasks /create /xml` reads (no I/O).

https://learn.microsoft.com/windows/win32/taskschd/task-scheduler-schema
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from trueup.errors import UsageError
from trueup.jobs.cron import EVERY_DAY, EVERY_MONTH, EVERY_WEEKDAY, Cron
from trueup.jobs.local import Rule, repeated, rules

_MOST: Final = 48
"""Triggers that a task may have."""
_DAY: Final = 24 * 60
_WEEKDAYS: Final = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split()
_TASK: Final = """\
<?xml version="1.0"?>
<!-- As administrator: schtasks /create /tn "trueup\\{name}" /xml "trueup-{name}.xml" -->
<!-- S4U: it runs also while nobody is logged on, no password is kept, and no shares of Windows can be reached.
     InteractiveToken in its place: only while you are logged on, with shares, and without an administrator. -->
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>trueup: {name}. Made for {cron} in UTC, with a clock at UTC{zone}.</Description>
    <URI>\\trueup\\{name}</URI>
  </RegistrationInfo>
  <Triggers>
{triggers}
  </Triggers>
  <Principals>
    <Principal id="Author">
      <UserId>{user}</UserId>
      <LogonType>S4U</LogonType>
      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <StartWhenAvailable>true</StartWhenAvailable>
    <WakeToRun>true</WakeToRun>
    <ExecutionTimeLimit>PT12H</ExecutionTimeLimit>
    <Enabled>true</Enabled>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>%SystemRoot%\\System32\\cmd.exe</Command>
      <Arguments>/d /c .\\{batch}</Arguments>
      <WorkingDirectory>{folder}</WorkingDirectory>
    </Exec>
  </Actions>
</Task>
"""


def task_xml(name: str, cron: Cron, batch: Path, now: datetime, user: str) -> str:
    """The task that starts a batch file for a user when a cron line says; `now` is the time by the machine's clock,
    with its offset. A moment that two triggers mean starts it once: `IgnoreNew`. Raises `UsageError` for more times
    than a task can have."""
    triggers = [
        trigger for rule in rules(cron, now.utcoffset() or timedelta()) for trigger in _triggers(rule, now.date())
    ]
    if len(triggers) > _MOST:
        raise UsageError(
            f"'{cron.text}' is {len(triggers)} times a day, and a task of Windows has at most {_MOST} triggers",
            cure="Choose times with equal distances",
        )
    text = _TASK.format(
        name=name,
        cron=cron.text,
        zone=now.isoformat()[-6:],
        triggers="\n".join(triggers),
        user=escape(user),
        # Without its folder: cmd would take an ampersand in there for the end of the command.
        batch=batch.name,
        folder=escape(str(batch.parent)),
    )
    # Without a declared encoding it is UTF-8; other letters than ASCII as references are right in any.
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii").replace("\n", "\r\n")


def _triggers(rule: Rule, first: object) -> Iterator[str]:
    for time, step, count in repeated(rule.times):
        whole = step * count == _DAY
        # Until just after the last one: whether one at the very end still starts, no page says.
        duration = "P1D" if whole else f"PT{step * (count - 1) + 1}M"
        again = (
            f"      <Repetition><Interval>PT{step}M</Interval><Duration>{duration}</Duration>"
            "<StopAtDurationEnd>false</StopAtDurationEnd></Repetition>\n"
            if step
            else ""
        )
        yield (
            f"    <CalendarTrigger>\n{again}"
            f"      <StartBoundary>{first}T{time // 60:02}:{time % 60:02}:00</StartBoundary>\n"
            f"      <Enabled>true</Enabled>\n      {_schedule(rule)}\n    </CalendarTrigger>"
        )


def _schedule(rule: Rule) -> str:
    months = "<Months>" + "".join(f"<{calendar.month_name[month]} />" for month in rule.months) + "</Months>"
    weekdays = "<DaysOfWeek>" + "".join(f"<{_WEEKDAYS[day]} />" for day in rule.weekdays) + "</DaysOfWeek>"
    if rule.weekdays != EVERY_WEEKDAY and rule.months != EVERY_MONTH:
        weeks = "<Weeks>" + "".join(f"<Week>{week}</Week>" for week in (1, 2, 3, 4, "Last")) + "</Weeks>"
        return f"<ScheduleByMonthDayOfWeek>{weeks}{weekdays}{months}</ScheduleByMonthDayOfWeek>"
    if rule.weekdays != EVERY_WEEKDAY:
        return f"<ScheduleByWeek><WeeksInterval>1</WeeksInterval>{weekdays}</ScheduleByWeek>"
    if rule.days == EVERY_DAY and rule.months == EVERY_MONTH:
        return "<ScheduleByDay><DaysInterval>1</DaysInterval></ScheduleByDay>"
    days = "<DaysOfMonth>" + "".join(f"<Day>{day}</Day>" for day in rule.days) + "</DaysOfMonth>"
    return f"<ScheduleByMonth>{days}{months}</ScheduleByMonth>"
