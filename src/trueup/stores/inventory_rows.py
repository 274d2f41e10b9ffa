"""The rows of an inventory report, sorted: DuckDB reads the files, keeps what is asked for and sorts it outside memory.

Nothing else imports DuckDB.
"""

from __future__ import annotations

import gzip
import re
import threading
import zlib
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeVar

from trueup import keys
from trueup.errors import ConfigError, Interrupted, ListingUnfinished, MissingExtra
from trueup.stores.inventory_manifest import AGAIN, AZURE, GOOGLE, S3, Report
from trueup.stores.place import Place
from trueup.stores.stopping import apart

if TYPE_CHECKING:
    import duckdb

_MEMORY: Final = "256MB"
"""What DuckDB may use for its work: five million rows were sorted with it."""
_PAGE: Final = 1000
_ALL: Final = "all of it"
_Result = TypeVar("_Result")
_HEAD: Final = 1 << 16
"""Bytes in which the first line of a CSV ends."""


class TooMuch(Exception):
    """DuckDB cannot sort the rows in the memory it may use: it keeps long names there, if they are many."""


class Row(NamedTuple):
    """One object as the report shows it."""

    key: str
    """Below the place's prefix."""
    size: int
    """Bytes."""
    mtime_us: int
    """Microseconds since 1970."""
    etag: str | None
    md5: str | None
    """Base64; None where the report does not say."""


class _Columns(NamedTuple):
    """What a cloud calls things. CSV and Parquet differ in case and dashes: `ETag` and `e_tag` are the same."""

    key: str
    size: str
    modified: str
    etag: str
    md5: str
    bucket: str
    current: tuple[tuple[frozenset[str], str], ...]
    """What holds of a row about what lies there now, where the report has the columns for it."""
    tells_version: str
    """With `versionid`, the column that is needed beside it."""
    cure: str


_CLOUDS: Final = {
    S3: _Columns(
        *("Key", "Size", "LastModifiedDate", "ETag", "", "Bucket"),
        current=(
            (frozenset({"islatest"}), "islatest = 'true'"),
            (frozenset({"isdeletemarker"}), "isdeletemarker is distinct from 'true'"),
        ),
        tells_version="IsLatest",
        cure="Let the inventory write it: Size, LastModifiedDate and ETag are needed",
    ),
    AZURE: _Columns(
        *("Name", "Content-Length", "Last-Modified", "ETag", "Content-MD5", ""),
        current=(
            (frozenset({"snapshot"}), "snapshot is null"),
            (frozenset({"deleted"}), "deleted is distinct from 'true'"),
            # A blob from before versions were switched on has none.
            (frozenset({"versionid", "iscurrentversion"}), "(versionid is null or iscurrentversion = 'true')"),
        ),
        tells_version="IsCurrentVersion",
        cure="Let the rule write it: Content-Length, Last-Modified, Content-MD5 and ETag are needed",
    ),
    GOOGLE: _Columns(
        *("name", "size", "updated", "etag", "md5Hash", "bucket"),
        current=((frozenset({"timedeleted"}), "timedeleted is null"),),
        tells_version="",
        cure="Let the report have it: size, updated, md5Hash and etag are needed, and in CSV a header",
    ),
}


_FLAGS: Final = {
    "islatest": ("IsLatest", "islatest is null or islatest not in ('true', 'false')"),
    "isdeletemarker": ("IsDeleteMarker", "isdeletemarker not in ('true', 'false')"),
    "iscurrentversion": ("IsCurrentVersion", "iscurrentversion not in ('true', 'false')"),
    "deleted": ("Deleted", "deleted not in ('true', 'false')"),
}
"""What a flag is called, and when it cannot be read. A cloud leaves most of them empty where they are false."""
_LAST_MS: Final = 253_402_300_799_999
"""The end of the year 9999, in milliseconds since 1970: what lies beyond is counted in something else."""


