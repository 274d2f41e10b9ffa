"""What a cloud URL, its options and the environment mean: a `Place`. Pure; nothing is contacted, no client is imported.

Names of variables are those each ecosystem uses itself: the AWS and Google SDKs, the Azure CLI, Cloudflare's examples.
What is given here explicitly wins; what is not (profiles, SSO, instance and pod roles, application default credentials,
managed identity) the client looks up in the usual places by itself.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from trueup.config import StoreConfig, parse_seconds
from trueup.errors import ConfigError
from trueup.stores.place import Place

_COMMON: Final = (
    "endpoint",
    "anonymous",
    "timeout",
    "retries",
    "cache_control",
    "content_type",
    "byte_ordered",
    "concurrency",
)
_S3: Final = (
    "access_key_id",
    "secret_access_key",
    "session_token",
    "profile",
    "region",
    "role_arn",
    "external_id",
    "virtual_host_style",
    "storage_class",
    "acl",
    "request_payer",
    "checksum",
    "server_side_encryption",
    "server_side_encryption_aws_kms_key_id",
    "server_side_encryption_customer_algorithm",
    "server_side_encryption_customer_key",
    "server_side_encryption_customer_key_md5",
)
_OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "s3": _S3,
    "r2": ("account_id", *_S3),
    "gs": ("credential_path", "credential", "token", "service_account", "storage_class", "acl"),
    "az": (
        "connection_string",
        "account_name",
        "account_key",
        "sas_token",
        "encryption_key",
        "encryption_key_sha256",
        "encryption_algorithm",
    ),
}
_RENAMED: Final = {
    "storage_class": "default_storage_class",
    "checksum": "checksum_algorithm",
    "virtual_host_style": "enable_virtual_host_style",
    "request_payer": "enable_request_payer",
    "anonymous": "skip_signature",
}
SECRET: Final = frozenset(
    "access_key_id secret_access_key session_token account_key sas_token connection_string credential token "
    "server_side_encryption_customer_key encryption_key external_id".split()
)

# https://learn.microsoft.com/azure/storage/common/storage-use-azurite: published with the emulator, not a secret
_AZURITE_ACCOUNT: Final = "devstoreaccount1"
_AZURITE_KEY: Final = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def place(config: StoreConfig, environ: Mapping[str, str]) -> Place:
    """The place a `[stores.NAME]`, or a bare URL, means. Raises `ConfigError`."""
    found = re.fullmatch(r"(s3|r2|gs|az)://([^/]*)/?(.*)", config.url, re.DOTALL | re.IGNORECASE)
    if not found:
        raise ConfigError(f"{config.url} is not the URL of a bucket", cure="Write it like s3://bucket/prefix")
    scheme, bucket, prefix = found[1].lower(), found[2], found[3].strip("/")
    where = f"[stores.{config.name}]" if config.name else config.url
    if not re.fullmatch(r"[A-Za-z0-9$][A-Za-z0-9._:-]*", bucket):
        cure = f"Write it like {scheme}://bucket/prefix; credentials and endpoints are options, not parts of the URL"
        raise ConfigError(
            f"{where} names no bucket" if not bucket else f"{where}: the bucket's name is unusable", cure=cure
        )
    segments = prefix.split("/") if prefix else []
    if any(segment in {"", ".", ".."} for segment in segments) or prefix != prefix.strip() or "\0" in prefix:
        raise ConfigError(f"{where}: the prefix {prefix!r} cannot be addressed", cure="Use a plain folder name")
    known = (*_OPTIONS[scheme], *_COMMON)
    for name in config.options:
        if name not in known:
            raise ConfigError(
                f"{where}: the option '{name}' is unknown", cure=f"Known: url, {', '.join(sorted(known))}"
            )
    given = {name: value for name, value in config.options.items() if value}
    options, identity, ordered = _BUILD[scheme](given, environ, bucket, where)
    options["container" if scheme == "az" else "bucket"] = bucket
    options["root"] = f"/{prefix}/" if prefix else "/"
    if _flag(given, "anonymous", where) or options.get("skip_signature") == "true":
        options["skip_signature"] = "true"
    else:
        options.pop("skip_signature", None)
    if identity.startswith("r2:"):
        scheme, identity = "r2", identity.removeprefix("r2:")
    at = f"@{identity}" if identity else ""
    return Place(
        scheme=scheme,
        service={"gs": "gcs", "az": "azblob"}.get(scheme, "s3"),
        bucket=bucket,
        prefix=f"{prefix}/" if prefix else "",
        url=f"{scheme}://{bucket}{at}/{prefix}".rstrip("/"),
        options=options,
        # Longest first, so that a secret inside another leaves no remainder.
        secrets=tuple(
            sorted(
                {
                    value
                    for name, value in (*options.items(), *given.items())
                    if name in SECRET and value not in {_AZURITE_KEY, ""}
                },
                key=len,
                reverse=True,
            )
        ),
        timeout=parse_seconds(given.get("timeout", "30s"), where=f"{where}: timeout"),
        retries=_whole(given.get("retries", "3"), "retries", range(21), where),
        concurrency=_whole(given["concurrency"], "concurrency", range(1, 257), where) if "concurrency" in given else 0,
        cache_control=given.get("cache_control"),
        content_type=given.get("content_type"),
        byte_ordered=_flag(given, "byte_ordered", where) if "byte_ordered" in given else ordered,
    )


def _passed(given: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    return {_RENAMED.get(name, name): given[name] for name in (*names, "anonymous") if name in given}


def _first(environ: Mapping[str, str], *names: str) -> str:
    return next((environ[name] for name in names if environ.get(name)), "")


def _s3(
    given: Mapping[str, str], environ: Mapping[str, str], bucket: str, where: str
) -> tuple[dict[str, str], str, bool]:
    return _s3_like(
        given,
        environ,
        bucket,
        where,
        endpoint=_chosen(given, environ, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        keys=_aws_keys(environ),
    )


def _r2(
    given: Mapping[str, str], environ: Mapping[str, str], bucket: str, where: str
) -> tuple[dict[str, str], str, bool]:
    account = given.get("account_id") or environ.get("R2_ACCOUNT_ID", "")
    endpoint = _chosen(given, environ, "R2_ENDPOINT_URL")
    if not endpoint.url and account:
        setting = "account_id" if given.get("account_id") else "R2_ACCOUNT_ID"
        endpoint = _Endpoint(setting, f"https://{account}.r2.cloudflarestorage.com")
    if not endpoint.url:
        endpoint = _chosen({}, environ, "AWS_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    if not endpoint.url:
        raise ConfigError(f"{where}: R2 needs an account", cure="Set R2_ACCOUNT_ID, or the option endpoint")
    keys = {
        "access_key_id": environ.get("R2_ACCESS_KEY_ID", ""),
        "secret_access_key": environ.get("R2_SECRET_ACCESS_KEY", ""),
    }
    if not any(keys.values()) and not environ.get("AWS_S3_BUCKET_NAME"):  # else the AWS_* ones belong to S3
        keys = _aws_keys(environ)
    return _s3_like({"region": "auto", **given}, environ, bucket, where, endpoint=endpoint, keys=keys)


def _aws_keys(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        "access_key_id": environ.get("AWS_ACCESS_KEY_ID", ""),
        "secret_access_key": environ.get("AWS_SECRET_ACCESS_KEY", ""),
        "session_token": environ.get("AWS_SESSION_TOKEN", ""),
    }


def _s3_like(
    given: Mapping[str, str],
    environ: Mapping[str, str],
    bucket: str,
    where: str,
    *,
    endpoint: _Endpoint,
    keys: Mapping[str, str],
) -> tuple[dict[str, str], str, bool]:
    options = _passed(given, _S3)
    acl = options.pop("acl", "")
    if acl:
        options["default_acl"] = acl
    if not {"access_key_id", "secret_access_key", "profile"} & options.keys() and all(list(keys.values())[:2]):
        options |= {name: value for name, value in keys.items() if value}
    if ("access_key_id" in options) != ("secret_access_key" in options):
        missing = "secret_access_key" if "access_key_id" in options else "access_key_id"
        raise ConfigError(f"{where}: {missing} is missing", cure="Give both, or neither and let the environment speak")
    if "access_key_id" not in options and environ.get("AWS_PROFILE"):
        options.setdefault("profile", environ["AWS_PROFILE"])
    host, url = _endpoint(endpoint, where, bucket)
    region = options.get("region") or _first(environ, "AWS_REGION", "AWS_DEFAULT_REGION")
    if found := re.fullmatch(r"s3[.-]([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?", host):
        region = region or found[1]
    if region or (host and not host.endswith(".amazonaws.com")):
        options["region"] = region or ("auto" if host.endswith(".r2.cloudflarestorage.com") else "us-east-1")
    if url:
        options["endpoint"] = url
    if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        options["disable_ec2_metadata"] = "true"
    if host.endswith(".r2.cloudflarestorage.com"):
        return options, "r2:" + host, True
    vendor = not host or host.endswith(".amazonaws.com")
    # Directory buckets (S3 Express) list in no order: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
    return (
        options,
        "" if vendor else host,
        (vendor or host.endswith(".amazonaws.com.cn")) and not bucket.endswith("--x-s3"),
    )


def _gs(
    given: Mapping[str, str], environ: Mapping[str, str], bucket: str, where: str
) -> tuple[dict[str, str], str, bool]:
    options = _passed(given, _OPTIONS["gs"])
    if acl := options.pop("acl", ""):
        options["predefined_acl"] = acl
    endpoint = _chosen(given, environ, "STORAGE_EMULATOR_HOST")
    emulator = endpoint.setting == "STORAGE_EMULATOR_HOST"
    if emulator and "://" not in endpoint.url:
        endpoint = endpoint._replace(url=f"http://{endpoint.url}")
    host, url = _endpoint(endpoint, where, bucket)
    if url:
        options["endpoint"] = url
    if emulator:
        options["skip_signature"] = "true"
    elif not {"credential", "credential_path", "token"} & options.keys():
        path = environ.get("GOOGLE_APPLICATION_CREDENTIALS", "")
        if path:
            options["credential_path"] = path
    vendor = not host or host.endswith(".googleapis.com")
    return options, "" if vendor else host, vendor


def _az(
    given: Mapping[str, str], environ: Mapping[str, str], _bucket: str, where: str
) -> tuple[dict[str, str], str, bool]:
    options = _passed(given, _OPTIONS["az"])
    options.pop("connection_string", None)
    endpoint = _chosen(given, {})
    explicit = {"account_name", "account_key", "sas_token", "endpoint"} & given.keys()
    text = given.get("connection_string") or ("" if explicit else environ.get("AZURE_STORAGE_CONNECTION_STRING", ""))
    if text:
        parsed, parsed_endpoint = _connection_string(text, where)
        options = parsed | options
        endpoint = endpoint if endpoint.url else _Endpoint("connection_string", parsed_endpoint)
    else:
        for name, variables in (
            ("account_name", ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME")),
            ("account_key", ("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY")),
            ("sas_token", ("AZURE_STORAGE_SAS_TOKEN",)),
        ):
            if name not in options and (value := _first(environ, *variables)):
                options[name] = value
    if options.get("sas_token", "").startswith("?"):
        options["sas_token"] = options["sas_token"][1:]
    host, url = _endpoint(endpoint, where, "")
    account = options.get("account_name") or (host.split(".")[0] if host.endswith(".core.windows.net") else "")
    if not account:
        cure = "Set AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_ACCOUNT, or the option account_name"
        raise ConfigError(f"{where}: Azure needs an account", cure=cure)
    if "account_key" in options and not re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", options["account_key"]):
        raise ConfigError(f"{where}: the account key is not base64", cure="Copy it again from the portal")
    options["account_name"] = account
    options["endpoint"] = url or f"https://{account}.blob.core.windows.net"
    vendor = not host or host == f"{account}.blob.core.windows.net"
    return options, account if vendor else f"{account}.{host}".removesuffix(f"/{account}"), False


def _connection_string(text: str, where: str) -> tuple[dict[str, str], str]:
    """Options and endpoint: https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string ."""
    parts: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        name, equals, value = part.partition("=")
        if not equals:
            raise ConfigError(
                f"{where}: the connection string is unusable", cure="It looks like AccountName=…;AccountKey=…"
            )
        parts[name.lower()] = value
    if parts.get("usedevelopmentstorage", "").lower() == "true":
        options = {"account_name": _AZURITE_ACCOUNT, "account_key": _AZURITE_KEY}
        return options, f"http://127.0.0.1:10000/{_AZURITE_ACCOUNT}"
    names = {"account_name": "accountname", "account_key": "accountkey", "sas_token": "sharedaccesssignature"}
    options = {name: parts[part] for name, part in names.items() if parts.get(part)}
    endpoint = parts.get("blobendpoint", "")
    if not endpoint and "account_name" in options:
        suffix = parts.get("endpointsuffix", "core.windows.net")
        endpoint = f"{parts.get('defaultendpointsprotocol', 'https')}://{options['account_name']}.blob.{suffix}"
    return options, endpoint


class _Endpoint(NamedTuple):
    setting: str
    url: str


def _chosen(given: Mapping[str, str], environ: Mapping[str, str], *variables: str) -> _Endpoint:
    """The endpoint that is set, by the option or the first of the variables."""
    if not given.get("endpoint"):
        for name in variables:
            if environ.get(name):
                return _Endpoint(name, environ[name])
    return _Endpoint("endpoint", given.get("endpoint", ""))


def _endpoint(endpoint: _Endpoint, where: str, bucket: str) -> tuple[str, str]:
    """Host (with its port, and path if any) and the whole endpoint. A pasted URL may end in the bucket's name."""
    setting, text = endpoint
    if not text:
        return "", ""
    if "://" not in text:
        text = f"https://{text}"
    parts = _parsed(text)
    if parts is None:
        shown = "" if "@" in text or "?" in text else f" ({text})"  # either may hold a secret
        raise ConfigError(
            f"{where}: {setting} holds no usable endpoint{shown}", cure="Write it like https://host or http://host:9000"
        )
    path = parts.path.rstrip("/")
    if bucket and path == f"/{bucket}":
        path = ""
    host = parts.netloc.lower().removesuffix(":443" if parts.scheme == "https" else ":80")
    return f"{host}{path}", f"{parts.scheme}://{parts.netloc}{path}"


