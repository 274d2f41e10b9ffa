"""The column type of an encrypted value."""

from __future__ import annotations

from django.db import models

from trueup.contrib.django.sealed import PREFIX, Sealed, seal


class SealedField(models.TextField):  # type: ignore[type-arg] # generic in its stubs only
    """Text that is encrypted whenever it goes into the database, and that comes out of it as `Sealed`, or as an empty
    string: nothing shows it by accident, and a row that cannot be decrypted can still be loaded, shown and saved."""

    def from_db_value(self, value: str, *_: object) -> Sealed | str:
        """A stored value stays sealed until somebody opens it."""
        return Sealed(value) if value else ""

    def to_python(self, value: object) -> object:
        """A value out of a fixture is sealed already."""
        return Sealed(value) if isinstance(value, str) and value.startswith(PREFIX) else value

    def get_prep_value(self, value: Sealed | str | None) -> str:
        """What goes into the column: a token, or nothing."""
        if isinstance(value, Sealed):
            return value.token
        return seal(value).token if value else ""

    def pre_save(self, model_instance: models.Model, add: bool) -> Sealed | str:  # noqa: FBT001, ARG002 - Django's
        """Leave no plain text behind in the object that was saved."""
        value = getattr(model_instance, self.attname)
        if value and not isinstance(value, Sealed):
            value = seal(value)
            setattr(model_instance, self.attname, value)
        return value or ""

    def value_to_string(self, obj: models.Model) -> str:
        """What a fixture holds: the token."""
        return self.get_prep_value(self.value_from_object(obj))
