from django.core.files.storage import Storage, storages
from django.db import models


def library_storage() -> Storage:
    """Asked for when it is needed, so that no migration holds its options."""
    return storages["library"]


class Document(models.Model):
    title = models.CharField(max_length=100)
    file = models.FileField(upload_to="documents/", storage=library_storage)

    def __str__(self) -> str:
        return self.title
