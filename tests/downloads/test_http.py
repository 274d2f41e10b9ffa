"""Fetching from a server that behaves, and from servers that do not."""

from __future__ import annotations

import base64
import gzip
import hashlib
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from tests.downloads.server import File, Held, Site, answer, redirect, reset
from trueup.downloads import http
from trueup.downloads.base import Fetched
from trueup.downloads.http import fetch
from trueup.errors import AddressRefused, FetchError, FetchUnfinished, NoSpace, StoreError, UsageError
from trueup.urls import connection
from trueup.urls.rules import Rules

DATA = random.Random(7).randbytes(3_000_000)
RULES = Rules(max_size=10_000_000, timeout=timedelta(seconds=30), allow_private=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "fetch"


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch):
    """Waits of no length, where a test is about tries that all fail."""
    monkeypatch.setattr(http, "back_off", lambda _: 0.01)


def get(url: str, folder: Path, rules: Rules = RULES) -> Fetched:
    return fetch(url, folder, rules, heard=lambda *_: None)


def short(seconds: float) -> Rules:
    return Rules(max_size=RULES.max_size, timeout=timedelta(seconds=seconds), allow_private=True)


# ----- all is well


def test_a_file_is_fetched_with_its_name_and_its_progress(site: Site, folder: Path):
    site.pages["/a/file.bin"] = File(DATA)
    heard = []
    found = fetch(site.url("/a/file.bin?token=1"), folder, RULES, heard=lambda *told: heard.append(told))
    assert found == Fetched(path=folder / "body", name="file.bin", size=len(DATA))
    assert found.path.read_bytes() == DATA
    assert heard[0] == (0, None)
    assert heard[-1] == (len(DATA), len(DATA))
    asked = site.seen[0]
    assert asked[":path"] == "/a/file.bin?token=1"
    assert asked["Accept-Encoding"] == "identity"
    assert asked["User-Agent"].startswith("trueup/")
    assert not {"Cookie", "Authorization", "Range"} & asked.keys()


def test_a_file_of_no_bytes_is_one(site: Site, folder: Path):
    site.pages["/file.bin"] = File(b"")
    assert get(site.url(), folder).path.read_bytes() == b""


def test_a_body_of_unknown_length_goes_on_only_where_its_length_is_told(site: Site, folder: Path):
    file = File(DATA)

    def page(request):
        if "Range" in request.headers:
            return answer(request, 206, DATA[1000:2000], Content_Range="bytes 1000-1999/*", ETag='"v1"')
        if len(site.seen) > 1:
            return file(request)
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.send_header("ETag", '"v1"')
        request.end_headers()
        return request.wfile.write(b"3e8\r\n%s\r\n" % DATA[:1000])

    site.pages["/file.bin"] = page
    assert get(site.url(), folder).path.read_bytes() == DATA
    assert site.ranges() == [None, "bytes=1000-", None]


@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_of_unknown_length_is_complete_when_it_ends(site: Site, folder: Path, chunked: bool):
    def page(request):
        request.send_response(200)
        if chunked:
            request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        for start in range(0, len(DATA), 1_000_000):
            part = DATA[start : start + 1_000_000]
            request.wfile.write(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
        request.wfile.write(b"0\r\n\r\n" if chunked else b"")

    site.pages["/file.bin"] = page
    assert get(site.url(), folder).path.read_bytes() == DATA


DAY_BEFORE = format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)


@pytest.mark.parametrize("proof", [{}, {"etag": "", "modified": DAY_BEFORE}], ids=["etag", "date"])
def test_a_complete_body_is_kept_if_the_server_says_that_it_is_the_same(
    site: Site, folder: Path, proof: dict[str, str]
):
    page = site.pages["/file.bin"] = File(DATA, **proof)
    first = get(site.url(), folder)
    page.data = b"sent only to who does not ask whether it changed"
    assert get(site.url(), folder) == first
    assert first.path.read_bytes() == DATA
    assert len(site.seen) == 2


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"etag": '"v2"'}),
        ({"etag": ""}, {"etag": ""}),
        ({"etag": "", "modified": DAY_BEFORE}, {"etag": "", "modified": "Sun, 22 Nov 2020 10:00:00 GMT"}),
    ],
    ids=["other etag", "no proof", "other date"],
)
def test_a_complete_body_that_may_have_changed_is_fetched_anew(
    site: Site, folder: Path, before: dict[str, str], after: dict[str, str]
):
    site.pages["/file.bin"] = File(DATA, **before)
    get(site.url(), folder)
    site.pages["/file.bin"] = File(DATA[::-1], cuts=[1_000_000], **after)
    assert get(site.url(), folder).path.read_bytes() == DATA[::-1]


