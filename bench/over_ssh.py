"""Downloading many small files from one SFTP server: next door, and as far away as such servers mostly are."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from bench import inputs, timing, tools
from bench.comparison import Case, in_turns
from tests.servers import distance, kinds
from tests.servers.shared import Plan, free_port

FILES = 1000
DROP = "drop"
"""A folder that is there from the start, empty: the server remembers for long what folders there are."""
ROUND_TRIP = 0.02
"""Seconds to the far server and back: one in the same country."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the server is. `transfers`: as many at once as rclone is fastest with; each has a connection of its own,
    and it makes one in a tenth of a second. Without, rclone runs as it comes."""

    case: str
    port: str
    transfers: int | None


PLACES = (
    Place(case=f"sftp: download {FILES:,} small files", port="port", transfers=8),
    Place(case=f"sftp: the same, {ROUND_TRIP * 1000:g} ms away", port="far", transfers=32),
    Place(case="sftp: the same, rclone as it comes", port="far", transfers=None),
)


def server(folder: Path) -> Plan:
    """rclone's server, and the same at a distance."""
    near = kinds.rclone_sftp(folder, lasting=True)
    (folder / "data" / DROP).mkdir()
    far = free_port()
    script = [sys.executable, distance.__file__, str(far), near.facts["port"], str(ROUND_TRIP)]
    hosts = Path(near.facts["known_hosts"])
    hosts.write_text(
        "".join(hosts.read_text().replace(near.facts["port"], port) + "\n" for port in (near.facts["port"], str(far)))
    )
    return replace(near, commands=[*near.commands, script], facts={**near.facts, "far": str(far)})


class Downloads:
    """Runs the cases, against a server that has the files of `source`."""

    def __init__(self, facts: Mapping[str, str], folder: Path, source: Path, *, say: Callable[[str], None]) -> None:
        self._facts = facts
        self._folder = folder
        self._say = say
        self._numbers = count(1)
        self._digests = inputs.digests(source)
        shutil.copytree(source, Path(facts["folder"]) / "data" / tools.PREFIX)
        self._obscured = obscured()

    def run(self, case: Case, place: Place, *, rounds: int, until: float) -> Case:
        """Each run has a folder of its own that is empty, and trueup an empty memory."""

        def once(tool: str) -> timing.Timing:
            number = next(self._numbers)
            home, into = self._folder / f"ssh-home-{number}", self._folder / f"ssh-down-{number}"
            home.mkdir()
            into.mkdir()
            try:
                environ = tools.environ(self._facts | {"endpoint": "none"}, home) | self._environ(home, place)
                taken = timing.run(self._command(tool, place, home, into), environ, folder=home)
                if inputs.digests(into) != self._digests:
                    raise timing.Failed(f"{tool} did not download what was asked for: {taken.output[-2000:]}")
            finally:
                shutil.rmtree(into)
                shutil.rmtree(home)
            return taken

        return in_turns(case, ("trueup", "rclone"), once, rounds=rounds, until=until, say=self._say)

    def _command(self, tool: str, place: Place, home: Path, into: Path) -> list[str]:
        if tool == "trueup":
            command = [str(tools.BIN / "trueup"), "sync", str(into), "bench", "--pull", "--json"]
            return [*command, "--config", str(home / "trueup.toml")]
        command = [str(tools.BIN / "rclone"), "sync", f"bench:{tools.PREFIX}", str(into)]
        if place.transfers is None:
            return command
        # Without the check for md5sum on the server, rclone compares sizes after each file, as trueup does.
        at_once = str(place.transfers)
        return [*command, "--transfers", at_once, "--checkers", at_once, "--sftp-disable-hashcheck"]

    def _environ(self, home: Path, place: Place) -> dict[str, str]:
        port, hosts = self._facts[place.port], self._facts["known_hosts"]
        (home / "trueup.toml").write_text(
            f'[stores.bench]\nurl = "sftp://{kinds.SFTP_USER}@127.0.0.1:{port}/{tools.PREFIX}"\n'
            f'password = "{kinds.SFTP_PASSWORD}"\nknown_hosts = "{hosts}"\n'
        )
        return rclone_remote(port, hosts, self._obscured)


def obscured() -> str:
    """The server's password as rclone wants it."""
    command = [tools.BIN / "rclone", "obscure", kinds.SFTP_PASSWORD]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def rclone_remote(port: str, known_hosts: str, password: str) -> dict[str, str]:
    """The variables that make the server rclone's remote `bench`."""
    settings = {"type": "sftp", "host": "127.0.0.1", "port": port, "user": kinds.SFTP_USER}
    settings |= {"pass": password, "known_hosts_file": known_hosts, "shell_type": "unix"}
    return {f"RCLONE_CONFIG_BENCH_{name.upper()}": value for name, value in settings.items()}
