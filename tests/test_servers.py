"""The test servers do what the tests rely on. Nothing of trueup is tested here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import opendal
import pytest
from opendal.exceptions import ConditionNotMatch

from tests.servers import Bucket, kinds
from tests.servers.faulty_s3 import FaultyS3
from tests.servers.supervise import alive

NATIVE = {
    "s3": ("bucket", {}),
    "gs": ("bucket", {"anonymous": "allow_anonymous"}),
    "az": ("container", {}),
}
SCHEMES = {"s3": "s3", "gs": "gcs", "az": "azblob"}


def native(url: str, options: dict[str, str]) -> tuple[str, dict[str, str]]:
    """The scheme and the settings OpenDAL wants."""
    scheme, _, name = url.partition("://")
    where, renamed = NATIVE[scheme]
    return SCHEMES[scheme], {where: name} | {renamed.get(key, key): value for key, value in options.items()}


def operator(bucket: Bucket) -> opendal.Operator:
    scheme, settings = native(bucket.url, bucket.options)
    return opendal.Operator(scheme, **settings)


@pytest.fixture(params=["seaweed_bucket", "moto_bucket", "azurite_container", "gcs_bucket"])
def bucket(request) -> Bucket:
    return request.getfixturevalue(request.param)


def test_a_server_writes_lists_and_reads(bucket):
    place = operator(bucket)
    assert [entry.path for entry in place.list("", recursive=True)] == []
    place.write("a/b ü.txt", b"hello")
    place.write("c", b"")
    assert [entry.path for entry in place.list("", recursive=True) if entry.path[-1] != "/"] == ["a/b ü.txt", "c"]
    assert place.read("a/b ü.txt") == b"hello"
    assert place.stat("c").content_length == 0


def test_a_server_takes_an_upload_in_parts(bucket):
    place = operator(bucket)
    body = os.urandom(1 << 20) * 11
    with place.open("big", "wb", chunk=5 << 20, concurrent=2) as file:
        file.write(body)
    assert place.read("big") == body


def test_if_not_exists_is_honoured(bucket):
    place = operator(bucket)
    place.write("once", b"1", if_not_exists=True)
    with pytest.raises(ConditionNotMatch):
        place.write("once", b"2", if_not_exists=True)
    assert place.read("once") == b"1"


def test_gcs_shows_no_md5_for_what_was_uploaded_in_parts(gcs_bucket):
    place = operator(gcs_bucket)
    place.write("single", b"x")
    with place.open("parts", "wb", chunk=5 << 20) as file:
        file.write(b"y" * (11 << 20))
    assert place.stat("single").content_md5
    assert not place.stat("parts").content_md5
    with place.open("never", "wb", chunk=5 << 20, if_not_exists=True) as file:
        file.write(b"z" * (6 << 20))
    with pytest.raises(ConditionNotMatch), place.open("parts", "wb", chunk=5 << 20, if_not_exists=True) as file:
        file.write(b"z" * (6 << 20))


def test_moto_holds_odd_keys(moto_bucket):
    with closing(kinds.s3_client(moto_bucket.options["endpoint"])) as client:
        for key in ("a//b", "./x", "../up", "dir/", "tab\there"):
            client.put_object(Bucket=moto_bucket.name, Key=key, Body=b"x")
    listed = [entry.path for entry in operator(moto_bucket).list("", recursive=True)]
    assert set(listed) == {"a//b", "./x", "../up", "dir/", "tab\there"}


# ----- the faulty server -----


LISTER = """
import json, sys, opendal
settings, = map(json.loads, sys.argv[1:])
place = opendal.Operator("s3", bucket="bucket", **settings)
for n, entry in enumerate(place.list("", recursive=True)):
    print(entry.path, flush=True)
    if n > 20:
        sys.exit("endless")
