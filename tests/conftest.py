"""Every test runs in an environment of its own: empty folders for home and state, no credentials, no way out.

The proxy settings send whatever is not loopback to a port where nobody listens, so nothing can leave the machine.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path

import pytest

from tests.servers import shared
from tests.servers.fixtures import (  # noqa: F401 - fixtures are found by name
    azurite_container,
    azurite_server,
    faulty_s3,
    ftp_folder,
    ftp_server,
    gcs_bucket,
    gcs_server,
    mongo_server,
    mongo_url,
    moto_bucket,
    moto_server,
    new_database,
    postgres_url,
    rclone_folder,
    rclone_server,
    redis_server,
    redis_url,
    seaweed_bucket,
    seaweed_server,
    sftp_folder,
    sftp_server,
    webdav_folder,
    webdav_server,
)

pytest.register_assert_rewrite("trueup.testing")

# Whoever starts the tests in the background of a script has them ignore Ctrl-C, and what they start too.
signal.signal(signal.SIGINT, signal.default_int_handler)

REMOVED = (
    *("AWS_", "AZURE_", "BOTO", "CLOUDSDK_", "GCE_", "GCP_", "GCS_", "GOOGLE_", "R2_", "STORAGE_EMULATOR_"),
    *("ALERT_EMAIL_", "MAILGUN_", "TRUEUP_", "SSH_", "XDG_", "MSI_", "IDENTITY_"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("COLUMNS", "FORCE_COLOR", "NO_COLOR", "HOST", "PORT"),
    # Containers set it. Each of the hundreds of processes here would compile all that it imports.
    "PYTHONDONTWRITEBYTECODE",
)
NOWHERE = "http://127.0.0.1:9"
SET = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "HTTP_PROXY": NOWHERE,
    "HTTPS_PROXY": NOWHERE,
    "http_proxy": NOWHERE,
    "https_proxy": NOWHERE,
    "NO_PROXY": "127.0.0.1,localhost,::1",
    "no_proxy": "127.0.0.1,localhost,::1",
    "HYPOTHESIS_STORAGE_DIRECTORY": str(Path(__file__).parent.parent / ".hypothesis"),
}

# Once for the whole process, for what runs outside a test (servers, session fixtures).
for variable in [name for name in os.environ if name.startswith(REMOVED) and name != "HOSTNAME"]:
    del os.environ[variable]
os.environ.update(SET)
sys.dont_write_bytecode = False


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shared.open_house()


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shared.close_house()


@pytest.fixture(scope="session")
def all_homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where they all lie: pytest would look through thousands of folders to number one more."""
    return tmp_path_factory.mktemp("homes")


@pytest.fixture(autouse=True)
def hermetic(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, all_homes: Path) -> Path:
    """A home and a state folder of the test's own (returned: the home), and `tmp_path` as the working folder, so that
    no `trueup.toml` or `.env` of the developer's is read."""
    home = Path(tempfile.mkdtemp(dir=all_homes))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("TRUEUP_HOME", str(home / "state"))
    monkeypatch.chdir(tmp_path)
    return home
