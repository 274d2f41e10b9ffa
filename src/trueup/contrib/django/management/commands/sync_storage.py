"""`manage.py sync_storage`."""

from __future__ import annotations

from trueup.contrib.django.management.commands import update_storage


class Command(update_storage.Command):
    """The same verb under the name people know."""

    help = f"The same as update_storage, under the name people know. {update_storage.Command.help}"