def test_a_complete_body_is_held_to_the_rules_of_now(site: Site, folder: Path):
    site.pages["/file.bin"] = File(DATA)
    get(site.url(), folder)
    with pytest.raises(AddressRefused):
        get(site.url(), folder, Rules(max_size=RULES.max_size, timeout=RULES.timeout))
    with pytest.raises(FetchError, match="more than the 1000 bytes"):
        get(site.url(), folder, Rules(max_size=1000, timeout=RULES.timeout, allow_private=True))
    assert not (folder / "body").exists()


@pytest.mark.parametrize(
    ("path", "asked"), [("/a b/ü.bin", "/a%20b/%C3%BC.bin"), ("/a%20b?q=x y&r=%C3#top", "/a%20b?q=x%20y&r=%C3")]
)
def test_a_url_is_asked_for_as_a_browser_would(site: Site, folder: Path, path: str, asked: str):
    site.pages["/a%20b/%C3%BC.bin"] = site.pages["/a%20b"] = File(b"x")
    get(site.url(path), folder)
    assert site.seen[0][":path"] == asked


# ----- going on


def test_a_connection_that_breaks_goes_on_where_it_was(site: Site, folder: Path):
    site.pages["/file.bin"] = File(DATA, cuts=[1_000_000, 2_000_000])
    assert get(site.url(), folder).path.read_bytes() == DATA
    first, second, third = site.ranges()
    assert first is None
    assert second == "bytes=1000000-"
    assert third == "bytes=2000000-"
    assert site.seen[1]["If-Range"] == '"v1"'


def test_a_connection_that_is_reset_goes_on_too(site: Site, folder: Path):
    site.pages["/file.bin"] = File(DATA, cuts=[1_000_000], breaking=reset)
    assert get(site.url(), folder).path.read_bytes() == DATA
    assert len(site.seen) == 2


def test_a_later_fetch_goes_on_where_an_earlier_one_broke_off(site: Site, folder: Path, hurried):
    site.pages["/file.bin"] = File(DATA, cuts=[1_500_000, *[0] * 5])
    with pytest.raises(FetchUnfinished, match="could not be fetched") as told:
        get(site.url(), folder)
    assert told.value.retryable
    site.seen.clear()
    site.pages["/file.bin"] = File(DATA)
    assert get(site.url(), folder).path.read_bytes() == DATA
    assert site.ranges() == ["bytes=1500000-"]


def test_a_date_proves_it_where_there_is_no_etag(site: Site, folder: Path):
    then = format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)
    site.pages["/file.bin"] = File(DATA, etag="", modified=then, cuts=[1_000_000])
    assert get(site.url(), folder).path.read_bytes() == DATA
    assert site.seen[1]["If-Range"] == then


@pytest.mark.parametrize("proof", [{"etag": 'W/"v1"'}, {"etag": ""}, {"etag": "", "modified": "now"}])
def test_without_proof_that_it_is_the_same_it_starts_over(site: Site, folder: Path, proof: dict[str, str]):
    if proof.get("modified"):
        proof = {**proof, "modified": format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)}
    site.pages["/file.bin"] = File(DATA, cuts=[1_000_000], **proof)
    assert get(site.url(), folder).path.read_bytes() == DATA
    assert site.ranges() == [None, None]


def test_a_file_that_changes_midway_is_fetched_anew(site: Site, folder: Path):
    file = File(DATA, cuts=[1_000_000])

    def changed(request):
        if len(site.seen) > 1:
            file.data, file.etag = DATA[::-1], '"v2"'
        file(request)

    site.pages["/file.bin"] = changed
    assert get(site.url(), folder).path.read_bytes() == DATA[::-1]
    assert site.ranges() == [None, "bytes=1000000-"]


def test_a_server_that_ignores_ranges_sends_it_all_again(site: Site, folder: Path):
    site.pages["/file.bin"] = File(DATA, cuts=[1_000_000], ranged=False)
    assert get(site.url(), folder).path.read_bytes() == DATA


