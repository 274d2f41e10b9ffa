"""A site whose files are kept in several ways. Tests lay JSON over it: the variable GALLERY."""

import json
import os
from pathlib import Path

VAR = Path(os.environ["GALLERY_VAR"])
SECRET_KEY = "the-secret-key-of-the-gallery"
INSTALLED_APPS = ["trueup.contrib.django", "tests.contrib.gallery"]
DATABASES = {
    name: {"ENGINE": "django.db.backends.sqlite3", "NAME": VAR / f"{name}.sqlite3"} for name in ("default", "archive")
}
DATABASE_ROUTERS = ["tests.contrib.gallery.router.Router"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
MEDIA_ROOT = str(VAR / "media")
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "vault": {
        "BACKEND": "trueup.contrib.django.storage.TrueupStorage",
        "OPTIONS": {"store": f"file://{VAR / 'vault'}"},
    },
    "nobody": {"BACKEND": "nowhere.Storage"},
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"file": {"class": "logging.FileHandler", "filename": str(VAR / "storage.log")}},
    "loggers": {"trueup.reconcile": {"handlers": ["file"], "level": "INFO"}},
}

_given = json.loads(os.environ.get("GALLERY", "{}"))
STORAGES |= _given.pop("STORAGES", {})
globals().update(_given)
