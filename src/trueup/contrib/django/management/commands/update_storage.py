"""`manage.py update_storage`."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Final

from django.core.management.base import BaseCommand, CommandError

from trueup.config import sync_config
from trueup.contrib.django import places, running, wording
from trueup.errors import TrueupError, UsageError

_MODES: Final = {"two_way": "two-way", "upload_only": "push", "download_only": "pull"}


class Command(BaseCommand):
    """Bring both roots and the bucket into agreement."""

    help = (
        "Bring STATIC_ROOT and static/, MEDIA_ROOT and media/ in the bucket into agreement. Changes travel both ways; "
        "where both sides changed, the bucket wins and what it replaces goes to the trash."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The flags, as those of `trueup sync`."""
        direction = parser.add_mutually_exclusive_group()
        for flag, text in (
            ("--two-way", "changes travel both ways (the default)"),
            ("--upload-only", "make the bucket like the folders; nothing is written here"),
            ("--download-only", "make the folders like the bucket; nothing is written there"),
        ):
            direction.add_argument(flag, action="store_true", help=text)
        parser.add_argument(
            "--delete",
            action="store_true",
            help="let deletions travel, too; without it, what is missing is copied back",
        )
        parser.add_argument("--dry-run", action="store_true", help="print what would be done, and do nothing")
        parser.add_argument(
            "--max-delete", metavar="N|N%", default="50%", help="refuse to delete more than this on a side [50%%]"
        )
        parser.add_argument("--force", action="store_true", help="do it although a guard would refuse")

    def handle(self, **options: object) -> None:
        """Raises `CommandError` with the exit code of the contract unless all is in step."""
        try:
            given = {name: options[name] for name in ("delete", "max_delete", "force")}
            config = sync_config(given | {"mode": _mode(options)})
            pairs, unset, settings = places.pairs()
        except TrueupError as error:
            raise CommandError(str(error), returncode=error.exit_code) from error
        for setting in unset:
            self.stdout.write(f"{setting}: not set, left out")
        results = []
        for result in running.sync_all(pairs, config, settings, dry_run=bool(options["dry_run"])):
            results.append(result)
            if result.run is not None and result.run.status in {"dry-run", "refused"}:
                for line in wording.changes(result.run):
                    self.stdout.write(f"  {line}")
            if result.exit_code == 0:
                self.stdout.write(result.sentence)
        if code := running.exit_code(results):
            raise CommandError("\n".join(each.sentence for each in results if each.exit_code), returncode=code)


def _mode(options: Mapping[str, object]) -> str:
    """What the flags say; `call_command(..., upload_only=True)` never meets the parser that allows only one."""
    chosen = [mode for flag, mode in _MODES.items() if options[flag]]
    if len(chosen) > 1:
        raise UsageError("--two-way, --upload-only and --download-only contradict each other", cure="Give one of them")
    return chosen[0] if chosen else "two-way"