@pytest.mark.parametrize(
    "lie",
    [
        {"Content_Range": "bytes 5-9/3000000"},
        {"Content_Range": "bytes 1000000-1000004/7"},
        {"Content_Range": "lines 1-2"},
        {"Content_Range": "bytes 1000000-2999999/3000000", "ETag": '"v2"'},
        {},
    ],
)
def test_a_part_that_does_not_fit_is_thrown_away(site: Site, folder: Path, lie: dict[str, str]):
    file = File(DATA, cuts=[1_000_000])
    site.pages["/file.bin"] = lambda request: (
        answer(request, 206, b"wrong", **lie) if "Range" in request.headers else file(request)
    )
    assert get(site.url(), folder).path.read_bytes() == DATA
    assert site.ranges() == [None, "bytes=1000000-", None]


def test_a_server_that_has_no_such_part_is_asked_for_the_whole(site: Site, folder: Path):
    file = File(DATA, cuts=[1_000_000])
    site.pages["/file.bin"] = lambda request: answer(request, 416) if "Range" in request.headers else file(request)
    assert get(site.url(), folder).path.read_bytes() == DATA


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"url": 1, "total": "x"}'])
def test_a_record_that_cannot_be_used_costs_a_new_start(site: Site, folder: Path, record: str):
    folder.mkdir()
    (folder / "body").write_bytes(b"whatever")
    (folder / "body.json").write_text(record)
    site.pages["/file.bin"] = File(DATA)
    assert get(site.url(), folder).path.read_bytes() == DATA


def test_of_another_url_nothing_is_gone_on_with(site: Site, folder: Path):
    site.pages["/file.bin"] = File(DATA)
    site.pages["/other.bin"] = File(DATA[:1000])
    get(site.url(), folder)
    assert get(site.url("/other.bin"), folder).path.read_bytes() == DATA[:1000]


def test_a_server_that_always_breaks_at_the_same_byte_is_given_up(site: Site, folder: Path, hurried):
    site.pages["/file.bin"] = File(DATA, etag="", cuts=[1000] * 99)
    with pytest.raises(FetchUnfinished):
        get(site.url(), folder)
    assert len(site.seen) <= 6


def test_a_server_that_brings_a_little_each_time_is_not_given_up(site: Site, folder: Path, hurried):
    site.pages["/file.bin"] = File(DATA, cuts=[*range(100_000, 3_000_000, 100_000)])
    assert get(site.url(), folder).path.read_bytes() == DATA
    assert len(site.seen) > 20


