"""What yt-dlp fetches for us, and what it may not do."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from tests.downloads.server import File, Held, Site, answer, redirect
from trueup.downloads import site as site_module
from trueup.downloads.base import Fetched
from trueup.downloads.site import fetch, knows
from trueup.errors import AddressRefused, FetchError, FetchUnfinished, MissingExtra, UsageError
from trueup.urls.rules import Rules

DATA = random.Random(8).randbytes(3_000_000)
RULES = Rules(max_size=10_000_000, timeout=timedelta(seconds=60), allow_private=True)
PLUGINS = str(Path(__file__).parent / "plugins")


@pytest.fixture(autouse=True)
def plugged(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [PLUGINS, os.environ.get("PYTHONPATH")])))
    site_module._known.cache_clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "fetch"


def shows(site: Site, **page: object) -> str:
    """The URL of a page; it shows the site's `/video.mp4` unless it says otherwise."""
    page = {"url": site.url("/video.mp4"), "title": "A film", "ext": "mp4", **page}
    site.pages["/watch/1"] = lambda request: answer(request, 200, json.dumps(page).encode())
    return site.url("/watch/1")


def get(url: str, folder: Path, rules: Rules = RULES) -> Fetched:
    return fetch(url, folder, rules, heard=lambda *_: None)


def test_what_a_page_shows_is_fetched_and_called_by_its_title(site: Site, folder: Path):
    site.pages["/video.mp4"] = File(DATA)
    url = shows(site, title="../AC/DC: live")
    heard = []
    found = fetch(url, folder, RULES, heard=lambda *told: heard.append(told))
    assert found.name == "_AC_DC: live.mp4"
    assert found.size == len(DATA)
    assert found.path.parent == folder
    assert found.path.read_bytes() == DATA
    assert heard[-1] == (len(DATA), len(DATA))
    assert not {"Cookie", "Authorization"} & site.seen[-1].keys()


def test_a_site_is_known_and_a_plain_url_is_not(site: Site):
    assert knows(site.url("/watch/1"))
    assert knows("https://www.youtube.com/watch?v=BaW_jenozKc")
    assert knows(site.url("/watch/john.ai"))
    assert not knows(site.url("/else"))
    assert site.connections == 0