"""


def listed(server: FaultyS3, *, timeout: float = 30) -> tuple[list[str], str]:
    """What OpenDAL lists, in a process of its own, and what it complained about."""
    done = subprocess.run(
        [sys.executable, "-c", LISTER, json.dumps(server.options)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return done.stdout.split("\n")[:-1], done.stderr


def test_the_faulty_server_is_an_s3_server_while_it_is_let(faulty_s3):
    place = operator(Bucket(url=faulty_s3.url, options=faulty_s3.options))
    faulty_s3.faults.page_size = 2
    for key in ("a/x", "a-b", "k&<>", "ü", "e"):
        place.write(key, key.encode())
    assert listed(faulty_s3) == (["a-b", "a/x", "e", "k&<>", "ü"], "")
    assert [request.page for request in faulty_s3.requests if request.page] == [1, 2, 3]
    assert place.read("k&<>") == b"k&<>"
    with place.open("e", "rb") as file:
        file.seek(0)
        assert file.read() == b"e"
    place.copy("e", "f")
    place.delete("e")
    with pytest.raises(ConditionNotMatch):
        place.write("f", b"2", if_not_exists=True)
    with place.open("big", "wb", chunk=5 << 20) as file:
        file.write(b"y" * (11 << 20))
    assert sorted(faulty_s3.objects) == ["a-b", "a/x", "big", "f", "k&<>", "ü"]
    assert len(faulty_s3.objects["big"]) == 11 << 20
    assert not faulty_s3.uploads


def test_the_faulty_server_lists_any_key_at_all(faulty_s3):
    odd = ["../up", "./x", " a", "a//b", "a\x01b", "dir/", "k" * 1024, "tab\t"]
    faulty_s3.objects |= dict.fromkeys(odd, b"")
    assert listed(faulty_s3)[0] == sorted(odd)


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [("500", "InternalError"), ("html", ""), ("repeat-token", "endless"), ("reset", "Unexpected")],
)
def test_a_page_can_be_spoilt(faulty_s3, fault, complaint):
    faulty_s3.objects |= {f"k{n}": b"" for n in range(5)}
    faulty_s3.faults.page_size = 2
    faulty_s3.faults.pages[2] = fault
    keys, said = listed(faulty_s3)
    assert keys[:2] == ["k0", "k1"]
    assert complaint in said


def test_a_page_can_hang_until_the_test_ends(faulty_s3):
    faulty_s3.objects |= {f"k{n}": b"" for n in range(5)}
    faulty_s3.faults.page_size = 2
    faulty_s3.faults.pages[2] = "hang"
    with pytest.raises(subprocess.TimeoutExpired):
        listed(faulty_s3, timeout=3)


@pytest.mark.parametrize(
    ("code", "status"),
    [("ExpiredToken", 400), ("InvalidAccessKeyId", 403), ("SlowDown", 503), ("NoSuchBucket", 404)],
)
def test_an_error_can_be_wished_for_a_number_of_times(faulty_s3, code, status):
    place = operator(Bucket(url=faulty_s3.url, options=faulty_s3.options))
    faulty_s3.objects["k"] = b"v"
    faulty_s3.faults.fail(code, status, times=2, method="GET")
    for _ in range(2):
        with pytest.raises(Exception, match=code):
            place.read("k")
    assert place.read("k") == b"v"


def test_a_body_can_break_off(faulty_s3):
    place = operator(Bucket(url=faulty_s3.url, options=faulty_s3.options))
    faulty_s3.objects["k"] = b"v" * 1000
    faulty_s3.faults.truncate["k"] = 10
    with pytest.raises(Exception, match="end of file"):
        place.read("k")


# ----- nothing is left behind -----


def test_a_server_ends_with_the_process_it_serves(tmp_path):
    folder = tmp_path / "server"
    folder.mkdir()
    script = Path(__file__).parent / "servers" / "supervise.py"
    owner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    note = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    job = {"watch": owner.pid, "folder": str(folder), "commands": [[sys.executable, "-c", note]]}
    with subprocess.Popen([sys.executable, str(script), json.dumps(job)]) as supervisor:
        deadline = time.monotonic() + 20
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        served = int((tmp_path / "pid").read_text())
        assert alive(served, wait=0)
        owner.kill()
        owner.wait()
        assert supervisor.wait(20) == 0
    assert not alive(served, wait=0)
    assert not folder.exists()


def test_nothing_but_loopback_can_be_reached():
    assert os.environ["HTTPS_PROXY"] == "http://127.0.0.1:9"
    assert not [name for name in os.environ if name.startswith(("AWS_ACCESS", "AWS_PROFILE", "GOOGLE_", "AZURE_"))]
    assert Path.home() != Path("/root")