def test_a_process_that_is_killed_midway_leaves_what_the_next_goes_on_with(site: Site, folder: Path):
    site.pages["/file.bin"] = File(DATA, cuts=[1_000_000], breaking=Held())
    code = (
        "import sys; from datetime import timedelta; from pathlib import Path\n"
        "from trueup.urls.rules import Rules; from trueup.downloads.http import fetch\n"
        "rules = Rules(max_size=10_000_000, timeout=timedelta(seconds=60), allow_private=True)\n"
        "fetch(sys.argv[1], Path(sys.argv[2]), rules, heard=lambda size, _: print(size, flush=True))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, site.url(), str(folder)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert any(int(line) == 1_000_000 for line in process.stdout)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert get(site.url(), folder).path.read_bytes() == DATA
    assert site.ranges() == [None, "bytes=1000000-"]


# ----- what a server announces


def test_a_digest_that_fits_is_fine(site: Site, folder: Path):
    sha, md5 = (base64.b64encode(hashlib.new(name, DATA).digest()).decode() for name in ("sha256", "md5"))
    site.pages["/file.bin"] = File(DATA, headers={"Repr-Digest": f"sha-256=:{sha}:", "Content-MD5": md5})
    assert get(site.url(), folder).size == len(DATA)


@pytest.mark.parametrize("name", ["Content-MD5", "Repr-Digest"])
def test_a_body_with_another_digest_is_not_kept(site: Site, folder: Path, name: str, hurried):
    md5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    site.pages["/file.bin"] = File(DATA, headers={name: md5 if name == "Content-MD5" else f"md5=:{md5}:"})
    with pytest.raises(FetchUnfinished, match="md5 digest"):
        get(site.url(), folder)
    assert not (folder / "body").exists()


def test_more_than_announced_is_not_taken(site: Site, folder: Path):
    site.pages["/file.bin"] = lambda request: answer(request, 200, DATA, Content_Length="300000")
    assert get(site.url(), folder).path.read_bytes() == DATA[:300_000]


def test_a_file_that_announces_too_much_is_refused_before_a_byte_is_taken(site: Site, folder: Path):
    site.pages["/file.bin"] = File(DATA)
    with pytest.raises(FetchError, match="holds 3000000 bytes, more than the 1000 bytes") as told:
        get(site.url(), folder, Rules(max_size=1000, timeout=RULES.timeout, allow_private=True))
    assert not told.value.retryable
    assert not (folder / "body").exists()


def test_a_file_that_grows_too_large_on_its_way_is_thrown_away(site: Site, folder: Path):
    def endless(request):
        request.send_response(200)
        request.end_headers()
        for _ in range(100):
            request.wfile.write(DATA)

    site.pages["/file.bin"] = endless
    with pytest.raises(FetchError, match="more than the 4000000 bytes"):
        get(site.url(), folder, Rules(max_size=4_000_000, timeout=RULES.timeout, allow_private=True))
    assert not (folder / "body").exists()


def test_a_body_that_comes_compressed_all_the_same_is_refused(site: Site, folder: Path):
    site.pages["/page"] = lambda request: answer(request, 200, gzip.compress(b"hello"), Content_Encoding="gzip")
    with pytest.raises(FetchError, match="comes compressed"):
        get(site.url("/page"), folder)


def test_a_compressed_file_that_is_called_compressed_stays_as_it_is(site: Site, folder: Path):
    data = gzip.compress(b"hello")
    site.pages["/a.tar.gz"] = lambda request: answer(request, 200, data, Content_Encoding="gzip")
    assert get(site.url("/a.tar.gz"), folder).path.read_bytes() == data


def test_the_server_may_name_the_file_but_not_its_folder(site: Site, folder: Path):
    site.pages["/file.bin"] = File(b"x", headers={"Content-Disposition": 'attachment; filename="../../.ssh/keys"'})
    found = get(site.url(), folder)
    assert found.name == "keys"
    assert found.path == folder / "body"


@pytest.mark.parametrize("code", [204, 206, 304, 401, 403, 404, 410])
def test_an_answer_that_a_retry_does_not_change_ends_it_at_once(site: Site, folder: Path, code: int):
    site.pages["/file.bin"] = lambda request: answer(request, code)
    with pytest.raises(FetchError, match=f"the server answered {code}") as told:
        get(site.url(), folder)
    assert not told.value.retryable
    assert len(site.seen) == 1


@pytest.mark.parametrize("code", [429, 500, 503])
def test_an_overloaded_server_is_asked_again_when_it_says(site: Site, folder: Path, code: int, hurried):
    at = []

    def busy(request):
        at.append(time.monotonic())
        return answer(request, code, Retry_After="1") if len(at) == 1 else File(DATA)(request)

    site.pages["/file.bin"] = busy
    assert get(site.url(), folder).size == len(DATA)
    assert at[1] - at[0] >= 1


@pytest.mark.parametrize("dated", [False, True])
def test_a_server_that_wants_a_long_wait_is_left_for_a_later_fetch(site: Site, folder: Path, dated: bool):
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    after = format_datetime(tomorrow, usegmt=True) if dated else "86400"
    site.pages["/file.bin"] = lambda request: answer(request, 429, Retry_After=after)
    with pytest.raises(FetchUnfinished, match="the server answered 429"):
        get(site.url(), folder)
    assert len(site.seen) == 1


def test_what_is_no_http_is_given_up(folder: Path, hurried):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)

        def speak():
            for _ in range(5):
                client, _ = server.accept()
                with client:
                    client.sendall(b"220 ready\r\n")

        thread = threading.Thread(target=speak)
        thread.start()
        with pytest.raises(FetchUnfinished):
            get(f"http://127.0.0.1:{server.getsockname()[1]}/", folder)
        thread.join()


def test_where_nobody_listens_a_later_fetch_may_do(folder: Path, hurried):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(FetchUnfinished, match="connection refused"):
        get(f"http://127.0.0.1:{port}/", folder)


# ----- time


@pytest.mark.parametrize("where", ["header", "body"])
def test_a_drip_does_not_outlast_the_timeout(site: Site, folder: Path, where: str):
    def drip(request):
        if where == "body":
            request.send_response(200)
            request.send_header("Content-Length", "1000000")
            request.end_headers()
        for _ in range(200):
            request.wfile.write(b"x")
            time.sleep(0.05)

    site.pages["/file.bin"] = drip
    begun = time.monotonic()
    with pytest.raises(FetchUnfinished, match="took longer than"):
        get(site.url(), folder, short(1))
    assert time.monotonic() - begun < 3


