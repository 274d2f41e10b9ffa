"""What services write to stderr with `--log-format json`: JSON lines, whoever speaks."""

from __future__ import annotations

import json
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.api.server import serving, world
from tests.jobs.celery_process import celery, log
from tests.jobs.world import ended, wait_for
from tests.servers.shared import free_port
from trueup.catalog.base import Catalog
from trueup.config import load
from trueup.jobs.broker import Remote

KEY = "correct-horse-battery"


def lines(text: str) -> list[dict[str, Any]]:
    """Every line, each of which is an object."""
    found = [json.loads(line) for line in text.splitlines()]
    assert all(line["event"] and line["message"] and line["level"] and line["time"] for line in found)
    return found


def test_the_server_s_log_is_one_object_a_line_for_requests_and_jobs_without_secrets(tmp_path: Path):
    world(tmp_path)
    (tmp_path / "handlers.py").write_text(
        "import os, warnings\n"
        "def slow(file, db):\n"
        "    print('two\\nlines')\n"
        "    warnings.warn('a warning of a handler')\n"
        "    os.write(2, b'no utf-8: \\xff\\n')\n"
    )
    (tmp_path / "drop" / "one.txt").write_text("one")
    with serving(tmp_path, "--log-format", "json", key=KEY) as server:
        ingested = server.post("/api/ingest/stats", X_Request_ID="req-7").json["task_id"]
        assert server.over(ingested)["state"] == "SUCCESS"
        url = f"http://127.0.0.1:{free_port()}/film.mp4?signature=t0p-s3cr3t"
        fetched = server.post("/api/downloads", {"url": url}).json["task_id"]
        wait_for(lambda: server.get(f"/api/runs/{fetched}").json["state"] in {"RETRY", "FAILURE"})
        assert server.get("/nonsense%0A?token=t0p-s3cr3t").status == 404
        assert server.get("/api/runs", X_API_Key="a-wrong-key").status == 401
        assert server.stop() == 0
    found = lines(server.log())
    assert "t0p-s3cr3t" not in server.log()
    assert KEY not in server.log()
    assert "a-wrong-key" not in server.log()

    [asked] = [line for line in found if line.get("request") == "req-7"]
    assert {name: asked[name] for name in ("event", "method", "path", "route", "status", "client", "logger")} == {
        "event": "request", "method": "POST", "path": "/api/ingest/stats", "route": "/api/ingest/{name}",
        "status": 202, "client": "127.0.0.1", "logger": "trueup.api",
    }  # fmt: skip
    assert 0 < asked["seconds"] < 60
    assert [line["route"] for line in found if line.get("path") == "/nonsense\n"] == [""]

    of_task = [line for line in found if line.get("task") == ingested]
    started, *between, finished = of_task
    assert (started["event"], started["job"], started["attempt"]) == ("task_started", "ingest_files", 1)
    assert started["arguments"] == {"name": "stats"}
    assert (finished["event"], finished["status"], finished["error"]) == ("task_finished", "ok", "")
    assert finished["seconds"] > 0
    said = " ".join(line["message"] for line in between)
    assert all(part in said for part in ("two [task", "lines [task", "a warning of a handler", r"no utf-8: \xff"))
    [begun] = [line for line in found if line["event"] == "task_started" and line["task"] == fetched][:1]
    assert begun["arguments"]["url"].endswith("/film.mp4?…")


def test_the_logs_of_worker_and_clock_are_objects_too(
    catalog: Catalog, work: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TRUEUP_SERVER__BROKER", redis_url)
    with closing(Remote(load(), catalog)) as queue, celery("worker", "--log-format", "json", results=False) as worker:
        task = queue.submit("sync_storage_stats", {}).id
        assert ended(catalog, task).state == "SUCCESS"
        wait_for(lambda: "task_finished" in log())
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
    monkeypatch.setenv("TRUEUP_SERVER__BROKER", f"redis://127.0.0.1:{free_port()}/0")
    with (
        celery("worker", "--log-format", "json", results=False) as lonely,
        celery("beat", "--log-format", "json", results=False),
    ):
        wait_for(lambda: "Cannot connect to redis" in log())
        lonely.kill()
    found = lines(log())
    assert [line["event"] for line in found if line.get("task") == task and line["event"] != "log"] == [
        "task_started",
        "task_finished",
    ]
    assert "celery.worker.consumer.consumer" in {line["logger"] for line in found}
