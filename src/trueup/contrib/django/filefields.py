"""Every FileField of the installed apps, and the names in its column. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import connections, router
from django.db.models import FileField, QuerySet

_CHUNK = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One FileField in one database."""

    field: FileField
    database: str
    """Its alias."""
    expected: bool
    """Whether the table must be there: it is Django's, and where the application reads it."""

    @property
    def label(self) -> str:
        """`library.Document.file`."""
        return f"{self.field.model._meta.label}.{self.field.name}"  # noqa: SLF001 - Django's documented name

    def names(self) -> Iterator[str]:
        """Every name of a file. Raises what the database raises."""
        return _told(self._values().iterator(chunk_size=_CHUNK))

    def among(self, names: Sequence[str]) -> Iterator[str]:
        """Those of some names that are there now."""
        # A long listing may lie in between, and the server may have hung up.
        connections[self.database].close_if_unusable_or_obsolete()
        return _told(self._values().filter(**{f"{self.field.name}__in": names}))

    def absent(self) -> bool:
        """Whether there is no such table, nor need be. Raises what the database raises."""
        if self.expected:
            return False
        look = connections[self.database].introspection
        table = look.identifier_converter(self.field.model._meta.db_table)  # noqa: SLF001 - as above
        return table not in look.table_names(include_views=True)

    def _values(self) -> QuerySet[Any, Any]:
        # No manager of the model's: any of them may hide rows.
        return QuerySet(self.field.model, using=self.database).order_by().values_list(self.field.attname, flat=True)


def columns() -> Iterator[Column]:
    """Each field once, in every database that may hold its table; a proxy or a child has none of its parent's."""
    for model in apps.get_models():
        meta = model._meta  # noqa: SLF001 - as above
        fields = [field for field in meta.local_concrete_fields if isinstance(field, FileField)]
        if not fields:
            continue
        read = router.db_for_read(model)
        for database in connections:
            if database == read or router.allow_migrate_model(database, model):
                for field in fields:
                    yield Column(field=field, database=database, expected=meta.managed and database == read)


def _told(values: Iterable[object]) -> Iterator[str]:
    """What names a file: a field may be null, or empty."""
    return (str(value) for value in values if value)
