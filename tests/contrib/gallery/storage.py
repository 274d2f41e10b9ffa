"""Storages with the attributes that those of django-storages have."""

from django.core.files.storage import Storage


class Attributes(Storage):
    def __init__(self, known: dict[str, object], given: dict[str, object]) -> None:
        for name, value in (known | given).items():
            setattr(self, name, value)


class S3Storage(Attributes):
    def __init__(self, **given: object) -> None:
        names = "bucket_name access_key secret_key security_token session_profile region_name endpoint_url"
        super().__init__(dict.fromkeys([*names.split(), "addressing_style"]) | {"location": ""}, given)


class GoogleCloudStorage(Attributes):
    def __init__(self, **given: object) -> None:
        super().__init__(dict.fromkeys(["bucket_name", "project_id", "credentials"]) | {"location": ""}, given)


class AzureStorage(Attributes):
    def __init__(self, **given: object) -> None:
        names = "account_name account_key azure_container sas_token token_credential connection_string"
        known = {"location": "", "azure_ssl": True, "endpoint_suffix": "core.windows.net"}
        super().__init__(dict.fromkeys(names.split()) | known, given)
