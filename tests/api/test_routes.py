"""The routes, asked as the contract has it of a server that somebody started."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import trueup
from tests.api.server import Server
from trueup.config import load
from trueup.events import Event, ItemFinished
from trueup.runs import run_lock
from trueup.sync.outputs import Outputs


def events(server: Server, task: str, after: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    request = urllib.request.Request(f"{server.url}/api/runs/{task}/events", headers={"Last-Event-ID": after})
    with urllib.request.urlopen(request, timeout=60) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        name = number = ""
        for line in stream:
            field, _, value = line.decode().strip().partition(": ")
            if field == "id":
                number = value
            elif field == "event":
                name = value
            elif field == "data":
                document = json.loads(value)
                assert document["event"] == name
                yield number, document


def metrics(server: Server) -> str:
    return server.get("/metrics").body.decode()


def test_the_books_are_made_true_as_the_contract_s_curl_line_asks(server: Server):
    answer = server.post("/api/admin/sync-storage-stats")
    assert answer.status == 202
    document = answer.json
    task = document.pop("task_id")
    assert document == {
        "message": "Storage sync task queued successfully",
        "status": "Task will run in the background. Check logs for results.",
    }
    assert server.over(task)["state"] == "SUCCESS"
    status = server.get(f"/api/admin/sync-storage-stats/status/{task}").json
    assert (status["task_id"], status["state"], status["error"]) == (task, "SUCCESS", None)
    assert status["result"]["run"] == task
    assert status["result"]["providers"][0]["provider"] == "a"
    assert server.get("/api/admin/sync-storage-stats/status/nonsense").status == 404


def test_the_storage_s_numbers_are_those_of_the_command(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(server.folder)
    (server.folder / "file").write_bytes(b"x" * 1000)
    with trueup.Pool.from_config(load()) as pool:
        pool.put("file")
        expected = pool.stats().model_dump()
    assert server.get("/api/storage/stats").json == expected
    assert expected["providers"][0]["available_bytes"] == (1 << 20) - 1000
    [free] = re.findall(r'^trueup_storage_available_bytes\{provider="a"\} (\S+)$', metrics(server), re.MULTILINE)
    assert float(free) == (1 << 20) - 1000
    assert 'trueup_requests_total{method="GET",route="/api/storage/stats",status="200"}' in metrics(server)


def test_a_sync_runs_by_its_name_and_tells_what_it_does(server: Server):
    (server.folder / "left" / "page").write_text("hello")
    dry = server.post("/api/sync/site?dry_run=true")
    assert dry.status == 202
    assert server.over(dry.json["task_id"])["status"] == "dry-run"
    assert not (server.folder / "right" / "page").exists()
    task = server.post("/api/sync/site").json["task_id"]
    told = list(events(server, task))
    names = [document["event"] for _, document in told]
    assert (names[0], names[-2:]) == ("run_started", ["run_finished", "end"])
    assert "item_finished" in names
    assert (told[-1][1]["state"], told[-1][1]["status"]) == ("SUCCESS", "ok")
    [(_, last)] = events(server, task, after=told[-1][0])
    assert last == told[-1][1]
    assert (server.folder / "right" / "page").read_text() == "hello"
    run = server.get(f"/api/runs/{task}").json
    assert (run["job"], run["arguments"], run["result"]["counts"]["copy_right"]) == ("sync_files", {"name": "site"}, 1)
    listed = server.get("/api/runs?limit=1000").json["runs"]
    assert sum(run["id"] == task for run in listed) == 1
    assert "result" not in listed[0]
    assert listed == sorted(listed, key=lambda run: (run["created_at"], run["id"]), reverse=True)
    assert server.post("/api/sync/nonsense").status == 404


def test_a_busy_job_answers_with_the_running_one_s_id_and_is_cancelled(server: Server):
    (server.folder / "drop" / "one.txt").write_text("one")
    task = server.post("/api/ingest/stats").json["task_id"]
    again = server.post("/api/ingest/stats")
    assert (again.status, again.json["run"], again.json["title"]) == (409, task, "Conflict")
    assert again.headers["Content-Type"] == "application/problem+json"
    stopped = server.post(f"/api/runs/{task}/cancel")
    assert stopped.status == 202
    assert stopped.json["id"] == task
    (server.folder / "go on").touch()
    assert server.over(task)["state"] == "REVOKED"
    assert server.post(f"/api/runs/{task}/cancel").json["state"] == "REVOKED"
    for path in ("/api/runs/nonsense/cancel", "/api/ingest/nonsense"):
        assert server.post(path).status == 404
    for path in ("/api/runs/nonsense", "/api/runs/nonsense/events", "/api/ingest/nonsense/diagnose"):
        assert server.get(path).status == 404
    assert server.get("/api/ingest/stats/diagnose").json["counts"]["server"] == 1


def test_sheets_are_merged_and_read(server: Server):
    done = server.post("/api/admin/smart_sync").json
    assert (done["success"], done["total_projects"], done["success_count"], done["error_count"]) == (True, 2, 1, 0)
    [result] = done["results"]
    assert (result["project_id"], result["updated_count"], result["snapshot_count"]) == ("p1", 2, 2)
    assert server.post("/api/admin/smart_sync?project_id=p1").json["results"][0]["updated_count"] == 2
    later = server.post("/api/admin/smart_sync?wait=false")
    assert later.status == 202
    assert server.over(later.json["task_id"])["status"] == "ok"
    assert server.post("/api/admin/smart_sync?project_id=nonsense").status == 404
    status = server.get("/api/admin/sync_status").json
    assert (status["total_projects"], status["active_projects"], status["cache_enabled"]) == (2, 1, False)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:(00|30):00.000Z", status["next_run"])
    assert status["last_run"]
    assert [project["name"] for project in server.get("/api/projects").json["projects"]] == ["Project A", "Project B"]
    accounts = server.get("/api/projects/p1/accounts").json["accounts"]
    assert [(account["key"], account["followers"]) for account in accounts] == [("x.com/esa", 7), ("x.com/nasa", 5)]
    snapshots = server.get(f"/api/accounts/{accounts[0]['id']}/snapshots?days=30").json
    assert [row["followers"] for row in snapshots["snapshots"]] == [7]
    grown = server.get("/api/projects/p1/growth?hours=24").json
    assert {(one["key"], one["fields"]["followers"]["to"]) for one in grown["accounts"]} == {
        ("x.com/nasa", 5),
        ("x.com/esa", 7),
    }
    for path in ("/api/projects/x/accounts", "/api/projects/x/growth", "/api/accounts/999/snapshots"):
        assert server.get(path).status == 404, path


@pytest.fixture
def site() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"video")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}/video.mp4"
        web.shutdown()


def test_a_url_is_fetched_listed_signed_again_and_removed(server: Server, site: str):
    queued = server.post("/api/downloads", {"url": site})
    assert queued.status == 202
    task = queued.json["task_id"]
    run = server.over(task)
    assert run["state"] == "SUCCESS", run
    found = server.get(f"/api/downloads/{task}").json
    assert (found["url"], found["status"], found["provider"], found["size"]) == (site, "completed", "a", 5)
    assert (
        server.get("/api/downloads").json["downloads"][0] == found == server.get(f"/api/downloads/{found['id']}").json
    )
    link = server.post(f"/api/downloads/{found['id']}/url").json
    assert link["url"].startswith("file://")
    assert server("DELETE", f"/api/downloads/{found['id']}").status == 204
    assert server.get(f"/api/downloads/{found['id']}").status == 404
    assert [path for path in (server.folder / "a").iterdir() if "video" in path.name] == []
    assert server.post("/api/downloads", {"url": "no url"}).status == 422
    refused = server.post("/api/downloads", {"url": site.replace("http://", "http://me:s3cr3t@")})
    assert (refused.status, "is not queued" in refused.json["detail"]) == (422, True)
    assert b"s3cr3t" not in b"".join(path.read_bytes() for path in server.folder.glob("trueup.jobs.db*"))
    assert "s3cr3t" not in refused.body.decode() + server.log()


def test_old_and_failed_downloads_are_cleaned_up_when_somebody_asks(server: Server):
    for path in ("/api/admin/cleanup-old-downloads", "/api/admin/cleanup-failed-downloads"):
        answer = server.post(path)
        assert answer.status == 202
        assert server.over(answer.json["task_id"])["status"] == "ok"


class Pausing:
    """Somebody's own run, in the middle of which it stays until the block ends."""

    def __init__(self, run: Callable[[Callable[[object], None]], Any]) -> None:
        self._begun, self._go_on = threading.Event(), threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self._run = run

    def _pause(self, told: object) -> None:
        if isinstance(told, Event) and not isinstance(told, ItemFinished):
            return
        self._begun.set()
        assert self._go_on.wait(60)

    def __enter__(self) -> Future[Any]:
        self.done = self._pool.submit(self._run, self._pause)
        assert self._begun.wait(60)
        return self.done

    def __exit__(self, *_: object) -> None:
        self._go_on.set()
        self._pool.shutdown()


