"""Storages with the attributes that those of django-storages have."""

from django.core.files.storage import Storage
from django.utils.deconstruct import deconstructible


class Attributes(Storage):
    defaults = {}

    def __init__(self, **options):
        for name, value in (self.defaults | options).items():
            setattr(self, name, value)


@deconstructible
class S3Storage(Attributes):
    defaults = dict.fromkeys(
        (
            *("bucket_name", "access_key", "secret_key", "security_token", "session_profile", "region_name"),
            *("endpoint_url", "addressing_style"),
        )
    ) | {"location": ""}


@deconstructible
class GoogleCloudStorage(Attributes):
    defaults = {"bucket_name": None, "project_id": None, "credentials": None, "location": ""}


@deconstructible
class AzureStorage(Attributes):
    defaults = dict.fromkeys(
        ("account_name", "account_key", "azure_container", "sas_token", "token_credential", "connection_string")
    ) | {"location": "", "azure_ssl": True, "endpoint_suffix": "core.windows.net"}
