"""A small site. What it keeps lies in var/, the bucket included."""

import os
from pathlib import Path

BASE = Path(__file__).resolve().parent.parent
VAR = Path(os.environ.get("SITE_VAR", BASE / "var"))

SECRET_KEY = os.environ.get("SITE_SECRET_KEY", "only-for-this-example-on-this-machine")
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "mysite.urls"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "trueup.contrib.django",
    "library",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": VAR / "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATIC_ROOT = VAR / "static"
MEDIA_URL = "media/"
MEDIA_ROOT = VAR / "media"

# A folder stands for the bucket, so no cloud account is needed. With SITE_BUCKET="" the bucket is the one whose
# credentials are in the admin.
TRUEUP_BUCKET = os.environ.get("SITE_BUCKET", f"file://{VAR / 'bucket'}")
TRUEUP_HOME = VAR / "trueup"

# Uploads of the app `library` never lie on this machine: they go straight into a place of trueup's.
LIBRARY_URL = "library-files/"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "library": {
        "BACKEND": "trueup.contrib.django.storage.TrueupStorage",
        "OPTIONS": {"store": f"file://{VAR / 'library'}", "base_url": f"/{LIBRARY_URL}"},
    },
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(levelname)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {"trueup.sync": {"handlers": ["console"], "level": "INFO", "propagate": False}},
}
