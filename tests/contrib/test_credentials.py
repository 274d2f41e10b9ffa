"""Credentials: encrypted in the database, readable after the key was rotated, and looked for in three places."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.test import override_settings

from tests.contrib.conftest import SECRET
from trueup.contrib.django import credentials
from trueup.contrib.django.models import StorageCredential
from trueup.contrib.django.sealed import PREFIX, Sealed, Unreadable, seal
from trueup.errors import ConfigError

WHOLE = {
    "AWS_ACCESS_KEY_ID": "id",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_S3_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_STORAGE_BUCKET_NAME": "bucket",
}


def stored() -> StorageCredential:
    return StorageCredential.objects.get()


def test_values_are_encrypted_in_the_database_and_come_back(database: Path):
    StorageCredential.objects.create(secret_access_key="a-long-secret", bucket_name="my-bucket")
    with connection.cursor() as cursor:
        row = cursor.execute("SELECT * FROM trueup_storagecredential").fetchone()
    assert sum(str(value).startswith(PREFIX) for value in row) == 2
    connection.close()
    held = database.read_bytes()
    assert b"a-long-secret" not in held
    assert b"my-bucket" not in held
    assert (stored().opened("secret_access_key"), stored().opened("bucket_name")) == ("a-long-secret", "my-bucket")
    assert stored().opened("endpoint_url") == ""


def test_a_value_shows_itself_nowhere(database: Path):
    made = StorageCredential.objects.create(secret_access_key="a-long-secret")
    for row in (made, stored()):
        assert "a-long-secret" not in f"{row} {row!r} {row.secret_access_key} {row.secret_access_key!r}"
        assert row.secret_access_key.token not in repr(row.secret_access_key)


def test_saving_again_changes_nothing_and_encrypts_nothing_twice(database: Path):
    StorageCredential.objects.create(secret_access_key="a-long-secret")
    before = stored().secret_access_key
    stored().save()
    assert stored().secret_access_key == before


def test_there_is_one_row(database: Path):
    StorageCredential.objects.create(bucket_name="one")
    with pytest.raises(DatabaseError):
        StorageCredential.objects.create(bucket_name="two")
    with pytest.raises(DatabaseError):
        StorageCredential.objects.create(id=2, bucket_name="two")


def test_a_fixture_holds_tokens_and_loads_again(database: Path, tmp_path: Path):
    StorageCredential.objects.create(secret_access_key="a-long-secret")
    dumped = io.StringIO()
    call_command("dumpdata", "trueup", stdout=dumped)
    assert "a-long-secret" not in dumped.getvalue()
    assert json.loads(dumped.getvalue())[0]["fields"]["secret_access_key"].startswith(PREFIX)
    StorageCredential.objects.all().delete()
    (tmp_path / "dump.json").write_text(dumped.getvalue())
    call_command("loaddata", str(tmp_path / "dump.json"), verbosity=0)
    assert stored().opened("secret_access_key") == "a-long-secret"


def test_a_value_stays_readable_when_the_secret_key_was_rotated(database: Path):
    StorageCredential.objects.create(secret_access_key="a-long-secret")
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["newer-than-old", SECRET]):
        row = stored()
        assert row.opened("secret_access_key") == "a-long-secret"
        row.secret_access_key = "a-long-secret"
        row.save()
    with override_settings(SECRET_KEY="new"):
        assert stored().opened("secret_access_key") == "a-long-secret"


def test_a_key_of_its_own_makes_values_independent_of_the_secret_key(database: Path):
    StorageCredential.objects.create(bucket_name="older")
    with override_settings(TRUEUP_CREDENTIALS_KEY="own"):
        row = stored()
        assert row.opened("bucket_name") == "older"
        row.secret_access_key = "a-long-secret"
        row.save()
    with override_settings(TRUEUP_CREDENTIALS_KEY=["newest", "own"], SECRET_KEY="another"):
        assert stored().opened("secret_access_key") == "a-long-secret"
    with override_settings(TRUEUP_CREDENTIALS_KEY="wrong"), pytest.raises(Unreadable):
        stored().opened("secret_access_key")


def test_a_value_under_an_unknown_key_is_one_clear_error_with_its_cure(database: Path):
    StorageCredential.objects.create(**dict.fromkeys(credentials.COLUMNS.values(), "a-value"))
    with override_settings(SECRET_KEY="another"), pytest.raises(Unreadable) as caught:
        credentials.find({})
    assert "the access key ID in the database cannot be decrypted" in str(caught.value)
    assert "SECRET_KEY_FALLBACKS" in str(caught.value)
    assert caught.value.exit_code == 2


def test_the_derivation_is_fixed():
    # Made by the first version: whoever changes the derivation makes every stored value unreadable.
    token = "gAAAAABrAdww3gA8lnjw6c8etCLXuxNSMVUrtlZOewTec3MwRs3oddDqEuMom9kiQZHmjScW-YIJpV-Z_A1wECdKlLtGfadRZQ=="
    with override_settings(SECRET_KEY="fixed"):
        assert Sealed(PREFIX + token).open() == "a value"
        assert seal("a value") != seal("a value"), "the same value twice does not look the same"


def test_the_database_beats_the_settings_and_they_beat_the_environment(database: Path):
    assert credentials.find(WHOLE).values == WHOLE
    with override_settings(AWS_STORAGE_BUCKET_NAME="from-settings", AWS_S3_REGION_NAME="eu-central-1"):
        StorageCredential.objects.create(secret_access_key="from-database")
        assert credentials.find(WHOLE).values == WHOLE | {
            "AWS_SECRET_ACCESS_KEY": "from-database",
            "AWS_STORAGE_BUCKET_NAME": "from-settings",
            "AWS_S3_REGION_NAME": "eu-central-1",
        }


def test_a_session_token_belongs_to_the_key_of_its_own_place(database: Path):
    environ = WHOLE | {"AWS_SESSION_TOKEN": "token"}
    assert credentials.bucket(environ).options["session_token"] == "token"
    StorageCredential.objects.create(secret_access_key="from-database")
    assert "session_token" not in credentials.bucket(environ).options


def test_a_database_without_the_table_does_not_hide_the_environment(tmp_path: Path):
    connection.settings_dict["NAME"] = str(tmp_path / "empty.sqlite3")
    try:
        assert credentials.bucket(WHOLE).url == "s3://bucket"
        with pytest.raises(ConfigError, match=r"has `python manage.py migrate` run"):
            credentials.bucket({})
    finally:
        connection.close()


def test_the_migrations_are_complete(database: Path):
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


def test_without_the_extra_one_line_names_it():
    # As where only Django is installed: a process in which cryptography cannot be imported.
    code = (
        "import sys\nsys.modules['cryptography'] = None\nsys.modules['cryptography.fernet'] = None\n"
        "from django.conf import settings\nsettings.configure(SECRET_KEY='x')\n"
        "from trueup.contrib.django.sealed import seal\nfrom trueup.errors import MissingExtra\n"
        "try:\n    seal('x')\nexcept MissingExtra as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert "pip install 'trueup[django]'" in done.stdout, done.stderr
