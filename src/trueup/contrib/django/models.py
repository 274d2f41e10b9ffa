"""What the app keeps in the database."""

from __future__ import annotations

from datetime import datetime

from django.db import models

from trueup.contrib.django.fields import SealedField
from trueup.contrib.django.sealed import Sealed


class StorageCredential(models.Model):
    """How the bucket is reached: one row, every value encrypted. What is empty comes from the settings or the
    environment."""

    id: models.PositiveSmallIntegerField[int, int] = models.PositiveSmallIntegerField(
        primary_key=True, default=1, editable=False
    )
    access_key_id = SealedField("access key ID", blank=True, default="")
    secret_access_key = SealedField("secret access key", blank=True, default="")
    endpoint_url = SealedField("endpoint URL", blank=True, default="")
    bucket_name = SealedField("bucket name", blank=True, default="")
    region = SealedField("region", blank=True, default="")
    updated_at: models.DateTimeField[datetime, datetime] = models.DateTimeField("last changed", auto_now=True)

    class Meta:
        """One row at most."""

        verbose_name = "storage credentials"
        verbose_name_plural = "storage credentials"
        constraints = (models.CheckConstraint(condition=models.Q(id=1), name="trueup_one_storage_credential"),)

    def __str__(self) -> str:
        return "Storage credentials"

    def opened(self, name: str) -> str:
        """The value of one field, or an empty string. Raises `sealed.Unreadable`."""
        value: Sealed | str = getattr(self, name)
        if not isinstance(value, Sealed):
            return value
        label: str = getattr(self._meta.get_field(name), "verbose_name", name)
        return value.open(f"the {label}")
