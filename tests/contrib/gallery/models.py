from pathlib import Path

from django.conf import settings
from django.core.files.storage import FileSystemStorage, storages
from django.db import models


def vault():
    return storages["vault"]


class Shown(models.Manager):
    def get_queryset(self):
        return super().get_queryset().filter(hidden=False)


class Photo(models.Model):
    file = models.FileField(max_length=200)
    thumbnail = models.ImageField(null=True)
    hidden = models.BooleanField(default=False)
    objects = Shown()

    class Meta:
        base_manager_name = "objects"
        ordering = ("file",)


class Shot(Photo):
    class Meta:
        proxy = True


class Portrait(Photo):
    frame = models.FileField(storage=vault)


class Paged(models.Model):
    page = models.FileField()

    class Meta:
        abstract = True


class Scan(Paged):
    pass


class PaperField(models.FileField):
    pass


class Paper(models.Model):
    file = PaperField(storage=FileSystemStorage(location=Path(settings.MEDIA_ROOT) / "papers"))


class Legacy(models.Model):
    file = models.FileField(db_column="path")

    class Meta:
        managed = False
        db_table = "legacy"