def test_a_silent_server_is_given_up(site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch, hurried):
    monkeypatch.setattr(connection, "SILENCE", 0.5)
    site.pages["/file.bin"] = lambda _: time.sleep(1)
    with pytest.raises(FetchUnfinished, match="no byte came"):
        get(site.url(), folder)


def test_whoever_hears_of_it_can_stop_it_while_nothing_comes(site: Site, folder: Path):
    site.pages["/file.bin"] = File(DATA, cuts=[1_000_000], breaking=Held())

    def heard(size: int, _: int | None):
        if size == 1_000_000:
            raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fetch(site.url(), folder, RULES, heard=heard)
    assert time.monotonic() - begun < 3
    assert (folder / "body").stat().st_size == 1_000_000


# ----- where it may lead


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "0.0.0.0"])
def test_an_address_of_this_machine_is_refused_before_anything_is_sent(site: Site, folder: Path, host: str):
    rules = Rules(max_size=1000, timeout=RULES.timeout)
    with pytest.raises(AddressRefused, match="leads to") as told:
        get(site.url(host=host), folder, rules)
    assert "allow_private_addresses" in told.value.cure
    assert site.connections == 0


def test_a_redirect_to_the_local_network_is_refused(site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch):
    inner = socket.create_server(("127.0.0.1", 0))
    with inner:
        # The name of the public server; there is no public address to be had in a test.
        known(monkeypatch, {"public.test": ["93.184.215.14"]}, site)
        site.pages["/file.bin"] = redirect(f"http://127.0.0.1:{inner.getsockname()[1]}/secret")
        with pytest.raises(AddressRefused, match=r"127\.0\.0\.1, which is loopback"):
            get(site.url(host="public.test"), folder, Rules(max_size=1000, timeout=RULES.timeout))
        inner.settimeout(0.2)
        with pytest.raises(TimeoutError):
            inner.accept()


def known(monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]], site: Site) -> list[str]:
    """Let names resolve to addresses, and the connections to public ones end at the site. Returns where they went."""
    real_lookup, real_connect, went = socket.getaddrinfo, socket.socket.connect, []

    def lookup(host, port, *rest, **more):
        if host not in names:
            return real_lookup(host, port, *rest, **more)
        answers = names[host]
        address = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in address.split()]

    def connect(self, address):
        went.append(address[0])
        return real_connect(self, ("127.0.0.1", site.port) if address[0].startswith("93.") else address)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    monkeypatch.setattr(socket.socket, "connect", connect)
    return went


def test_the_address_that_was_checked_is_the_one_connected_to(site: Site, folder: Path, monkeypatch):
    went = known(monkeypatch, {"rebind.test": ["93.184.215.14", "127.0.0.1"]}, site)
    site.pages["/file.bin"] = File(DATA)
    rules = Rules(max_size=RULES.max_size, timeout=RULES.timeout)
    assert get(site.url(host="rebind.test"), folder, rules).size == len(DATA)
    assert went == ["93.184.215.14"]


def test_a_name_that_turns_inward_between_two_tries_is_refused(site: Site, folder: Path, monkeypatch):
    went = known(monkeypatch, {"rebind.test": ["93.184.215.14", "127.0.0.1"]}, site)
    site.pages["/file.bin"] = File(DATA, cuts=[1_000_000])
    with pytest.raises(AddressRefused, match="loopback"):
        get(site.url(host="rebind.test"), folder, Rules(max_size=RULES.max_size, timeout=RULES.timeout))
    assert went == ["93.184.215.14"]


def test_a_name_that_is_public_and_private_at_once_is_refused(site: Site, folder: Path, monkeypatch):
    went = known(monkeypatch, {"both.test": ["93.184.215.14 10.0.0.1"]}, site)
    with pytest.raises(AddressRefused, match="private"):
        get(site.url(host="both.test"), folder, Rules(max_size=1000, timeout=RULES.timeout))
    assert went == []


def test_a_host_that_does_not_exist_is_said(folder: Path):
    with pytest.raises(FetchError, match=r"(no host of this name|could not be fetched)"):
        get("http://no-such-host.invalid/", folder, short(20))


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_and_names_the_file(site: Site, folder: Path, code: int):
    site.pages["/start"] = redirect("deeper/b%C3%BCcher.zip?x=1", code)
    site.pages["/deeper/b%C3%BCcher.zip"] = File(DATA)
    assert get(site.url("/start"), folder).name == "bücher.zip"


