"""`manage.py update_storage`."""

from __future__ import annotations

from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from trueup.config import sync_config
from trueup.contrib.django import places, running, wording
from trueup.errors import TrueupError


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
        for flag, mode, text in (
            ("--two-way", "two-way", "changes travel both ways (the default)"),
            ("--upload-only", "push", "make the bucket like the folders; nothing is written here"),
            ("--download-only", "pull", "make the folders like the bucket; nothing is written there"),
        ):
            direction.add_argument(flag, dest="mode", action="store_const", const=mode, default="two-way", help=text)
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
            config = sync_config({name: options[name] for name in ("mode", "delete", "max_delete", "force")})
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
