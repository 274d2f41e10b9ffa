"""A Django project inside the test process: settings once, a database of its own for each test.

`settings.configure` leaves the process's time zone alone, and `LOGGING_CONFIG = None` its logging; Django is told
nothing else that other tests could notice.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import django
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import Client, override_settings

from tests.docs.pages import ROOT

SECRET = "the-secret-key-of-the-tests"  # not the one of any site

settings.configure(
    SECRET_KEY=SECRET,
    ALLOWED_HOSTS=["testserver"],
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
        "trueup.contrib.django",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[
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
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "no-test-uses-this.db"}},
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    ROOT_URLCONF="tests.contrib.urls",
    STATIC_URL="static/",
    USE_TZ=True,
    LOGGING_CONFIG=None,
)
django.setup()

EXAMPLE = ROOT / "examples" / "django_site"


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with every table, made by the real migrations."""
    path = tmp_path_factory.mktemp("django") / "db.sqlite3"
    connection.settings_dict["NAME"] = str(path)
    call_command("migrate", verbosity=0)
    connection.close()
    return path


@pytest.fixture
def database(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file of this test's own database."""
    path = tmp_path_factory.mktemp("database") / "db.sqlite3"
    shutil.copy(migrated, path)
    connection.settings_dict["NAME"] = str(path)
    yield path
    connection.close()


@pytest.fixture
def site(database: Path, tmp_path: Path) -> Iterator[Path]:
    """A site with a file in each root, whose bucket is the folder `bucket`."""
    for name in ("static", "media"):
        (tmp_path / name).mkdir()
    (tmp_path / "static" / "site.css").write_text("body {}")
    (tmp_path / "media" / "cat.jpg").write_text("cat")
    with override_settings(
        STATIC_ROOT=str(tmp_path / "static"),
        MEDIA_ROOT=str(tmp_path / "media"),
        TRUEUP_BUCKET=f"file://{tmp_path / 'bucket'}",
    ):
        yield tmp_path


@pytest.fixture
def admin(database: Path) -> Client:
    """A browser in which an administrator is logged in."""
    from django.contrib.auth import get_user_model

    user = get_user_model().objects.create_superuser("ann", "ann@example.com", "a-password")
    client = Client()
    client.force_login(user)
    return client


Manage = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def manage(tmp_path: Path) -> Manage:
    """`manage.py` of the example, as a real process; what it keeps lies in `tmp_path / "var"`."""

    def run(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", str(EXAMPLE / "manage.py"), *words],
            env=os.environ | {"SITE_VAR": str(tmp_path / "var")} | environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    (tmp_path / "var").mkdir()
    return run
