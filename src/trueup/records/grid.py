"""A CSV file as rows of cells."""

from __future__ import annotations

import csv
from pathlib import Path

from trueup.records.issues import BAD_ANSWER, UNAVAILABLE, Trouble

_DELIMITERS = ",;\t"


def csv_grid(path: Path) -> list[list[str]]:
    """The rows of a file, whose first line shows what stands between its cells. Raises `Trouble`."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            delimiter = max(_DELIMITERS, key=lines.readline().count)
            lines.seek(0)
            return list(csv.reader(lines, delimiter=delimiter, strict=True))
    except FileNotFoundError:
        raise Trouble(UNAVAILABLE, f"{path} is not there") from None
    except OSError as error:
        raise Trouble(UNAVAILABLE, f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise Trouble(BAD_ANSWER, f"{path} is no CSV file in UTF-8: {error}") from error