@pytest.mark.parametrize(
    ("path", "run"),
    [
        ("/api/admin/sync-storage-stats", lambda pause: trueup.reconcile(heard=pause)),
        ("/api/admin/smart_sync", lambda pause: trueup.sync_records(listener=pause)),
        ("/api/sync/site", lambda pause: trueup.sync("left", "right", outputs=Outputs(listener=pause))),
    ],
)
def test_a_job_that_somebody_runs_by_hand_answers_with_that_run_s_id(
    server: Server, monkeypatch: pytest.MonkeyPatch, path: str, run: Callable[[Callable[[object], None]], Any]
):
    monkeypatch.chdir(server.folder)
    monkeypatch.setenv("TRUEUP_HOME", str(server.folder / "state"))
    (server.folder / "left" / "by hand").write_text(path)
    with Pausing(run) as byhand:
        refused = server.post(path)
    assert (refused.status, refused.json["run"]) == (409, byhand.result().run)
    queued = server.post(path)
    assert queued.status in {200, 202}
    if queued.status == 202:
        assert server.over(queued.json["task_id"])["state"] == "SUCCESS"


def test_a_project_that_somebody_syncs_by_hand_answers_with_that_run_s_id(server: Server):
    assert server.post("/api/admin/smart_sync?project_id=p1").status == 200
    with ExitStack() as locks:
        for lock in (server.folder / "state" / "records").glob("*.lock"):
            locks.enter_context(run_lock(lock, run="by-hand"))
        refused = server.post("/api/admin/smart_sync?project_id=p1")
    assert (refused.status, refused.json["run"]) == (409, "by-hand")
    assert server.post("/api/admin/smart_sync?project_id=p1").status == 200
    inactive = server.post("/api/admin/smart_sync?project_id=p2")
    assert (inactive.status, "is not active" in inactive.json["detail"]) == (422, True)


