"""`trueup sync`, `trueup apply` and `trueup undo`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.models import OptionInfo

from trueup.cli.command import command
from trueup.cli.live import Listener, StopSwitch, replacing
from trueup.cli.ui import Failure, Ui
from trueup.errors import Interrupted, MissingExtra, Refused, StoreError, UsageError

if TYPE_CHECKING:
    from trueup.config import Settings, SyncConfig
    from trueup.jobs.spread import Spread
    from trueup.sync.outputs import Outputs
    from trueup.sync.report import SyncRun

_MODES = {
    "two_way": "two-way",
    "push": "push",
    "upload_only": "push",
    "pull": "pull",
    "download_only": "pull",
}
_OVERRIDES = (
    *("prefer", "compare", "max_delete", "workers", "include", "exclude"),
    *("delete", "keep_loser", "force", "release"),
)
_SCOPE = "What takes part"
_DIRECTION = "Direction and conflicts"
_SAFETY = "Safety"
_OUTPUT = "What is written where"
_SPEED = "Speed"
_WATCHING = "Watching"


def _flag(panel: str, *names: str, text: str) -> OptionInfo:
    option: OptionInfo = typer.Option(*names, help=text, rich_help_panel=panel, show_default=False)
    return option


def _value(panel: str, *names: str, metavar: str, text: str) -> OptionInfo:
    option: OptionInfo = typer.Option(*names, metavar=metavar, help=text, rich_help_panel=panel, show_default=False)
    return option


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(
        app,
        "trueup sync ./site s3://bucket/site --dry-run",
        "trueup sync ./backup gs://bucket/backup --push --delete --max-delete 100",
        "trueup sync site --check",
        "trueup sync site --watch --poll 1m",
        "trueup sync archive --on celery",
    )(sync)
    command(app, "trueup apply plan.jsonl")(apply)
    command(app, "trueup undo 20261121T103400Z-3f9c1a")(undo)


def sync(
    ui: Ui,
    left: Annotated[str, typer.Argument(metavar="LEFT|NAME", help="A folder, a URL or a store; or a job alone.")],
    right: Annotated[str | None, typer.Argument(metavar="[RIGHT]", help="The other place.", show_default=False)] = None,
    *,
    two_way: Annotated[bool, _flag(_DIRECTION, "--two-way", text="Changes travel both ways (the default).")] = False,
    push: Annotated[bool, _flag(_DIRECTION, "--push", text="Make the right like the left.")] = False,
    upload_only: Annotated[bool, _flag(_DIRECTION, "--upload-only", text="The same as --push.")] = False,
    pull: Annotated[bool, _flag(_DIRECTION, "--pull", text="Make the left like the right.")] = False,
    download_only: Annotated[bool, _flag(_DIRECTION, "--download-only", text="The same as --pull.")] = False,
    prefer: Annotated[
        str | None,
        _value(
            _DIRECTION,
            "--prefer",
            metavar="SIDE",
            text="Who wins where both sides changed: right (the default), left, newer, older, larger, smaller or none.",
        ),
    ] = None,
    delete: Annotated[
        bool,
        _flag(_DIRECTION, "--delete", text="Let deletions travel too; without it, what is missing is copied back."),
    ] = False,
    keep_loser: Annotated[
        bool, _flag(_DIRECTION, "--keep-loser", text="Keep a conflict's loser beside the winner.")
    ] = False,
    include: Annotated[
        list[str] | None, _value(_SCOPE, "--include", metavar="GLOB", text="Only what matches; may be repeated.")
    ] = None,
    exclude: Annotated[
        list[str] | None,
        _value(_SCOPE, "--exclude", metavar="GLOB", text="Not what matches (as in .gitignore); may be repeated."),
    ] = None,
    compare: Annotated[
        str | None, _value(_SCOPE, "--compare", metavar="HOW", text="md5 (the default), size-mtime or size.")
    ] = None,
    max_delete: Annotated[
        str | None,
        _value(_SAFETY, "--max-delete", metavar="N|N%", text="Refuse to delete more than this on a side [50%]."),
    ] = None,
    force: Annotated[bool, _flag(_SAFETY, "--force", text="Do it although a guard would refuse.")] = False,
    no_trash: Annotated[
        bool, _flag(_SAFETY, "--no-trash", text="Do not keep what is replaced or deleted: no undo.")
    ] = False,
    release: Annotated[bool, _flag(_SAFETY, "--release", text="Let go of the keys an undo holds.")] = False,
    dry_run: Annotated[
        bool, _flag(_SAFETY, "--dry-run", "-n", text="Print what would be done, and do nothing.")
    ] = False,
    check: Annotated[bool, _flag(_SAFETY, "--check", text="A dry run that exits 5 on differences.")] = False,
    inventory: Annotated[
        bool,
        _flag(
            _SAFETY,
            "--inventory",
            text="With --dry-run or --check: list what has inventory reports by the newest of them.",
        ),
    ] = False,
    explain: Annotated[
        str | None,
        _value(_SAFETY, "--explain", metavar="KEY", text="Say why this key is copied, skipped, held or excluded."),
    ] = None,
    workers: Annotated[
        int | None,
        _value(_SPEED, "--workers", metavar="N", text="Transfers at once [32; 96 with a bucket, 128 with SFTP]."),
    ] = None,
    bwlimit: Annotated[
        str | None, _value(_SPEED, "--bwlimit", metavar="RATE", text="Bytes a second over all transfers, like 2MiB.")
    ] = None,
    on: Annotated[
        str | None,
        _value(
            _SPEED,
            "--on",
            metavar="celery",
            text="Let the workers of the broker do it, each a range of keys at a time; both places must be buckets.",
        ),
    ] = None,
    preserve: Annotated[
        str | None,
        _value(
            _OUTPUT,
            "--preserve",
            metavar="WHAT",
            text="What goes along with the bytes: mtime, metadata, content-type, or several with commas between.",
        ),
    ] = None,
    watch: Annotated[
        bool,
        _flag(
            _WATCHING,
            "--watch",
            text="Go on until stopped: whenever a local folder changes, and every --poll for what changes elsewhere.",
        ),
    ] = False,
    poll: Annotated[
        str | None, _value(_WATCHING, "--poll", metavar="TIME", text="How often --watch looks at everything [30s].")
    ] = None,
    plan_out: Annotated[
        Path | None, _value(_OUTPUT, "--plan-out", metavar="FILE", text="Save the plan, for: trueup apply FILE.")
    ] = None,
    items_out: Annotated[
        Path | None, _value(_OUTPUT, "--items-out", metavar="FILE", text="Write every item as a JSON line.")
    ] = None,
) -> int:
    """Bring two places into agreement.

    Each place is a folder, a URL (s3://, r2://, gs://, az://, sftp://, fsspec+ftp://, ...) or the name of a
    [stores.NAME] of the settings file. One word alone is a job: a [sync.NAME]. Options given here override the job's.
    """
    given = {name: value for name, value in locals().items() if name != "ui"}
    listener = Listener(ui)
    ui.failure_document = _failed("sync", listener, left, right or "", "two-way")
    _check_outputs(plan_out, items_out)
    _check_watch(given)
    _check_on(given)
    _check_inventory(given)
    settings = ui.settings()
    left, right, config = _pair(settings, left, right, given)
    ui.failure_document = _failed("sync", listener, left, right, config.mode)
    if explain is not None:
        return _explain(ui, settings, left, right, explain, config)
    if watch:
        return _watch(ui, listener, settings, left, right, config, poll)
    from trueup.sync import verbs

    with _workers(on, settings) as spread, running(ui, listener, plan_out, items_out) as outputs:
        run = verbs.sync(
            left,
            right,
            config=config,
            settings=settings,
            dry_run=dry_run or check,
            inventory=inventory,
            outputs=outputs,
            workers=spread,
        )
    _report(ui, run, undoable=config.trash)
    return 5 if check and run.differences and run.exit_code == 0 else run.exit_code


def apply(
    ui: Ui,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `sync --plan-out` wrote.", show_default=False)],
) -> int:
    """Apply a saved plan, each item only where it still is as planned.

    The plan is checked again as if a stranger had written it, and the guards run again.
    """
    from trueup.runs import new_run_id
    from trueup.sync import verbs
    from trueup.sync.plan import Plan

    listener = Listener(ui)
    ui.failure_document = _failed("sync", listener, "", "", "two-way")
    settings = ui.settings()
    try:
        lines = file.open(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the plan {file} cannot be read: {error.strerror}") from error
    with lines, Plan.load(lines, folder=settings.home / "plans", run=new_run_id()) as plan:
        header = plan.header
        ui.failure_document = _failed("sync", listener, header.left, header.right, header.config.mode)
        with running(ui, listener) as outputs:
            run = verbs.apply(plan, settings=settings, outputs=outputs)
    _report(ui, run, undoable=header.config.trash)
    return run.exit_code


def undo(
    ui: Ui,
    run: Annotated[str, typer.Argument(metavar="RUN", help="The id of the run, or its beginning: see `trueup runs`.")],
) -> int:
    """Take a run back, each item only where it still is as the run left it.

    What was taken back is held: later syncs skip it until a side changes, or --release.
    """
    from trueup.cli.reconciling import undo_quarantine
    from trueup.sync.undo import undo as undo_run

    settings = ui.settings()
    if (code := undo_quarantine(ui, run)) is not None:
        return code
    listener = Listener(ui)
    ui.failure_document = _failed("undo", listener, "", "", "two-way")
    with running(ui, listener) as outputs:
        undone = undo_run(run, settings=settings, outputs=outputs)
    _report(ui, undone)
    return undone.exit_code


def _check_outputs(plan_out: Path | None, items_out: Path | None) -> None:
    """The last file written would take the place of the first one."""
    if plan_out is None or items_out is None:
        return
    same = os.path.realpath(plan_out) == os.path.realpath(items_out)
    if same or (plan_out.exists() and items_out.exists() and plan_out.samefile(items_out)):
        raise UsageError(f"--plan-out and --items-out both name {plan_out}", cure="Give each a file of its own")


def _check_watch(given: Mapping[str, Any]) -> None:
    """What is asked or written once makes no sense over and over."""
    if not given["watch"]:
        if given["poll"] is not None:
            raise UsageError("--poll says how often --watch looks", cure="Add --watch, or leave --poll out")
        return
    for name in ("dry_run", "check", "explain", "plan_out", "items_out"):
        if given[name]:
            raise UsageError(f"--{name.replace('_', '-')} and --watch cannot go together", cure="Leave one of them out")


def _check_on(given: Mapping[str, Any]) -> None:
    if given["on"] is None:
        return
    if given["on"] != "celery":
        raise UsageError(f"--on {given['on']} is nothing that could do a sync", cure="Known: celery")
    for name in ("watch", "explain", "inventory"):
        if given[name]:
            raise UsageError(f"--on and --{name} cannot go together", cure="Leave one of them out")


def _workers(on: str | None, settings: Settings) -> AbstractContextManager[Spread | None]:
    """Who does the work; None: this process."""
    if on is None:
        return nullcontext()
    try:
        from trueup.jobs.spread import Spread
    except ModuleNotFoundError as error:
        raise MissingExtra("a sync on many machines", "celery") from error
    return Spread(settings)


def _check_inventory(given: Mapping[str, Any]) -> None:
    """An old listing is no ground to change anything, now or by a plan that is applied later."""
    if not given["inventory"]:
        return
    if given["explain"] is not None or not (given["dry_run"] or given["check"]):
        raise UsageError(
            "--inventory is for --check and --dry-run: an old listing is no ground to change anything",
            cure="Add one of them, or leave --inventory out",
        )
    if given["plan_out"] is not None:
        raise UsageError("a plan made by --inventory cannot be saved", cure="Leave --plan-out or --inventory out")


def _watch(
    ui: Ui, listener: Listener, settings: Settings, left: str, right: str, config: SyncConfig, poll: str | None
) -> int:
    from trueup.cli.watching import Shown
    from trueup.config import parse_seconds
    from trueup.sync.watch import Audience, Pace, watch

    if config.force:  # it is an answer to one refusal, not to all those to come
        raise UsageError(
            "--force and --watch cannot go together: a watch without guards may empty a side unseen",
            cure="Run it once without --watch, then watch without --force",
        )
    pace = Pace() if poll is None else Pace(poll=parse_seconds(poll, where="--poll"))
    shown = Shown(ui, listener, undoable=config.trash)
    with running(ui, listener) as outputs:
        return watch(
            left,
            right,
            config=config,
            settings=settings,
            outputs=outputs,
            audience=Audience(told=shown.told, waiting=shown.waiting),
            pace=pace,
        )


@contextmanager
def running(
    ui: Ui, listener: Listener, plan_out: Path | None = None, items_out: Path | None = None
) -> Iterator[Outputs]:
    """What a run needs from its surroundings: a listener, a stop switch, files to write."""
    from trueup.sync.outputs import Outputs

    switch = StopSwitch(ui)
    with switch.armed(), replacing(plan_out) as plan_file, replacing(items_out) as items_file:
        try:
            yield Outputs(
                listener=listener,
                stopped=switch.stopped,
                plan_out=plan_file,
                items_out=items_file,
                item_line=ui.veil.json,
            )
        except (Refused, StoreError) as error:
            # Ctrl-C reaches helper processes, too; what breaks off because of it is no fault of a store.
            if switch.stopped():
                raise Interrupted(f"stopped; {error.message}") from error
            raise
        finally:
            listener.close()


def _report(ui: Ui, run: SyncRun, *, undoable: bool = True) -> None:
    from trueup.cli import render

    render.show(ui, run, undoable=undoable)
    if run.status == "refused":
        ui.refuse(run.reason or "a guard refused")
    elif run.reason and ui.common.quiet:  # else it was a warning
        ui.refuse(run.reason, status="failed")
    ui.document(run.to_json())


def _explain(ui: Ui, settings: Settings, left: str, right: str, key: str, config: SyncConfig) -> int:
    from trueup import keys
    from trueup.sync.explain import explain

    explanation = explain(left, right, key, config=config, settings=settings)
    ui.out((keys.display(explanation.key), "bold"), f": {keys.display(explanation.verdict)}")
    for line in explanation.lines:
        ui.out(f"  {keys.display(line)}")
    ui.document(explanation.to_json())
    return 0


def _pair(settings: Settings, left: str, right: str | None, given: Mapping[str, Any]) -> tuple[str, str, SyncConfig]:
    """The two places, and the job's options under the flags given."""
    from trueup.config import SyncConfig

    if right is not None:
        return left, right, _overridden(SyncConfig(), given)
    job = settings.jobs.get(left)
    if job is None:
        known = ", ".join(sorted(settings.jobs))
        source = settings.path or "the environment"
        cure = f"Jobs in {source}: {known}" if known else "Name two places: trueup sync LEFT RIGHT"
        raise UsageError(f"there is no job '{left}', and one place alone cannot be synced", cure=cure)
    return job.left, job.right, _overridden(job.options, given)


def _overridden(options: SyncConfig, given: Mapping[str, Any]) -> SyncConfig:
    from trueup.config import parse_size

    # A flag that was not given says nothing: the job's own value stays.
    changed = {name: given[name] for name in _OVERRIDES if not any(given[name] is no for no in (None, False))}
    for name in ("include", "exclude"):
        if patterns := changed.pop(name, None):
            changed[name] = tuple(patterns)
    if given["preserve"] is not None:
        changed["preserve"] = tuple(part.strip() for part in given["preserve"].split(",")) if given["preserve"] else ()
    if given["no_trash"]:
        changed["trash"] = False
    if given["bwlimit"] is not None:
        changed["bwlimit"] = parse_size(given["bwlimit"])
    changed["mode"] = _mode(given, options.mode)
    return replace(options, **changed)


def _mode(given: Mapping[str, Any], default: str) -> str:
    modes = {mode for flag, mode in _MODES.items() if given[flag]}
    if len(modes) > 1:
        raise UsageError(f"--{' and --'.join(sorted(modes))} contradict each other", cure="Give one of them")
    return modes.pop() if modes else default


def _failed(
    job: str, listener: Listener | None, left: str, right: str, mode: str
) -> Callable[[Failure], dict[str, object]]:
    """The JSON of a run that ended with an error: a run's shape, with nothing counted."""

    def document(failure: Failure) -> dict[str, object]:
        from trueup.sync.report import SyncRun

        run = SyncRun(
            run=listener.run if listener else "",
            job=job,
            status=failure.status,
            reason=failure.sentence,
            left=left,
            right=right,
            mode=mode,
        )
        return run.to_json()

    return document


DOCUMENTS: Mapping[str, Callable[[Failure], dict[str, object]]] = {
    command: _failed(job, None, "", "", "two-way")
    for command, job in (("sync", "sync"), ("apply", "sync"), ("undo", "undo"))
}
"""The JSON of these commands where they are used wrongly."""
