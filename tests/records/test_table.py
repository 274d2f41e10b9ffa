from __future__ import annotations

import pytest

from trueup.records.config import Field
from trueup.records.issues import Trouble
from trueup.records.locales import number_form
from trueup.records.table import Table, read_table

FIELDS = {name: Field(name=name) for name in ("followers", "views")}


def read(*lines: list[object]) -> Table:
    form = number_form("en_US")
    assert form is not None
    return read_table(lines, "profile_url", FIELDS, form)


def issues(table: Table) -> list[dict[str, object]]:
    return [issue.to_json() for issue in table.issues]


HEADER = ["Profile URL", "Notes", " FOLLOWERS ", "views\u00a0", "Notes", ""]


def test_columns_are_found_by_their_names_wherever_they_stand():
    table = read(HEADER, ["https://x.com/Nasa", "hi", "1,234", 7.0, "", "=IMPORTXML(A1)"])
    assert {key: (row.profile_url, row.values) for key, row in table.rows.items()} == {
        "x.com/nasa": ("https://x.com/Nasa", {"followers": 1234, "views": 7})
    }
    assert issues(table) == []


def test_a_cell_that_cannot_be_read_is_told_by_its_name_and_the_rest_of_its_row_counts():
    table = read(HEADER, ["x.com/a", "", "#REF!", 7], ["x.com/b", "", "1.2K", "N/A"])
    assert table.rows["x.com/a"].values == {"views": 7}
    assert table.rows["x.com/b"].values == {}
    assert [(issue.kind, issue.cell, issue.key) for issue in table.issues] == [
        ("bad_cell", "C2", "x.com/a"),
        ("bad_cell", "C3", "x.com/b"),
        ("bad_cell", "D3", "x.com/b"),
    ]


def test_short_rows_and_blank_ones_are_no_trouble():
    table = read(HEADER, ["x.com/a"], [], ["", "", ""], ["x.com/b", None, 3])
    assert {key: (row.number, row.values) for key, row in table.rows.items()} == {
        "x.com/a": (2, {}),
        "x.com/b": (5, {"followers": 3}),
    }
    assert issues(table) == []


def test_the_first_row_of_an_account_counts_and_all_are_told():
    table = read(HEADER, ["x.com/a", "", 1], ["https://twitter.com/A", "", 2], ["x.com/b"], ["x.com/a/", "", 3])
    assert table.rows["x.com/a"].values == {"followers": 1}
    assert issues(table) == [{"kind": "duplicate_key", "key": "x.com/a", "rows": [2, 3, 5]}]


@pytest.mark.parametrize("word", ["Total", "TOTALS:", "Sum of all", "Gesamt", "Итого"])
def test_a_row_of_totals_is_no_account(word: str):
    table = read(HEADER, ["x.com/a", "", 1], [word, "", 1])
    assert list(table.rows) == ["x.com/a"]
    assert issues(table) == []


def test_a_row_whose_key_is_none_is_told():
    table = read(HEADER, ["#N/A", "", 1], ["nasa", "", 1], ["", "", 5])
    assert table.rows == {}
    assert [(issue["kind"], issue["cell"]) for issue in issues(table)] == [("bad_cell", f"A{row}") for row in (2, 3, 4)]


def test_two_columns_of_one_name_are_refused_and_two_that_nobody_reads_are_not():
    with pytest.raises(Trouble, match="two columns are called followers: B1 and C1") as refused:
        read(["profile_url", "followers ", "Followers"])
    assert refused.value.code == "duplicate_header"


def test_a_sheet_without_its_key_column_is_refused():
    for header in ([], ["", "followers"]):
        with pytest.raises(Trouble) as refused:
            read(header)
        assert refused.value.code == "missing_key_column"


def test_a_field_without_its_column_is_told_and_absent():
    table = read(["profile_url", "views"], ["x.com/a", 5])
    assert table.rows["x.com/a"].values == {"views": 5}
    assert issues(table) == [{"kind": "missing_column", "field": "followers"}]