def test_what_somebody_ran_by_hand_is_among_the_runs(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(server.folder)
    monkeypatch.setenv("TRUEUP_HOME", str(server.folder / "state"))
    (server.folder / "left" / "by hand").write_text("x")
    done = trueup.run_job("sync_files", name="site")
    run = server.get(f"/api/runs/{done.result['run']}").json
    assert (run["job"], run["state"], run["status"]) == ("sync", "SUCCESS", "ok")
    assert done.result["run"] in {run["id"] for run in server.get("/api/runs").json["runs"]}


def test_it_says_that_it_is_well(server: Server):
    assert server.get("/healthz").json == {"status": "ok"}
    ready = server.get("/readyz")
    assert (ready.status, ready.json) == (
        200,
        {"status": "ready", "checks": {"queue": "ok", "database": "ok", "jobs": "ok"}},
    )


def test_every_route_of_the_contract_is_there(server: Server):
    document = server.get("/openapi.json").json
    paths = document["paths"]
    assert set(paths) >= {
        *("/api/admin/sync-storage-stats", "/api/admin/sync-storage-stats/status/{task_id}", "/api/storage/stats"),
        *("/api/admin/smart_sync", "/api/admin/sync_status", "/api/projects", "/api/projects/{project_id}/accounts"),
        *("/api/accounts/{account_id}/snapshots", "/api/projects/{project_id}/growth", "/api/downloads"),
        *("/api/downloads/{download_id}", "/api/downloads/{download_id}/url", "/api/sync/{name}", "/api/ingest/{name}"),
        *("/api/ingest/{name}/diagnose", "/api/runs", "/api/runs/{run_id}", "/api/runs/{run_id}/events"),
        *("/api/runs/{run_id}/cancel", "/healthz", "/readyz", "/metrics"),
    }


def test_the_docs_load_nothing_from_elsewhere(server: Server):
    page = server.get("/docs").body.decode()
    assets = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(assets) == 3
    for asset in assets:
        found = server.get(asset)
        assert (found.status, len(found.body) > 1000) == (200, True)
    assert [url for url in re.findall(r"https?://[^\s\"']+", page) if "openapis.org" not in url] == []
    assert '"validatorUrl": null' in page


def test_who_reads_does_not_wait_behind_somebody_who_writes(server: Server):
    server.over(server.post("/api/admin/sync-storage-stats").json["task_id"])
    with closing(sqlite3.connect(server.folder / "trueup.db", isolation_level=None)) as db:
        db.execute("begin immediate")  # as a handler does for minutes
        for path in ("/api/runs", "/api/runs/nonsense", "/api/storage/stats", "/readyz", "/api/downloads"):
            began = time.monotonic()
            assert server.get(path).status in {200, 404}
            assert time.monotonic() - began < 5