def _parsed(text: str) -> SplitResult | None:
    """An endpoint that the client's URL parser will take, too: https://url.spec.whatwg.org/#host-parsing ."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
        if ":" in host:
            socket.inet_pton(socket.AF_INET6, host)
        elif host.rpartition(".")[2].isdecimal():
            socket.inet_aton(host)
        elif not re.fullmatch(r"[\w.-]+", host):
            return None
    except (ValueError, OSError):  # brackets that do not close, a port or an address out of range
        return None
    if parts.scheme not in {"http", "https"} or parts.username or parts.query or parts.fragment:
        return None
    return parts


def _flag(given: Mapping[str, str], name: str, where: str) -> bool:
    value = given.get(name, "false").lower()
    if value not in {"true", "false"}:
        raise ConfigError(f"{where}: {name} = '{value}' is neither true nor false")
    return value == "true"


def _whole(text: str, name: str, allowed: range, where: str) -> int:
    if not text.isdecimal() or int(text) not in allowed:
        raise ConfigError(f"{where}: {name} = '{text}' is unusable", cure=f"Use {allowed[0]} to {allowed[-1]}")
    return int(text)


_Build = Callable[[Mapping[str, str], Mapping[str, str], str, str], tuple[dict[str, str], str, bool]]
_BUILD: Final[Mapping[str, _Build]] = {"s3": _s3, "r2": _r2, "gs": _gs, "az": _az}