class Rows:
    """The rows of one report that are about a place; `folder` holds them meanwhile. Use as a context manager.

    Raises `MissingExtra` where DuckDB is not installed. The methods raise `ListingUnfinished` for what cannot be read,
    `ConfigError` for what was not written, or is about another bucket, and `Interrupted`.
    """

    def __init__(self, report: Report, place: Place, folder: Path) -> None:
        try:
            import duckdb
        except ModuleNotFoundError:
            raise MissingExtra("an inventory report", "inventory") from None
        self._trouble = duckdb.Error
        self._too_much = duckdb.OutOfMemoryException
        self._report = report
        self._place = place
        self._columns = _CLOUDS[report.service]
        self._counted = 0
        self._busy = threading.Lock()
        self._db = duckdb.connect(
            str(folder / "rows.duckdb"),
            config={
                "memory_limit": _MEMORY,
                "threads": 2,
                "temp_directory": str(folder / "spill"),
                "preserve_insertion_order": False,
                # Nothing is fetched from anywhere.
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
        self._db.execute("set TimeZone = 'UTC'")  # of a time that does not say
        self._db.execute(
            "create table rows "
            "(key varchar, size ubigint, mtime_us bigint, etag varchar, md5 varchar, bucket varchar, unread varchar)"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._busy:  # what was interrupted has ended
            self._db.close()

    def add(self, file: Path, name: str) -> None:
        """Take the rows of one file of the report; `name` is what messages call it."""
        self._asked(lambda: self._take(file, name), name)

    def check(self) -> None:
        """All files were taken: whether the rows are as many as there should be."""
        wanted = self._report.rows
        if wanted is not None and self._counted < wanted:
            raise ListingUnfinished(
                f"the inventory report has {self._counted:,} of the {wanted:,} rows its manifest tells of", cure=AGAIN
            )
        query = "select unread, key from rows where unread is not null limit 1"
        if found := self._asked(lambda: self._db.execute(query).fetchone(), _ALL):
            raise _untold(*found)

    def _require_own(self, source: str, bucket: str) -> None:
        """Refuse a file with rows of another bucket: below this place's prefix there may be none of them."""
        other = self._one(f"select min({bucket}) from {source} where {bucket} <> ?", [self._place.bucket])  # noqa: S608
        if other is not None:
            raise ConfigError(
                f"the inventory report is about the bucket {keys.display(other)}, not about {self._place.url}",
                cure="Name where its own reports lie",
            )

    def rows(self, *, ordered: bool) -> Generator[Row]:
        """All of them, with `ordered` ascending by the normal form of their keys. Raises `TooMuch`, at once, where
        that takes more memory than there may be."""
        order = "order by nfc_normalize(key)" if ordered else ""
        query = f"select key, size, mtime_us, etag, md5 from rows {order}"  # noqa: S608 - one of two constants

        def sort() -> duckdb.DuckDBPyConnection:
            try:
                return self._db.execute(query)
            except self._too_much:
                raise TooMuch from None

        return self._read(self._asked(sort, _ALL))

    def _read(self, result: duckdb.DuckDBPyConnection) -> Generator[Row]:
        while page := self._asked(lambda: result.fetchmany(_PAGE), _ALL, aside=False):
            for row in page:
                if row[1] is None or row[2] is None:
                    raise _untold("size" if row[1] is None else "time", row[0])
                yield Row._make(row)

    def _take(self, file: Path, name: str) -> None:
        source = self._source(file)
        described = self._db.execute(f"describe select * from {source}").fetchall()  # noqa: S608 - see _source
        there = {_bare(spelled): (_quoted(spelled, '"'), str(kind)) for spelled, kind, *_ in described}
        self._require(there, name)
        if self._report.rows is not None:
            self._counted += self._one(f"select count(*) from {source}")  # noqa: S608 - see _source
        columns = self._columns
        told = [(needed, test) for needed, test in columns.current if needed <= there.keys()]
        flags = sorted({flag for needed, _ in told for flag in needed})
        current = " and ".join(test for _, test in told) or "true"
        odd = [f"when {test} then '{name}'" for name, test in (_FLAGS[flag] for flag in flags if flag in _FLAGS)]
        unread = f"case {' '.join(odd)} end" if odd else "null"
        key = f"coalesce({_text(there[_bare(columns.key)])}, '')"
        if self._report.service == S3 and self._report.format == "csv":
            key = f"url_decode(replace({key}, '+', ' '))"  # as in a URL's query, so that no name needs quotes
        chosen = [
            f"{key} as key",
            f"{_size(there[_bare(columns.size)])} as size",
            f"{_time(there[_bare(columns.modified)])} as mtime_us",
            f"{_text(there[_bare(columns.etag)])} as etag",
            f"{_text(there[_bare(columns.md5)]) if columns.md5 else 'null'} as md5",
            f"{_text(there[_bare(columns.bucket)]) if columns.bucket else 'null'} as bucket",
            *(f"lower({_text(there[flag])}) as {flag}" for flag in flags),
        ]
        if columns.bucket:
            self._require_own(source, _text(there[_bare(columns.bucket)]))
        self._db.execute(
            "insert into rows select substr(key, length($scope) + 1), size, mtime_us, etag, md5, bucket, "  # noqa: S608
            f"{unread} from (select {', '.join(chosen)} from {source}) "
            f"where starts_with(key, $scope) and (({current}) or {unread} is not null)",
            {"scope": self._scope},
        )

    @property
    def _scope(self) -> str:
        """What the names of this place begin with in the report."""
        container = f"{self._place.bucket}/" if self._report.service == AZURE else ""
        return container + self._place.prefix

    def _require(self, there: dict[str, tuple[str, str]], name: str) -> None:
        columns = self._columns
        needed = [columns.key, columns.size, columns.modified, columns.etag, columns.md5, columns.bucket]
        if "versionid" in there:
            needed.append(columns.tells_version)
        for column in filter(None, needed):
            if _bare(column) not in there:
                raise ConfigError(f"{keys.display(name)} has no field {column}", cure=columns.cure)

    def _source(self, file: Path) -> str:
        """The file as a table of SQL. What is in it comes from this machine, or is quoted."""
        path = _quoted(str(file))
        if self._report.format == "parquet":
            return f"read_parquet({path}, binary_as_string = true)"
        with file.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(file) if packed else file.open("rb") as text:
            line = text.readline(_HEAD).decode("utf-8-sig", "replace")
        names, mark = (self._report.columns, ",") if self._report.columns else _header(line)
        columns = ", ".join(f"{_quoted(name)}: 'VARCHAR'" for name in names)
        ends = r"\r\n" if line.endswith("\r\n") else r"\n"
        return (
            f"read_csv({path}, auto_detect = false, header = {not self._report.columns}, columns = {{{columns}}}, "
            f"delim = {_quoted(mark)}, quote = '\"', escape = '\"', compression = '{'gzip' if packed else 'none'}', "
            # Left to find out, it took a name with another kind of line break for the end of the line.
            f"new_line = '{ends}')"
        )

    def _one(self, query: str, values: list[str] | None = None) -> Any:  # noqa: ANN401 - whatever it is
        found = self._db.execute(query, values or []).fetchone()
        assert found is not None
        return found[0]

    def _asked(self, work: Callable[[], _Result], what: str, *, aside: bool = True) -> _Result:
        """What DuckDB answers; `aside`, in a way that a stop need not wait for."""

        def working() -> _Result:
            with self._busy:
                return work()

        try:
            return apart(working) if aside else working()
        except Interrupted:
            self._db.interrupt()
            raise
        except self._too_much as error:  # a page of Parquet is unpacked as a whole
            csv = "Let the inventory write CSV, or leave" if self._report.format == "parquet" else "Leave"
            raise ListingUnfinished(
                f"the inventory report takes more than the {_MEMORY} of memory that reading it may take "
                f"({keys.display(what)})",
                cure=f"{csv} out --inventory",
            ) from error
        except (self._trouble, zlib.error, EOFError, OSError) as error:
            message = f"the inventory report cannot be read ({keys.display(what)}): {_in_short(error)}"
            raise ListingUnfinished(message, cure=AGAIN) from error


def _untold(what: str, key: str) -> ListingUnfinished:
    said = f"the inventory report tells no {what} of '{keys.display(key)}' that can be read"
    return ListingUnfinished(said, cure=AGAIN)


def _header(line: str) -> tuple[tuple[str, ...], str]:
    """The names in the first line of a CSV, and what stands between them."""
    line = line.rstrip("\r\n")
    found = re.match(r'"?[\w -]+"?([^\w" -])', line)
    mark = found[1] if found else ","
    return tuple(name.strip('"') for name in line.split(mark)), mark


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _quoted(text: str, mark: str = "'") -> str:
    return mark + text.replace(mark, mark * 2) + mark


def _in_short(error: Exception) -> str:
    """DuckDB's sentence, without the line it quotes and its hints."""
    lines = str(error).partition("Possible ")[0].splitlines()
    return "; ".join(keys.display(line) for line in lines if line and not line.startswith("Original Line"))[:300]


_Column = tuple[str, str]
"""Its name, quoted, and its type."""


def _text(column: _Column) -> str:
    return f"nullif({column[0]}::varchar, '')"


def _size(column: _Column) -> str:
    """Bytes; null for what is none."""
    name, kind = column
    if kind == "VARCHAR":
        return f"case when regexp_full_match({name}, '[0-9]+') then try_cast({name} as ubigint) end"
    return f"try_cast({name} as ubigint)"


def _time(column: _Column) -> str:
    """Microseconds since 1970; null for what is no time."""
    name, kind = column
    if kind == "VARCHAR":
        spelled_out = f"try_strptime({name}, '%a, %d %b %Y %H:%M:%S GMT')::timestamptz"
        return f"epoch_us(coalesce(try_cast({name} as timestamptz), {spelled_out}))"
    if kind == "BIGINT":
        return f"case when {name} between -{_LAST_MS} and {_LAST_MS} then {name} * 1000 end"
    return f"epoch_us({name})"
