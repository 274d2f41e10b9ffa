"""What URLs, options and variables mean, without any server."""

from __future__ import annotations

from contextlib import closing

import pytest

from trueup.config import StoreConfig
from trueup.errors import ConfigError, StoreError
from trueup.stores import open_store
from trueup.stores.credentials import Place, place

AZURITE = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
KEYS = {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SECRET-OF-AWS", "AWS_SESSION_TOKEN": "SESSION"}


def made(url: str, environ: dict[str, str] | None = None, **options: str) -> Place:
    return place(StoreConfig(url=url, options=options), environ or {})


def test_s3_takes_what_the_aws_tools_take() -> None:
    found = made("s3://b/p/q/", {**KEYS, "AWS_REGION": "eu-west-1"})
    assert (found.service, found.bucket, found.prefix, found.url) == ("s3", "b", "p/q/", "s3://b/p/q")
    assert found.options == {
        "bucket": "b",
        "root": "/p/q/",
        "access_key_id": "AK",
        "secret_access_key": "SECRET-OF-AWS",
        "session_token": "SESSION",
        "region": "eu-west-1",
    }
    assert found.byte_ordered


def test_options_beat_the_environment_as_a_whole() -> None:
    found = made("s3://b", KEYS, access_key_id="MINE", secret_access_key="mine")
    assert found.options["access_key_id"] == "MINE"
    assert "session_token" not in found.options  # it belongs to the other key
    assert "access_key_id" not in made("s3://b", KEYS, profile="work").options


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_an_endpoint_becomes_part_of_the_name(name: str) -> None:
    found = made("s3://b/p", {name: "http://Host.example:9000/"})
    assert found.url == "s3://b@host.example:9000/p"
    assert found.options["endpoint"] == "http://Host.example:9000"
    assert found.options["region"] == "us-east-1"
    assert not found.byte_ordered
    assert made("s3://b", {name: "http://h:80"}).url == "s3://b@h"


def test_two_spellings_of_one_place_have_one_url() -> None:
    account = {"R2_ACCOUNT_ID": "acc"}
    host = "acc.r2.cloudflarestorage.com"
    urls = {
        made("r2://b/p", account).url,
        made("R2://b/p/", endpoint=f"https://{host}").url,
        made("r2://b/p", account_id="acc").url,
        made("r2://b/p", endpoint=host).url,
        made("r2://b/p", endpoint=f"https://{host}/b").url,
        made("s3://b/p", endpoint=f"https://{host}:443").url,
    }
    assert urls == {f"r2://b@{host}/p"}
    aws = {made("s3://b", endpoint=f"https://s3.{where}amazonaws.com").url for where in ("", "eu-west-1.")}
    assert aws == {"s3://b"}
    assert made("s3://b", endpoint="https://s3.eu-west-1.amazonaws.com").options["region"] == "eu-west-1"


def test_r2_has_keys_of_its_own() -> None:
    account = {"R2_ACCOUNT_ID": "acc"}
    own = {"R2_ACCESS_KEY_ID": "R", "R2_SECRET_ACCESS_KEY": "RS"}
    found = made("r2://b", account | own | KEYS)
    assert (found.options["access_key_id"], found.options["region"]) == ("R", "auto")
    assert "session_token" not in found.options
    assert made("r2://b", account | KEYS).options["access_key_id"] == "AK"
    assert "access_key_id" not in made("r2://b", account | KEYS | {"AWS_S3_BUCKET_NAME": "other"}).options
    assert made("r2://b", {"AWS_S3_ENDPOINT_URL": "https://acc.r2.cloudflarestorage.com"}).scheme == "r2"
    with pytest.raises(ConfigError, match="account"):
        made("r2://b", KEYS)


def test_azure_reads_connection_strings() -> None:
    text = f"DefaultEndpointsProtocol=https;AccountName=acc;AccountKey={AZURITE};EndpointSuffix=core.windows.net"
    found = made("az://c/p", {"AZURE_STORAGE_CONNECTION_STRING": text})
    assert found.url == "az://c@acc/p"
    assert found.options == {
        "container": "c",
        "root": "/p/",
        "account_name": "acc",
        "account_key": AZURITE,
        "endpoint": "https://acc.blob.core.windows.net",
    }
    assert made("az://c", {"AZURE_STORAGE_CONNECTION_STRING": text}, account_name="other").url == "az://c@other"
    sas = made(
        "az://c", connection_string="BlobEndpoint=https://acc.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=x"
    )
    assert (sas.url, sas.options["sas_token"]) == ("az://c@acc", "sv=1&sig=x")
    local = made("az://c", {"AZURE_STORAGE_CONNECTION_STRING": "UseDevelopmentStorage=true"})
    assert (local.url, local.options["account_key"]) == ("az://c@devstoreaccount1.127.0.0.1:10000", AZURITE)


def test_azure_reads_its_tools_variables() -> None:
    found = made("az://c", {"AZURE_STORAGE_ACCOUNT": "acc", "AZURE_STORAGE_KEY": AZURITE})
    assert (found.options["account_key"], found.url) == (AZURITE, "az://c@acc")
    assert "account_key" not in made("az://c", {"AZURE_STORAGE_ACCOUNT": "acc"}).options  # managed identity
    assert (
        made("az://c", {"AZURE_STORAGE_ACCOUNT": "acc", "AZURE_STORAGE_SAS_TOKEN": "?sig=1"}).options["sas_token"]
        == "sig=1"
    )


def test_google_reads_its_tools_variables() -> None:
    found = made("gs://b/p", {"GOOGLE_APPLICATION_CREDENTIALS": "/key.json"})
    assert (found.url, found.options["credential_path"]) == ("gs://b/p", "/key.json")
    emulated = made(
        "gs://b", {"STORAGE_EMULATOR_HOST": "localhost:4443", "GOOGLE_APPLICATION_CREDENTIALS": "/key.json"}
    )
    assert emulated.url == "gs://b@localhost:4443"
    assert emulated.options == {
        "bucket": "b",
        "root": "/",
        "endpoint": "http://localhost:4443",
        "skip_signature": "true",
    }


@pytest.mark.parametrize(
    ("url", "options", "word"),
    [
        ("s3://", {}, "names no bucket"),
        ("s3:///p", {}, "names no bucket"),
        ("s3://key:secret@b/p", {}, "unusable"),
        ("s3://b/../c", {}, "prefix"),
        ("s3://b/a//c", {}, "prefix"),
        ("s3://b", {"acces_key_id": "x"}, "'acces_key_id' is unknown. Known: .*access_key_id"),
        ("gs://b", {"region": "x"}, "'region' is unknown"),
        ("s3://b", {"access_key_id": "x"}, "secret_access_key is missing"),
        ("s3://b", {"secret_access_key": "x"}, "access_key_id is missing"),
        ("s3://b", {"endpoint": "ftp://x"}, "endpoint"),
        ("s3://b", {"endpoint": "http://u:p@x"}, "endpoint"),
        ("s3://b", {"timeout": "soon"}, "timeout"),
        ("s3://b", {"timeout": "0s"}, "timeout"),
        ("s3://b", {"retries": "many"}, "retries"),
        ("s3://b", {"anonymous": "maybe"}, "anonymous"),
        ("az://c", {}, "AZURE_STORAGE_CONNECTION_STRING"),
        ("az://c", {"connection_string": "nonsense"}, "connection string"),
        ("az://c", {"account_name": "a", "account_key": "***"}, "base64"),
    ],
)
def test_what_is_unusable_is_named_with_its_cure(url: str, options: dict[str, str], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        made(url, **options)


@pytest.mark.parametrize(
    "endpoint",
    [
        *("http://256.1.1.1:9000", "http://[bad", "http://[::g]:9000", "http://host:99999", "http://host:many"),
        *("http://a b", "http://:9000", "https://", "http://1.2.3.4.5", "http://a*b"),
    ],
)
def test_an_endpoint_no_client_could_use_is_named_with_its_setting(endpoint: str) -> None:
    for url, variable in (
        ("s3://b", "AWS_ENDPOINT_URL"),
        ("r2://b", "R2_ENDPOINT_URL"),
        ("gs://b", "STORAGE_EMULATOR_HOST"),
    ):
        with pytest.raises(ConfigError, match=f"{url}: {variable} holds no usable endpoint .*. Write it like https://"):
            made(url, {variable: endpoint})
        with pytest.raises(ConfigError, match="endpoint holds no usable endpoint"):
            made(url, endpoint=endpoint)
    with pytest.raises(ConfigError, match="connection_string holds no usable endpoint"):
        made("az://c", connection_string=f"AccountName=a;BlobEndpoint={endpoint}")
    with pytest.raises(ConfigError, match="R2_ACCOUNT_ID holds no usable"):
        made("r2://b", {"R2_ACCOUNT_ID": "my account"})


@pytest.mark.parametrize("host", ["[::1]:9000", "127.1:9000", "10.0.0.1", "under_score:80", "müller.example", "h.1a"])
def test_an_endpoint_a_client_can_use_is_taken(host: str) -> None:
    assert made("s3://b", endpoint=f"http://{host}").options["endpoint"] == f"http://{host}"


def test_an_unusable_endpoint_shows_no_password() -> None:
    for endpoint in ("http://u:hunter2@x", "https://x/?sig=hunter2"):
        with pytest.raises(ConfigError) as raised:
            made("s3://b", endpoint=endpoint)
        assert "hunter2" not in str(raised.value)


def test_secrets_are_shown_nowhere() -> None:
    found = made("s3://b", KEYS)
    assert "SECRET-OF-AWS" not in repr(found) + found.url
    assert found.scrub("a SECRET-OF-AWS, a SESSION") == "a ***, a ***"
    text = f"AccountName=acc;AccountKey={AZURITE[::-1].lstrip('=')}"
    with pytest.raises(ConfigError) as raised:
        made("az://c", connection_string=text + ";rubbish")
    assert "AccountKey=E" not in str(raised.value)


def test_timeouts_and_retries() -> None:
    assert (made("s3://b").timeout, made("s3://b").retries) == (30.0, 3)
    assert made("s3://b", timeout="500ms").timeout == 0.5
    assert made("s3://b", timeout="2m", retries="0").retries == 0
    assert made("s3://b", timeout="2m").timeout == 120


def test_a_missing_region_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with closing(open_store(StoreConfig(url="s3://b"), KEYS)) as store, pytest.raises(StoreError) as caught:
        store.stat("a")
    assert "its region is not known" in caught.value.message
    assert "AWS_REGION" in caught.value.cure