@pytest.mark.parametrize("path", ["/a.zip", "/watch/a.mp4", "/a.tar.gz"])
def test_a_url_that_ends_like_a_file_costs_nothing_to_know(site: Site, path: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(site_module, "interpreter", lambda: "/no/python")
    assert not knows(site.url(path))


def test_without_the_extra_no_site_is_known(site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(site_module, "find_spec", lambda _: None)
    assert not knows(site.url("/watch/1"))
    with pytest.raises(MissingExtra, match="downloads"):
        get(site.url("/watch/1"), folder)


def test_a_yt_dlp_that_does_not_work_is_said(site: Site, folder: Path, tmp_path: Path, monkeypatch):
    (tmp_path / "broken" / "yt_dlp").mkdir(parents=True)
    (tmp_path / "broken" / "yt_dlp" / "__init__.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "broken"), os.environ["PYTHONPATH"]]))
    with pytest.raises(FetchUnfinished, match="does not say"):
        knows(site.url("/watch/1"))
    with pytest.raises(FetchUnfinished, match="ended unexpectedly"):
        get(shows(site), folder)


def test_what_is_no_http_url_is_wrong_usage(folder: Path):
    for ask in (knows, lambda url: get(url, folder)):
        with pytest.raises(UsageError):
            ask("file:///etc/passwd")


# ----- limits


SMALL = Rules(max_size=1_000_000, timeout=RULES.timeout, allow_private=True)


def test_a_file_that_announces_too_much_is_refused_at_once(site: Site, folder: Path):
    held = Held()
    site.pages["/video.mp4"] = File(DATA, cuts=[100_000], breaking=held)
    with pytest.raises(FetchError, match="more than the 1000000 bytes") as told:
        get(shows(site), folder, SMALL)
    assert not told.value.retryable
    assert list(folder.iterdir()) == []
    assert held.gone.wait(5)


def test_a_file_that_grows_too_large_is_thrown_away(site: Site, folder: Path):
    def endless(request):
        request.send_response(200)
        request.end_headers()
        while True:
            request.wfile.write(DATA)
            time.sleep(0.02)

    site.pages["/video.mp4"] = endless
    with pytest.raises(FetchError, match="more than the 1000000 bytes"):
        get(shows(site), folder, SMALL)
    assert list(folder.iterdir()) == []


def test_what_fills_the_folder_without_a_word_is_ended_and_leaves_nothing(site: Site, folder: Path):
    with pytest.raises(FetchError, match="more than the 1000000 bytes"):
        get(shows(site, writes=20_000), folder, SMALL)
    assert list(folder.iterdir()) == []
    time.sleep(0.5)
    assert list(folder.iterdir()) == []  # whoever filled it has gone


def test_a_fetch_that_takes_too_long_is_ended_and_its_helper_with_it(site: Site, folder: Path):
    held = Held()
    site.pages["/video.mp4"] = File(DATA, cuts=[1_000_000], breaking=held)
    begun = time.monotonic()
    with pytest.raises(FetchUnfinished, match="took longer"):
        get(shows(site), folder, Rules(max_size=RULES.max_size, timeout=timedelta(seconds=5), allow_private=True))
    assert time.monotonic() - begun < 8
    assert held.gone.wait(5)


def test_whoever_hears_of_it_can_stop_it_and_a_later_fetch_goes_on(site: Site, folder: Path):
    held = Held()
    site.pages["/video.mp4"] = File(DATA, cuts=[2_000_000], breaking=held)
    url = shows(site)

    def heard(size: int, _: int | None):
        if size:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(url, folder, RULES, heard=heard)
    assert held.gone.wait(5)
    (part,) = folder.iterdir()
    there = part.stat().st_size
    assert there > 0
    site.pages["/video.mp4"] = File(DATA, proof=False)
    assert get(url, folder).path.read_bytes() == DATA
    assert site.ranges()[-1] == f"bytes={there}-"


# ----- where it may lead


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_page_of_this_machine_is_refused_before_anything_is_sent(site: Site, folder: Path, host: str):
    with pytest.raises(AddressRefused, match="loopback"):
        get(site.url("/watch/1", host=host), folder, Rules(max_size=1000, timeout=RULES.timeout))
    assert site.connections == 0


def test_a_connection_by_name_would_be_looked_up_anew_and_is_refused(site: Site, tmp_path: Path):
    code = (
        "import socket, sys; from trueup.downloads import guard\n"
        "refused, port = guard.install(allow_private=False), int(sys.argv[1])\n"
        "for target in (('localhost', port), ('', port), ('127.0.0.1', port), '/run/x'):\n"
        "    wire = socket.socket(socket.AF_UNIX if isinstance(target, str) else socket.AF_INET)\n"
        "    try: wire.connect(target)\n"
        "    except PermissionError: pass\n"
        "    else: raise SystemExit('connected')\n"
        "wire = socket.socket(type=socket.SOCK_DGRAM)\n"
        "try: wire.sendto(b'x', ('127.0.0.1', 9))\n"
        "except PermissionError: pass\n"
        "assert len(refused) == 5, refused\n"
    )
    subprocess.run([sys.executable, "-c", code, str(site.port)], check=True, timeout=30)
    assert site.connections == 0


def test_an_extractor_starts_no_program(site: Site, folder: Path):
    site.pages["/video.mp4"] = File(DATA)
    with pytest.raises(FetchError, match="no program is started here"):
        get(shows(site, program=["touch", str(folder / "touched")]), folder)
    assert not (folder / "touched").exists()


@pytest.mark.parametrize("module", ["curl_cffi", "pycurl"])
def test_a_client_that_no_hook_sees_cannot_be_loaded(
    site: Site, folder: Path, tmp_path: Path, module: str, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "native").mkdir()
    (tmp_path / "native" / f"{module}.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "native"), os.environ["PYTHONPATH"]]))
    with pytest.raises(FetchError, match=f"import of {module} halted"):
        get(shows(site, module=module), folder)


def test_a_plugin_or_a_setting_in_the_working_folder_is_not_heeded(
    site: Site, folder: Path, tmp_path: Path, monkeypatch
):
    monkeypatch.syspath_prepend(str(tmp_path))  # as `python -m` does
    for place in (tmp_path, folder):
        plugin = place / "yt_dlp_plugins" / "extractor"
        plugin.mkdir(parents=True)
        (plugin / "evil.py").write_text(f"open({str(tmp_path / 'evil')!r}, 'w')")
        (place / "yt-dlp.conf").write_text("--no-such-option")
    site.pages["/video.mp4"] = File(DATA)
    get(shows(site), folder)
    assert not (tmp_path / "evil").exists()


def test_no_proxy_is_asked(site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    site.pages["/video.mp4"] = File(DATA)
    assert get(shows(site), folder).size == len(DATA)


# ----- what goes wrong


def test_a_list_of_several_is_refused(site: Site, folder: Path):
    url = shows(site, entries=[site.url("/watch/2"), site.url("/watch/3")])
    with pytest.raises(FetchError, match="list of several"):
        get(url, folder)
    assert len(site.seen) == 1


@pytest.mark.parametrize(("code", "again"), [(404, False), (403, False), (503, True), (429, True)])
def test_whether_a_retry_can_help_is_told(site: Site, folder: Path, code: int, again: bool):
    site.pages["/watch/1"] = lambda request: answer(request, code)
    with pytest.raises(FetchError, match=str(code)) as told:
        get(site.url("/watch/1?sig=hush"), folder)
    assert told.value.retryable == again
    assert "hush" not in str(told.value)


def test_a_page_nobody_answers_for_may_be_there_later(site: Site, folder: Path):
    url = shows(site)
    site.pages["/watch/1"] = redirect("http://127.0.0.1:9/watch/1")
    with pytest.raises(FetchUnfinished):
        get(url, folder)


def test_the_helper_ends_with_its_parent(site: Site, folder: Path):
    held = site.pages["/video.mp4"] = Held()
    code = (
        "import sys; from datetime import timedelta; from pathlib import Path\n"
        "from trueup.urls.rules import Rules; from trueup.downloads.site import fetch\n"
        "rules = Rules(max_size=10_000_000, timeout=timedelta(seconds=60), allow_private=True)\n"
        "fetch(sys.argv[1], Path(sys.argv[2]), rules, heard=lambda *_: None)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, shows(site), str(folder)]) as process:
        assert held.reached.wait(30)
        process.send_signal(signal.SIGKILL)
    assert held.gone.wait(10)
