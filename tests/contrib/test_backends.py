"""Which place a storage means: its bucket, its folder in it, and its own credentials."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.files.storage import FileSystemStorage, Storage

from tests.contrib.gallery.storage import AzureStorage, GoogleCloudStorage, S3Storage
from trueup.config import load
from trueup.contrib.django.backends import place_of
from trueup.contrib.django.storage import TrueupStorage


@pytest.mark.parametrize(
    ("storage", "url", "options"),
    [
        (S3Storage(bucket_name="b"), "s3://b", {}),
        (
            S3Storage(bucket_name="b", location="/m/n/", access_key="k", secret_key="s", security_token="t"),
            "s3://b/m/n",
            {"access_key_id": "k", "secret_access_key": "s", "session_token": "t"},
        ),
        (
            S3Storage(bucket_name="b", session_profile="p", region_name="r", addressing_style="virtual"),
            "s3://b",
            {"profile": "p", "region": "r", "virtual_host_style": "true"},
        ),
        (GoogleCloudStorage(bucket_name="b", location="m"), "gs://b/m", {}),
        (AzureStorage(azure_container="c", connection_string="x=y"), "az://c", {"connection_string": "x=y"}),
        (
            AzureStorage(azure_container="c", location="m", account_name="a", account_key="k"),
            "az://c/m",
            {"account_name": "a", "account_key": "k", "endpoint": "https://a.blob.core.windows.net"},
        ),
        (
            AzureStorage(azure_container="c", account_name="a", sas_token="s", azure_ssl=False, endpoint_suffix="h"),
            "az://c",
            {"account_name": "a", "sas_token": "s", "endpoint": "http://a.blob.h"},
        ),
        (TrueupStorage("sftp://host/media"), "sftp://host/media", {}),
    ],
)
def test_a_storage_tells_its_place(storage: Storage, url: str, options: dict[str, str]):
    place = place_of(storage, load())
    assert (place.url, place.options) == (url, options)


def test_a_folder_is_the_same_wherever_it_is_asked_for(tmp_path: Path):
    for storage in (FileSystemStorage(location="media"), TrueupStorage("media")):
        assert place_of(storage, load()).url == str(tmp_path / "media")
