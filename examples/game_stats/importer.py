"""ET:Legacy match files into the table `sessions`: one row a match, which has two rounds.

A file is named `2024-03-24-211030-supply-round-1.txt`. Its first line has eight fields with backslashes between them:
server, map, config, round, defender, winner, time limit, time. Each further one is a player: guid, name, rounds, team,
and more.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

if TYPE_CHECKING:
    from trueup.ingest import File, Incoming

NAME = re.compile(r"(\d{4}-\d\d-\d\d-\d{6})-(.+)-round-([12])\.txt")
TOGETHER = timedelta(hours=1)
"""A second round begins at most this long after the first of its match."""

metadata = sa.MetaData()
sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("map", sa.Text, nullable=False),
    *(
        column
        for number in (1, 2)
        for column in (
            sa.Column(f"round{number}_file", sa.Text, unique=True),
            sa.Column(f"round{number}_at", sa.DateTime),
            sa.Column(f"round{number}_time", sa.Text),
            sa.Column(f"round{number}_winner", sa.Text),
            sa.Column(f"round{number}_players", sa.Integer),
        )
    ),
    # How many of its rounds the bot has told of.
    sa.Column("told", sa.Integer, nullable=False, server_default="0"),
)
c = sessions.c


class Round(NamedTuple):
    """One match file."""

    file: str
    map: str
    number: int
    at: datetime
    time: str
    winner: str
    players: int

    def columns(self) -> dict[str, object]:
        """Its share of a row."""
        share = {"file": self.file, "at": self.at, "time": self.time, "winner": self.winner, "players": self.players}
        return {f"round{self.number}_{name}": value for name, value in share.items()}


def import_file(file: File, db: sa.Connection) -> None:
    """Called once for each file. What is written over `db` is kept if, and only if, the file is noted as taken; what is
    raised here is noted as the reason why it was not."""
    metadata.create_all(db)
    this = parse(file.key, file.path.read_text("utf-8", "replace"))
    own = c[f"round{this.number}_file"]
    row = db.scalar(sa.select(c.id).where(own == file.key))  # it was written anew
    if row is None:
        row = db.scalar(half(this))
    if row is None:
        db.execute(sessions.insert().values(map=this.map, **this.columns()))
    else:
        db.execute(sessions.update().where(c.id == row).values(this.columns()))


def already_done(entry: Incoming, db: sa.Connection) -> bool:
    """Whether a file is in the table: the last word where every other memory of it is lost."""
    if not sa.inspect(db).has_table("sessions"):
        return False
    return db.scalar(sa.select(c.id).where((c.round1_file == entry.key) | (c.round2_file == entry.key))) is not None


def half(this: Round) -> sa.Select[tuple[int]]:
    """The match that lacks this round: of those on the same map, the nearest in time. A second round whose first one
    never came is a match of its own, and a first one that comes late still joins it."""
    lacking, other = c[f"round{this.number}_file"], c[f"round{3 - this.number}_at"]
    window = (this.at, this.at + TOGETHER) if this.number == 1 else (this.at - TOGETHER, this.at)
    nearest = other if this.number == 1 else other.desc()
    return sa.select(c.id).where(c.map == this.map, lacking.is_(None), other.between(*window)).order_by(nearest)


def parse(key: str, text: str) -> Round:
    """A match file. Raises `ValueError` for anything else."""
    named = NAME.fullmatch(key.rpartition("/")[2])
    if named is None:
        raise ValueError("the name is not that of a match file")
    header, *lines = text.splitlines() or [""]
    facts = header.split("\\")
    if len(facts) < 8:
        raise ValueError("the first line is not that of a match file")
    if facts[3] != named[3]:
        raise ValueError(f"it is named round {named[3]}, and says round {facts[3]}")
    players = [line for line in lines if line.count("\\") >= 4]
    if not players:
        raise ValueError("nobody played")
    return Round(
        file=key,
        map=named[2],
        number=int(named[3]),
        at=datetime.strptime(named[1], "%Y-%m-%d-%H%M%S"),  # noqa: DTZ007 - the server's own clock
        time=facts[7],
        winner={"1": "axis", "2": "allies"}.get(facts[5], "nobody"),
        players=len(players),
    )
