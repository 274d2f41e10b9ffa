"""The app's configuration."""

from __future__ import annotations

from django.apps import AppConfig


class TrueupConfig(AppConfig):
    """The app; its label is `trueup`."""

    name = "trueup.contrib.django"
    label = "trueup"
    verbose_name = "trueup"
    default_auto_field = "django.db.models.BigAutoField"
