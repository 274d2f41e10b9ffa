"""Secrets of `[records]` are in nothing that the command prints, whatever an error quotes."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote

import pytest

from tests.downloads.server import Site, answer, redirect, serving
from tests.records.world import World
from trueup.cli import main

TOKEN = "t0ken-of-the-platform"
PASSWORD = "p@ss-of-the-parser"
LINE = "/bKcwggSjAgEAAoIBAQDMIIEvQIBADANBg"
KEY = f"-----BEGIN PRIVATE KEY-----\n{LINE}\n-----END PRIVATE KEY-----\n"
WAYS = [(), ("--json",), ("-vv",), ("--log-format", "json", "-v"), ("--dry-run", "--json")]
PYTHON = '[records.parsed]\nkind = "python"\nfunction = "hostile_numbers:numbers"\n'
HTTP = """
[records.parsed]
kind = "http"
url = "{}"
allow_private_addresses = true
headers.Authorization = "env:PLATFORM"
"""
SQL = """
[records.parsed]
kind = "sql"
query = "select 1"
database = "postgresql://bot:{}@127.0.0.1:{}/x?sslmode=disable"
"""

Told = Callable[..., str]


@pytest.fixture
def told(world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Told:
    monkeypatch.setenv("PLATFORM", f"Bearer {TOKEN}")
    world.sheet(("x.com/a", 1, 1))

    def command(*arguments: str) -> str:
        capsys.readouterr()
        main(["records", *arguments])
        said = capsys.readouterr()
        return said.out + said.err

    return command


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


@pytest.mark.parametrize("way", WAYS)
def test_of_the_key_for_the_sheet_not_a_line_is_shown(world: World, told: Told, way: tuple[str, ...]):
    (world.folder / "credentials.json").write_text(json.dumps({"type": "service_account", "private_key": KEY}))
    (world.folder / "hostile_numbers.py").write_text(
        "import json, pathlib\ndef numbers(key, project):\n    text = pathlib.Path('credentials.json').read_text()\n"
        "    raise ValueError(f'wrong: {text} and {json.loads(text)[\"private_key\"]}')\n"
    )
    world.settings(parsed=PYTHON)
    settings = world.folder / "trueup.toml"
    settings.write_text(
        settings.read_text().replace('kind = "csv"', 'kind = "csv"\ncredentials = "file:credentials.json"')
    )
    said = told("sync", *way)
    assert "wrong: " in said
    assert LINE not in said


@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_gives_a_token_back_does_not_get_it_shown(
    world: World, told: Told, site: Site, way: tuple[str, ...]
):
    world.settings(parsed=HTTP.format(site.url("/numbers")))
    site.pages["/numbers"] = redirect(f"/denied/{quote(TOKEN)}")
    said = told("sync", *way)
    assert "/denied/*** answered 404" in said
    assert TOKEN not in said
    assert TOKEN not in told("status", "--json")

    site.pages["/numbers"] = lambda request: answer(
        request, 200, json.dumps([{"profile_url": "x.com/a", "views": request.headers["Authorization"]}]).encode()
    )
    said = told("sync", *way)
    assert "is no whole number" in said
    assert TOKEN not in said


@pytest.mark.parametrize("way", WAYS)
def test_a_database_that_quotes_the_password_does_not_get_it_shown(world: World, told: Told, way: tuple[str, ...]):
    with talkative_database() as port:
        world.settings(parsed=SQL.format(quote(PASSWORD), port))
        said = told("sync", *way)
    assert "you said ***" in said
    assert PASSWORD not in said


def test_a_setting_that_is_wrong_is_told_without_the_secret_in_it(
    world: World, told: Told, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PLATFORM", f"Bearer {TOKEN}\nX-Injected: 1")
    world.settings(parsed=HTTP.format("https://api.example.com/"))
    said = told("sync", "-vv")
    assert "headers Authorization is empty, or holds what no header can" in said
    assert TOKEN not in said


@contextmanager
def talkative_database() -> Iterator[int]:
    """A server that speaks as much PostgreSQL as it needs to be told a password, and to repeat it.
    https://www.postgresql.org/docs/current/protocol-message-formats.html"""

    def serve() -> None:
        while True:
            try:
                wire, _ = server.accept()
            except OSError:  # closed: the test is over
                return
            with wire, wire.makefile("rb") as asked:
                asked.read(struct.unpack("!i", asked.read(4))[0] - 4)
                wire.sendall(b"R" + struct.pack("!ii", 8, 3))  # the password, please, in plain text
                _, size = struct.unpack("!ci", asked.read(5))
                password = asked.read(size - 4).rstrip(b"\0")
                fields = b"SFATAL\0VFATAL\0C28P01\0Myou said " + password + b"\0\0"
                wire.sendall(b"E" + struct.pack("!i", 4 + len(fields)) + fields)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            server.close()
            thread.join()
