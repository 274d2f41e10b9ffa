"""What lies in deploy/ names commands, settings, routes, ports and times as they are. No container is started here."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from tests.api.server import serving, world
from tests.docs.pages import ROOT
from trueup.api.app import create_app
from trueup.api.gate import LARGEST
from trueup.api.serve import PATIENCE
from trueup.api.service import Service
from trueup.catalog.database import database_of
from trueup.cli.app import app
from trueup.config import load
from trueup.jobs.config import server_config
from trueup.jobs.work import GRACE

DEPLOY = ROOT / "deploy"
CONTAINERFILE = (DEPLOY / "Containerfile").read_text("utf-8")
NGINX = (DEPLOY / "nginx.conf").read_text("utf-8")
EXAMPLE = (DEPLOY / "trueup.env.example").read_text("utf-8")
UNITS = sorted(DEPLOY.glob("*.service"))
PORT = 8000
TELLING = 31
"""Seconds that may pass until a database that is slow has been told how a job ended."""


def composed() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))


def ours() -> dict[str, dict[str, Any]]:
    return {name: one for name, one in composed()["services"].items() if one["image"] == "trueup"}


def check_command(words: list[str]) -> None:
    """Raise for a command, or an option, that there is not."""
    command: Any = typer.main.get_command(app)
    context = command.context_class(command, info_name="trueup")
    while hasattr(command, "commands"):
        command = command.commands[words[0]]
        words = words[1:]
    command.make_context("trueup", list(words), parent=context)


def instructions(name: str) -> list[str]:
    joined = CONTAINERFILE.replace("\\\n", "")
    return [line.removeprefix(name).strip() for line in joined.splitlines() if line.startswith(f"{name} ")]


# ----- the container


def test_the_image_gets_all_that_the_package_is_built_from_and_nothing_else():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    copied = {name for line in instructions("COPY") if "--from" not in line for name in line.split()[:-1]}
    assert copied == {"pyproject.toml", project["readme"], *project["license-files"], "src"}
    assert all((ROOT / name).exists() for name in copied)
    ignored = (DEPLOY / "Containerfile.dockerignore").read_text("utf-8").splitlines()
    assert ignored[0] == "*"
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    [extras] = re.findall(r"'/checkout\[([a-z,]+)\]'", CONTAINERFILE)
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    assert {"server", "web", "celery", "postgres"} <= set(extras.split(","))


def test_the_image_is_not_root_holds_no_secret_and_starts_what_there_is():
    assert instructions("USER") == ["trueup"]
    assert not re.search(r"(KEY|PASSWORD|SECRET|TOKEN)\s*=", CONTAINERFILE)
    assert instructions("ENTRYPOINT") == ['["trueup"]']
    check_command(yaml.safe_load(instructions("CMD")[0]))
    assert instructions("EXPOSE") == [str(PORT)]
    assert f"http://127.0.0.1:{PORT}/healthz" in CONTAINERFILE


def test_the_image_s_settings_are_settings(monkeypatch: pytest.MonkeyPatch):
    [more] = [line for line in instructions("ENV") if "TRUEUP_HOME" in line]
    environ = dict(pair.split("=", 1) for pair in shlex.split(more))
    for name in ("TRUEUP_HOME", "HOST", "PORT"):
        monkeypatch.setenv(name, environ[name])
    config = server_config(load())
    assert (config.host, config.port, str(load().home)) == ("0.0.0.0", PORT, "/data/state")


def test_the_image_s_health_check_sees_a_server_that_answers_and_one_that_does_not(tmp_path: Path):
    [line] = re.findall(r"HEALTHCHECK .*?CMD (\[.*\])", CONTAINERFILE.replace("\\\n", ""))
    program, *arguments = yaml.safe_load(line)
    assert program == "python"
    with serving(world(tmp_path), key="a-key-for-others") as server:
        asks = [word.replace(f"http://127.0.0.1:{PORT}", server.url) for word in arguments]
        assert asks != arguments
        assert subprocess.run([sys.executable, *asks], check=False).returncode == 0
    assert subprocess.run([sys.executable, *asks], check=False, capture_output=True).returncode != 0


# ----- several of them


def test_every_command_of_the_compose_file_is_one_of_ours():
    assert {name: one["command"][0] for name, one in ours().items()} == {
        "migrate": "db", "api": "serve", "worker": "worker", "beat": "beat",
    }  # fmt: skip
    for service in ours().values():
        check_command(service["command"])


def test_the_compose_file_s_variables_are_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    given = ours()["api"]["environment"]
    assert all(one["environment"] == given for one in ours().values())
    for name, value in given.items():
        monkeypatch.setenv(name, re.sub(r"\$\{POSTGRES_PASSWORD:\?[^}]*\}", "pw", value))
    mounts = dict(mount.split(":")[:2][::-1] for mount in ours()["api"]["volumes"])
    settings = DEPLOY / mounts[given["TRUEUP_CONFIG"]]
    monkeypatch.setenv("TRUEUP_CONFIG", str(settings))
    services = composed()["services"]
    assert database_of(load()) == "postgresql://trueup:pw@postgres/trueup"
    assert server_config(load()).broker == "redis://redis:6379/0"
    assert {"postgres", "redis"} <= services.keys()
    assert services["postgres"]["environment"]["POSTGRES_USER"] == "trueup"
    assert services["postgres"]["environment"]["POSTGRES_DB"] == "trueup"
    text = settings.read_text("utf-8")
    tomllib.loads(text)
    shown = re.sub(r"(?m)^#(?=[\[\w])", "", text)
    (tmp_path / "trueup.toml").write_text(shown)
    assert set(load(tmp_path / "trueup.toml").sections) >= {"pool", "records", "ingest"} <= set(tomllib.loads(shown))


def test_a_proxy_is_believed_from_wherever_in_the_network_of_the_containers_it_asks():
    [network] = [one["subnet"] for one in composed()["networks"]["default"]["ipam"]["config"]]
    assert not any("networks" in one or "network_mode" in one for one in composed()["services"].values())
    assert server_config(load(DEPLOY / "trueup.toml")).proxies == (network,)


def test_only_this_machine_reaches_the_containers():
    published = {name: one["ports"] for name, one in composed()["services"].items() if "ports" in one}
    assert published == {"api": [f"127.0.0.1:{PORT}:{PORT}"]}


def test_everything_is_watched_restarted_and_given_time_to_stop():
    services = composed()["services"]
    for name, one in services.items():
        assert one["restart"] in {"unless-stopped", "on-failure"}, name
        for other, needed in one.get("depends_on", {}).items():
            if needed["condition"] == "service_healthy":
                assert "test" in services[other]["healthcheck"], other
    volumes = {mount.split(":")[0] for one in services.values() for mount in one.get("volumes", ())}
    assert {name for name in volumes if not name.startswith(".")} == set(composed()["volumes"])
    for one in ours().values():
        assert int(one["stop_grace_period"].removesuffix("s")) >= PATIENCE + GRACE + TELLING
        assert one["build"]["dockerfile"] == "deploy/Containerfile"
        assert (DEPLOY / one["build"]["context"] / one["build"]["dockerfile"]).is_file()
        assert one["env_file"] == "trueup.env"


def test_the_example_of_the_environment_names_what_is_needed_and_holds_no_secret():
    needed = dict(line.split("=", 1) for line in EXAMPLE.splitlines() if re.match(r"\w+=", line))
    assert needed == {"TRUEUP_API_KEY": "", "POSTGRES_PASSWORD": ""}
    assert all(line.startswith("#") or line.partition("=")[2] == "" for line in EXAMPLE.splitlines())


# ----- systemd


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_starts_what_there_is_and_is_locked_up(unit: Path, tmp_path: Path):
    lines = re.findall(r"^(\w+)=(.*)$", unit.read_text("utf-8"), re.MULTILINE)
    said = dict(lines)
    program, *words = shlex.split(said["ExecStart"])
    assert program == "/opt/trueup/bin/trueup"
    check_command(words)
    assert words[0] == {"trueup": "serve"}.get(unit.stem, unit.stem.removeprefix("trueup-"))
    assert int(said["TimeoutStopSec"]) >= PATIENCE + GRACE + TELLING
    assert said["KillMode"] == "mixed"
    assert said["StateDirectory"] == "trueup"
    assert "TRUEUP_HOME=/var/lib/trueup" in said["Environment"]
    for name, value in {
        "DynamicUser": "yes", "ProtectSystem": "strict", "NoNewPrivileges": "yes", "CapabilityBoundingSet": "",
        "SystemCallErrorNumber": "EPERM",
    }.items():  # fmt: skip
        assert said[name] == value
    if (judge := shutil.which("systemd-analyze")) is not None:
        there = tmp_path / unit.name
        there.write_text(unit.read_text("utf-8").replace(program, "/bin/true"))
        judged = subprocess.run([judge, "verify", str(there)], capture_output=True, text=True, check=False)
        assert (judged.returncode, judged.stderr) == (0, "")


def test_there_is_a_unit_for_each_of_the_three():
    assert {unit.stem for unit in UNITS} == {"trueup", "trueup-beat", "trueup-worker"}
    reader = configparser.ConfigParser(strict=False, interpolation=None)
    shared = [unit.read_text("utf-8").partition("# Ten seconds")[2] for unit in UNITS]
    assert len(set(shared)) == 1
    for unit in UNITS:
        reader.read(unit)
        assert reader.sections() == ["Unit", "Service", "Install"]


# ----- nginx


def test_the_proxy_lets_through_what_the_server_takes_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(world(tmp_path))
    monkeypatch.setenv("TRUEUP_HOME", str(tmp_path / "state"))
    assert f"server 127.0.0.1:{PORT};" in NGINX
    assert f"client_max_body_size  {LARGEST >> 10}k;" in NGINX
    assert NGINX.count("{") == NGINX.count("}")
    assert "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;" in NGINX
    assert "proxy_set_header Host $http_host;" in NGINX  # $host has no port
    settings = load()
    paths = create_app(Service(settings, server_config(settings))).openapi()["paths"]
    places = dict(re.findall(r"location (.+?) \{(.*?)\n    \}", NGINX, re.DOTALL))
    for place in places:
        how, _, pattern = place.rpartition(" ")
        if how == "~":
            assert [path for path in paths if re.match(pattern, path)], place
        elif how == "=":
            assert pattern in paths
    stream = places[r"~ ^/api/runs/[^/]+/events$"]
    assert "proxy_buffering off;" in stream
