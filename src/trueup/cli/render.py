"""The result of a sync, for people: what was done or would be, how much, how fast, and what was left and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from trueup import keys
from trueup.cli import words
from trueup.cli.ui import Segment, Ui
from trueup.sync.report import SyncRun

PLANNED_SHOWN: Final = 50
DONE_SHOWN: Final = 20
"""Lines of items at most; the rest is a number."""

_WORTH_A_SPEED: Final = 1 << 20
"""Bytes; how fast fewer than these moved says nothing."""
_WIDEST: Final = 80
_EFFECTS: Final = ("copy", "move", "delete")
_STYLES: Final = {"copy": "green", "move": "cyan", "delete": "red"}
_NOTES: Final = {
    "conflict": ("conflict", "conflicts"),
    "unaddressable": ("name a side cannot hold", "names a side cannot hold"),
    "unknown": ("item that cannot be seen", "items that cannot be seen"),
    "link": ("link or special file", "links or special files"),
    "marker": ("folder marker", "folder markers"),
    "held": ("key held by an undo", "keys held by an undo"),
}
_CURES: Final = {
    "unaddressable": "rename, or --exclude",
    "unknown": "check the permissions, or --exclude",
    "link": "put the files themselves there, or --exclude",
}
_PROBLEMS: Final = {"failed": "failed", "drifted": "no longer as planned"}
_QUIET_NOTES: Final = {"marker"}
"""Counted, never listed: harmless, and there may be one in every folder."""


def show(ui: Ui, run: SyncRun, *, undoable: bool = True) -> None:
    """Print the result. `undoable`: whether what was replaced is in the trash."""
    planned = run.status in {"dry-run", "refused"}
    effects = [row for row in run.items if str(row["action"]).startswith(_EFFECTS)]
    rest = [row for row in run.items if row["action"] in _NOTES and row["action"] not in _QUIET_NOTES]
    settled = [row for row in effects if planned or row["outcome"] == "done"]
    total = sum(amount for name, amount in run.counts.items() if name.startswith(_EFFECTS))
    if ui.common.quiet and not planned:
        _complain(ui, run)
    _table(ui, _effect, settled, total, PLANNED_SHOWN if planned else DONE_SHOWN)
    if not planned:
        broken = [row for row in run.items if row["outcome"] in _PROBLEMS]
        _table(ui, _problem, broken, sum(run.counts.get(name, 0) for name in _PROBLEMS), PLANNED_SHOWN)
    noted = sum(run.counts.get(name, 0) for name in _NOTES if name not in _QUIET_NOTES)
    _table(ui, _note, rest, noted, DONE_SHOWN)
    for line in _summary(run, total, planned=planned, undoable=undoable):
        ui.out(*line)


def _complain(ui: Ui, run: SyncRun) -> None:
    """What --quiet does not keep quiet about: items that make the run end with 1."""
    bad = [row for row in run.items if row["outcome"] in _PROBLEMS or row["action"] in {"conflict", "unknown"}]
    for row in bad[:PLANNED_SHOWN]:
        what = row["outcome"] if row["outcome"] in _PROBLEMS else row["action"]
        ui.say(f"{what}: {_name(row)}: {_line(row['error'] or row['reason'])}")
    if len(bad) > PLANNED_SHOWN:
        ui.say(f"… and {len(bad) - PLANNED_SHOWN:,} more")


def _table(
    ui: Ui,
    cells_of: Callable[[Mapping[str, object]], tuple[tuple[str, str], ...]],
    rows: Sequence[Mapping[str, object]],
    total: int,
    limit: int,
) -> None:
    """Rows in columns; the last column is as wide as it likes."""
    shown = [cells_of(row) for row in rows[:limit]]
    widths = [max((len(cell[0]) for cell in column), default=0) for column in zip(*shown, strict=False)]
    widths = [min(width, _WIDEST) for width in widths]  # one long name must not push every other line apart
    if widths:
        widths[0] = max(widths[0], len("delete right"))  # all tables of a result stand in line
    for row in shown:
        cells: list[Segment] = []
        for place, (text, style) in enumerate(row):
            last = place == len(row) - 1
            # The numbers' column is flush right.
            padded = text.rjust(widths[place]) if place == 2 and not last else text.ljust(widths[place])
            cells.append((text if last else f"{padded}   ", style))
        ui.out("  ", *cells)
    if total > len(shown) > 0:
        ui.out(f"  … and {total - len(shown):,} more")


def _effect(row: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    action = str(row["action"])
    verb = action.partition("_")[0]
    amount = words.size(_whole(row["bytes"])) if verb == "copy" else ""
    return (action.replace("_", " "), _STYLES[verb]), (_name(row), ""), (amount, ""), (str(row["reason"]), "dim")


def _problem(row: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    what = f"{row['outcome']} ({str(row['action']).replace('_', ' ')})"
    return (what, "bold red"), (_name(row), ""), (_line(row["error"]), "")


def _note(row: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    style = "bold yellow" if row["action"] == "conflict" else "yellow"
    return (str(row["action"]), style), (_name(row), ""), (_line(row["error"] or row["reason"]), "")


def _name(row: Mapping[str, object]) -> str:
    name = keys.display(str(row["key"]))
    return f"{keys.display(str(row['from']))} -> {name}" if "from" in row else name


def _line(text: object) -> str:
    return keys.display(" ".join(str(text).split()))


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _summary(run: SyncRun, total: int, *, planned: bool, undoable: bool) -> Iterator[list[Segment]]:
    for side, report in run.inventory.items():
        age = words.duration(float(_whole(report["age_seconds"])))
        yield [f"the {side} as an inventory report of {report['created_at']} has it", (f", {age} old", "dim")]
    same = run.counts.get("unchanged", 0) + run.counts.get("adopt", 0)
    broken = any(run.counts.get(name) for name in _PROBLEMS)
    if total:
        yield [
            ("would " if planned else "", "bold"),
            (_changes(run, planned=planned), "bold"),
            _speed(run, planned=planned),
        ]
    elif run.status == "interrupted":
        yield ["nothing was changed"]
    elif not broken and run.status != "refused":
        yield [_agreement(run, same)]
    if total and same:
        yield [f"{words.number(same, 'file')} needed nothing"]
    if broken:
        yield [
            ("not done: ", "bold red"),
            ", ".join(_amounts(run, {name: (text, text) for name, text in _PROBLEMS.items()})),
        ]
    left = _amounts(run, _NOTES)
    if left:
        yield [("left alone: ", "yellow"), words.listed(left)]
    if run.status == "interrupted":
        yield [("interrupted: ", "bold red"), "what was done is recorded; run it again to go on from here"]
    if planned:
        if total and run.status == "dry-run":
            yield [("nothing was changed; without --dry-run this is done", "dim")]
    elif total:
        yield _run_line(run, undoable=undoable)


def _changes(run: SyncRun, *, planned: bool) -> str:
    """`copy 12 files to the right (1.2 MiB) and delete 1 file on the left`, or the same in the past."""
    past = {"copy": "copied", "move": "moved", "delete": "deleted"}
    moved = {"right": run.bytes_right, "left": run.bytes_left}
    parts = []
    for verb in _EFFECTS:
        said = f"{verb if planned else past[verb]} "
        for side in ("right", "left"):
            amount = run.counts.get(f"{verb}_{side}", 0)
            if amount:
                volume = f" ({words.size(moved[side])})" if verb == "copy" else ""
                what = words.number(amount, "file") if said else f"{amount:,}"
                parts.append(f"{said}{what} {'to' if verb == 'copy' else 'on'} the {side}{volume}")
                said = ""
    return words.listed(parts)


def _speed(run: SyncRun, *, planned: bool) -> str:
    if planned:
        return ""
    moved = run.bytes_right + run.bytes_left
    took = f" in {words.duration(run.seconds)}"
    return f"{took}, {words.size(moved / run.seconds)}/s" if moved >= _WORTH_A_SPEED and run.seconds else took


def _agreement(run: SyncRun, same: int) -> Segment:
    files = words.number(same, "file")
    if not any(run.counts.values()):
        return ("nothing to do: there are no files", "bold green")
    if any(run.counts.get(name) for name in ("conflict", "unknown")):
        return f"nothing to do for the rest ({files})"
    if not same:
        return "nothing to do for anything else"
    if run.mode == "two-way":
        verb = "agrees" if same == 1 else "agree"
        left = any(run.counts.get(name) for name in ("unaddressable", "link", "held"))
        return (
            f"nothing to do: {files} {verb}" if left else f"nothing to do: both sides agree ({files})",
            "bold green",
        )
    target = "right" if run.mode == "push" else "left"
    return (f"nothing to do: the {target} is up to date ({files})", "bold green")


def _amounts(run: SyncRun, names: Mapping[str, tuple[str, str]]) -> list[str]:
    return [
        f"{amount:,} {forms[0] if amount == 1 else forms[1]}" + (f" ({_CURES[name]})" if name in _CURES else "")
        for name, forms in names.items()
        if (amount := run.counts.get(name, 0))
    ]


def _run_line(run: SyncRun, *, undoable: bool) -> list[Segment]:
    line: list[Segment] = [("run ", "dim"), run.run]
    if run.job == "undo":
        line.append(("; syncs skip these files until they change, or --release", "dim"))
    elif undoable:
        line.append((f"; take it back with: trueup undo {run.run}", "dim"))
    return line
