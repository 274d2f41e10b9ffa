"""Who may ask, how often, how much."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from tests.api.server import KEY, SETTINGS, Server, serving, world
from tests.cli.conftest import Cli, cli  # noqa: F401 - a fixture is found by name
from tests.jobs.world import wait_for
from trueup.api.gate import LARGEST, Limiter, _household, is_loopback
from trueup.jobs.config import Rate


def test_with_a_key_only_who_sends_it_may_ask(locked: Server):
    for headers in (
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer {KEY}"},
        {"X_API_Key": KEY},
        {"Authorization": "Bearer nonsense", "X_API_Key": KEY},
        {"Authorization": f"Bearer {KEY}", "X_API_Key": "nonsense"},
        {"X_API_Key": KEY, "Host": "example.com", "Origin": "https://example.com"},
    ):
        assert locked.get("/api/runs", **headers).status == 200
    for headers in (
        {"X_API_Key": ""},
        {"X_API_Key": KEY + "x"},
        {"X_API_Key": KEY[:-1]},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Bearer nonsense", "X_API_Key": "nonsense"},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": "Bearer é"},
    ):
        refused = locked.get("/api/runs", **headers)
        assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert refused.json["title"] == "Unauthorized"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/admin/sync-storage-stats"),
        ("GET", "/api/admin/sync_status"),
        ("POST", "/api/storage/stats"),
        ("GET", "/api/storage/stats/"),
        ("GET", "/metrics"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("GET", "/nonsense"),
    ],
)
def test_every_route_but_three_needs_the_key(locked: Server, method: str, path: str):
    assert locked(method, path, X_API_Key="").status == 401


def test_three_routes_need_no_key(locked: Server):
    for path in ("/healthz", "/readyz", "/api/storage/stats"):
        assert locked.get(path, X_API_Key="").status == 200


def test_the_key_is_nowhere_in_the_log(locked: Server):
    locked.get(f"/api/runs/{KEY[:3]}", X_API_Key=KEY)
    wait_for(lambda: "GET /api/runs/cor 404 in " in locked.log())  # written once the answer is sent
    assert KEY not in locked.log()


def test_without_a_key_a_page_elsewhere_reaches_nothing(server: Server):
    port = server.url.rpartition(":")[2]
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}", "LOCALHOST"):
        assert server.get("/api/runs", Host=host).status == 200
    for host in (
        "example.com",
        f"example.com:{port}",
        "localhost.example.com",
        "",
        "127.0.0.1.nip.io",
        "[",
        "192.0.2.1",
    ):
        assert server.get("/api/runs", Host=host).status == 403
    assert server.post("/api/sync/nonsense", Origin=server.url).status == 404
    for origin in ("https://example.com", "null", "http://localhost:1", ""):
        refused = server.post("/api/sync/nonsense", Origin=origin)
        assert (refused.status, refused.json["title"]) == (403, "Forbidden")
    assert server.get("/api/runs", Sec_Fetch_Site="cross-site", Sec_Fetch_Dest="image").status == 403
    assert server.get("/api/runs", Sec_Fetch_Site="cross-site", Sec_Fetch_Dest="document").status == 200
    assert "Access-Control-Allow-Origin" not in server.get("/api/runs", Origin=server.url).headers


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "X_Forwarded_Proto", "X_Forwarded_Host", "Forwarded", "Via", "X_Real_IP"]
)
def test_without_a_key_who_asks_through_a_proxy_on_this_machine_is_refused(server: Server, header: str):
    refused = server.get("/api/runs", **{header: "127.0.0.1"})
    assert refused.status == 403
    assert refused.json["detail"] == "without an API key nothing is served through a proxy"


def test_a_forwarded_address_counts_only_from_a_proxy_that_is_named(locked: Server, tmp_path: Path):
    locked.get("/healthz", X_Forwarded_For="198.51.100.7", X_Request_ID="unknown-proxy")
    wait_for(lambda: "from 127.0.0.1, request unknown-proxy" in locked.log())
    more = '[server]\nrate_limit = "2/hour"\nproxies = ["127.0.0.0/8", "10.1.2.3"]\n'
    with serving(world(tmp_path, SETTINGS + more), key=KEY) as behind:
        # A client may write what it likes in front; the proxy adds whom it saw, at the end.
        for address in ("198.51.100.7", "198.51.100.8"):
            told = {"X_Forwarded_For": f"127.0.0.1, {address}, 10.1.2.3", "X_Forwarded_Proto": "https"}
            assert [behind.get("/api/runs", **told).status for _ in range(3)] == [200, 200, 429]
            assert f", from {address}, " in behind.log()


def test_proxies_that_are_none_are_refused_at_the_start(cli: Cli, monkeypatch: pytest.MonkeyPatch):  # noqa: F811 - the fixture
    for given in ("everybody", "*", "10.0.0.1/8"):
        monkeypatch.setenv("TRUEUP_SERVER__PROXIES", given)
        done = cli("serve", "--port", "0")
        assert (done.code, "[server] proxies: " in done.err) == (2, True)


def test_errors_are_problems_with_the_request_s_id(server: Server):
    for method, path, body, status in (
        ("GET", "/nonsense", None, 404),
        ("PUT", "/api/runs", None, 405),
        ("POST", "/api/downloads", b"{", 422),
        ("POST", "/api/downloads", {"url": 5}, 422),
        ("POST", "/api/downloads", b"x" * (LARGEST + 1), 413),
        ("GET", "/api/runs?limit=0", None, 422),
        ("GET", "/api/accounts/99999999999999999999/snapshots", None, 404),
        ("POST", "/api/sync/site?dry_run=maybe", None, 422),
    ):
        answer = server(method, path, body, X_Request_ID="req-1")
        assert (answer.status, answer.json["status"]) == (status, status), path
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json["request_id"] == answer.headers["X-Request-ID"] == "req-1"
        assert answer.json["detail"]
    assert server.get("/healthz", X_Request_ID="not an id\u00e9").headers["X-Request-ID"].isalnum()


def test_a_body_in_pieces_is_limited_as_well(server: Server):
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as line:
        head = f"POST /api/downloads HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n"
        line.sendall(head.encode() + (b"8000\r\n" + b"x" * 0x8000 + b"\r\n") * 3)
        assert line.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_who_asks_too_often_waits(tmp_path: Path):
    with serving(world(tmp_path, SETTINGS + '[server]\nrate_limit = "3/hour"\n'), key=KEY) as limited:
        assert [limited.get("/api/runs").status for _ in range(4)] == [200, 200, 200, 429]
        refused = limited.get("/api/runs")
        assert 0 < int(refused.headers["Retry-After"]) <= 1201
        assert limited.get("/healthz").status == 200
        # Each guess takes from the same allowance, and none of it from whoever has the key.
        assert [limited.get("/api/runs", X_API_Key=f"guess{n}").status for n in range(4)] == [401, 401, 401, 429]
        assert limited.get("/api/runs", X_API_Key="").status == 429


def test_an_asker_s_allowance_comes_back_and_is_its_own():
    limiter = Limiter(Rate(requests=1000, seconds=1))
    assert [limiter.wait(("a", False)) for _ in range(1000)] == [0.0] * 1000
    waits = [limiter.wait(("a", False)) for _ in range(50)]
    assert any(waits)
    assert all(0 <= wait <= 0.001 for wait in waits)
    assert limiter.wait(("b", False)) == limiter.wait(("a", True)) == 0.0


def test_only_so_many_askers_are_remembered_and_those_who_ask_stay():
    limiter = Limiter(Rate(requests=1, seconds=3600))
    assert limiter.wait(("busy", False)) == 0.0
    for number in range(25_000):
        limiter.wait((f"a{number}", False))
        if number % 5_000 == 0:
            assert limiter.wait(("busy", False)) > 0
    assert len(limiter._left) <= 10_000
    assert limiter.wait(("a0", False)) == 0.0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "", True),
    ],
)
def test_the_addresses_of_one_ipv6_network_are_one_asker(one: str, other: str, same: bool):
    assert (_household(one) == _household(other)) is same


@pytest.mark.parametrize(
    ("host", "here"),
    [("localhost", True), ("127.0.0.2", True), ("::1", True), ("0.0.0.0", False), ("example.com", False), ("", False)],
)
def test_only_this_machine_s_own_addresses_are_loopback(host: str, here: bool):
    assert is_loopback(host) is here


def test_without_a_key_no_other_host_is_opened(cli: Cli):  # noqa: F811 - the fixture
    done = cli("serve", "--host", "0.0.0.0", "--port", "0")
    assert done.code == 2
    assert "without an API key only this machine is served" in done.err


def test_a_port_that_is_taken_is_said_so(cli: Cli, server: Server):  # noqa: F811 - the fixture
    done = cli("serve", "--port", server.url.rpartition(":")[2])
    assert done.code == 1
    assert "nobody can listen at 127.0.0.1:" in done.err
    assert "Address already in use" in done.err


def test_it_stops_when_it_is_told_and_ends_streams_and_jobs(tmp_path: Path):
    with serving(world(tmp_path)) as running:
        (tmp_path / "drop" / "one.txt").write_text("one")
        task = running.post("/api/ingest/stats").json["task_id"]
        host, port = running.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as line:
            line.sendall(f"GET /api/runs/{task}/events HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert line.recv(1000).startswith(b"HTTP/1.1 200 ")
            (tmp_path / "go on").touch()
            assert running.stop(signal.SIGTERM) == 0
    with serving(tmp_path) as again:
        run = again.over(task)
        assert (run["state"], run["error"]) in [("SUCCESS", None), ("FAILURE", "the server was stopped")]
        assert again.stop(signal.SIGINT) == 130
