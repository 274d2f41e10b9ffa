"""The admin's form for the bucket's credentials."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django import forms
from django.core.exceptions import ValidationError

from trueup.config import StoreConfig
from trueup.contrib.django.models import StorageCredential
from trueup.contrib.django.sealed import Sealed, Unreadable
from trueup.errors import ConfigError

HIDDEN: Final = ("access_key_id", "secret_access_key")
"""Never shown once they are stored."""


class StorageCredentialForm(forms.ModelForm):  # type: ignore[type-arg] # generic in its stubs only
    """A secret that is stored leaves its field empty, and an empty field keeps it."""

    class Meta:
        """Every value; the secrets as passwords, which a browser does not offer to fill in."""

        model = StorageCredential
        fields = ("access_key_id", "secret_access_key", "endpoint_url", "bucket_name", "region")
        # Here and not in the model, so that other words make no migration.
        help_texts: ClassVar = {
            "access_key_id": "AWS_ACCESS_KEY_ID.",
            "secret_access_key": "AWS_SECRET_ACCESS_KEY.",
            "endpoint_url": "AWS_S3_ENDPOINT_URL, such as https://ACCOUNT.r2.cloudflarestorage.com or "
            "https://s3.eu-central-1.amazonaws.com.",
            "bucket_name": "AWS_STORAGE_BUCKET_NAME.",
            "region": "AWS_S3_REGION_NAME, where the endpoint does not tell it.",
        }
        widgets: ClassVar = {
            name: forms.PasswordInput(attrs={"autocomplete": "new-password", "class": "vTextField"})
            if name in HIDDEN
            else forms.TextInput(attrs={"autocomplete": "off", "class": "vLargeTextField"})
            for name in fields
        }

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - a form takes a dozen of them
        super().__init__(*arguments, **named)
        self._kept: dict[str, Sealed] = {}
        for name, field in self.fields.items():
            value = getattr(self.instance, name)
            self.initial[name] = ""
            if not isinstance(value, Sealed):
                continue
            note = "A value is stored. Leave this empty to keep it."
            try:
                shown = self.instance.opened(name)
            except Unreadable as error:
                note = f"{error}. Leave this empty to keep what is stored."
            else:
                if name not in HIDDEN:
                    self.initial[name] = shown
                    continue
            self._kept[name] = value
            field.help_text = f"{field.help_text} {note}"

    def clean(self) -> dict[str, object]:
        """Keep what was left empty, and say now what could never be used."""
        given: dict[str, object] = super().clean() or self.cleaned_data
        for name, value in self._kept.items():
            if not given.get(name):
                given[name] = value
        bucket, endpoint = given.get("bucket_name"), given.get("endpoint_url")
        if isinstance(bucket, str):
            self._try("bucket_name", bucket, {})
        if isinstance(endpoint, str):
            self._try("endpoint_url", "", {"endpoint": endpoint})
        return given

    def _try(self, name: str, bucket: str, options: dict[str, str]) -> None:
        from trueup.stores.credentials import place

        try:
            if place(StoreConfig(url=f"s3://{bucket or 'bucket'}", options=options), {}).prefix:
                raise ConfigError(f"'{bucket}' is no bucket's name", cure="Give the name alone, without a slash")
        except ConfigError as error:
            self.add_error(name, ValidationError(str(error)))