def test_a_loop_of_redirects_ends(site: Site, folder: Path):
    site.pages["/a"], site.pages["/b"] = redirect("/b"), redirect("/a")
    with pytest.raises(FetchError, match="redirects more than 10 times"):
        get(site.url("/a"), folder)
    assert len(site.seen) == 11


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/", "//[bad"])
def test_a_redirect_to_what_is_not_fetched_is_refused(site: Site, folder: Path, to: str):
    site.pages["/file.bin"] = redirect(to)
    with pytest.raises(FetchError, match="redirects to"):
        get(site.url(), folder)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://h/x", "data:,x", "", "x", "/etc/passwd", "http://", "http://[x"]
)
def test_what_is_no_http_url_is_wrong_usage(folder: Path, url: str):
    with pytest.raises(UsageError):
        get(url, folder)
    assert not folder.exists()


# ----- secrets


def test_credentials_go_to_their_own_host_only(site: Site, folder: Path):
    site.pages["/start"] = redirect("/again")
    site.pages["/again"] = redirect(site.url("/file.bin", host="localhost"))
    site.pages["/file.bin"] = File(DATA)
    get(site.url("/start", user="m%C3%BC:pass%3A@"), folder)
    sent = [headers.get("Authorization") for headers in site.seen]
    expected = "Basic " + base64.b64encode("mü:pass:".encode()).decode()
    assert sent == [expected, expected, None]


def test_an_error_and_the_folder_hold_no_secret(site: Site, folder: Path, hurried):
    site.pages["/file.bin"] = File(DATA, cuts=[1000, *[0] * 9])
    for path in ("/file.bin?sig=hush1", "/missing?sig=hush1"):
        with pytest.raises(FetchError) as told:
            get(site.url(path, user="hush2:hush3@"), folder)
        assert "hush" not in str(told.value)
        assert f"http://127.0.0.1:{site.port}/" in str(told.value)
    with pytest.raises(UsageError) as wrong:
        get("http://hush:hush@host:port/hush", folder)
    assert "hush" not in str(wrong.value)
    assert "hush" not in "".join(file.read_text("latin-1") for file in folder.glob("*.json"))


# ----- TLS


def test_a_certificate_nobody_vouches_for_is_refused(secure_site: Site, folder: Path):
    with pytest.raises(FetchError, match="cannot be trusted") as told:
        get(secure_site.url(), folder)
    assert not told.value.retryable
    assert secure_site.seen == []


def test_a_certificate_from_our_own_authority_is_trusted(secure_site: Site, folder: Path, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    secure_site.pages["/file.bin"] = File(DATA, cuts=[1_000_000])
    assert get(secure_site.url(), folder).path.read_bytes() == DATA


def test_a_certificate_of_another_host_is_refused(secure_site: Site, folder: Path, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with pytest.raises(FetchError, match="cannot be trusted"):
        get(secure_site.url(host="localhost"), folder)


def test_a_body_of_unknown_length_cut_short_under_tls_is_noticed(
    secure_site: Site, folder: Path, certificate, monkeypatch, hurried
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    def cut(request):
        request.send_response(200)
        request.end_headers()
        request.wfile.write(DATA[:1000])
        socket.socket.shutdown(request.connection, socket.SHUT_RDWR)

    secure_site.pages["/file.bin"] = cut
    with pytest.raises(FetchUnfinished):
        get(secure_site.url(), folder)


def test_a_redirect_out_of_tls_is_refused(secure_site: Site, site: Site, folder: Path, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    secure_site.pages["/file.bin"] = redirect(site.url())
    with pytest.raises(FetchError, match="from https to http"):
        get(secure_site.url(), folder)
    assert site.connections == 0


# ----- the disk


def test_a_full_disk_is_said(site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch):
    # /dev/full is a disk without room; it takes the place of the file when that is opened.
    site.pages["/file.bin"] = File(DATA)
    real = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda self, *rest, **more: real(Path("/dev/full") if self.name == "body" else self, *rest, **more),
    )
    with pytest.raises(NoSpace, match="no space left"):
        get(site.url(), folder)


def test_a_folder_that_cannot_be_made_is_said(site: Site, tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError):
        get(site.url(), tmp_path / "file" / "folder")
