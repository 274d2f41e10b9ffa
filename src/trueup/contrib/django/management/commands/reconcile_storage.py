"""`manage.py reconcile_storage`."""

from __future__ import annotations

import json
from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from trueup.contrib.django import places
from trueup.contrib.django.books import SiteBooks
from trueup.contrib.django.shelves import elsewhere, shelves
from trueup.errors import Interrupted, TrueupError
from trueup.reconcile import ReconcileRun, reconcile
from trueup.reconcile.wording import lines, trouble


class Command(BaseCommand):
    """Compare every FileField with the storage of its files."""

    help = (
        "Compare the file names in every FileField of the installed apps with what lies in their storages. Nothing is "
        "changed, neither in the database nor in a storage."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The flags, as those of `trueup reconcile`."""
        parser.add_argument(
            "--check", action="store_true", help="exit with 5 when something differs; what is missing is not remembered"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON document")
        parser.add_argument(
            "--place", default="", help="look for the files of the default storage in this folder, URL or [stores.NAME]"
        )

    def handle(self, **options: object) -> None:
        """Raises `CommandError` with the exit code of the contract unless every file is where its row says."""
        check = bool(options["check"])
        try:
            done = _reconciled(str(options["place"] or ""), check=check)
        except TrueupError as error:
            raise CommandError(str(error), returncode=error.exit_code) from error
        except OSError as error:  # the state folder, say
            where = f"{error.filename}: " if error.filename else ""
            raise CommandError(f"{where}{error.strerror or error}") from error
        except KeyboardInterrupt:
            raise CommandError("interrupted; nothing was changed", returncode=Interrupted.exit_code) from None
        if options["json"]:
            self.stdout.write(json.dumps(done.to_json()))
        else:
            for line in lines(done):
                self.stdout.write("".join(text for text, _ in line))
            if not done.providers:
                self.stdout.write("no FileField, so nothing to compare")
        if code := done.check_code if check else done.exit_code:
            raise CommandError("\n".join(trouble(done)), returncode=code)


def _reconciled(place: str, *, check: bool) -> ReconcileRun:
    settings = places.read_settings()
    found = elsewhere(place, settings) if place else shelves(settings)
    return reconcile(SiteBooks(found).source(), settings=settings, dry_run=check)
