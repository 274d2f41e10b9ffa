from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.records.cells import BLANK, LARGEST, Absent, a1, text, whole_number
from trueup.records.locales import PLAIN, NumberForm, number_form


def form(locale: str) -> NumberForm:
    found = number_form(locale)
    assert found is not None
    return found


US, GERMANY, FRANCE, INDIA, SWISS = map(form, ("en_US", "de_DE", "fr_FR", "en_IN", "de_CH"))


@pytest.mark.parametrize(
    ("cell", "locale", "value"),
    [
        (5, US, 5),
        (5.0, US, 5),
        (Decimal("5.00"), US, 5),
        (0, US, 0),
        ("0", US, 0),
        ("0123", US, 123),
        (" 12\u00a0", US, 12),
        ("\ufeff12\u200b", US, 12),
        ("1,234", US, 1234),
        ("1,234,567", US, 1234567),
        ("1,234.0", US, 1234),
        ("1.234", GERMANY, 1234),
        ("1.234,00", GERMANY, 1234),
        ("1 234", FRANCE, 1234),
        ("1\u202f234\u202f567", FRANCE, 1234567),
        ("12,34,567", INDIA, 1234567),
        ("1'234", SWISS, 1234),
        (str(LARGEST), US, LARGEST),
    ],
)
def test_a_number_is_read_as_its_locale_writes_it(cell: object, locale: NumberForm, value: int):
    assert whole_number(cell, locale) == value


@pytest.mark.parametrize(
    ("cell", "locale"),
    [
        ("1.2K", US),
        ("N/A", US),
        ("-", US),
        ("5%", US),
        ("$5", US),
        ("1e6", US),
        ("1E+06", US),
        ("+5", US),
        ("0x10", US),
        ("1_000", US),
        ("TRUE", US),
        (True, US),
        ("=IMPORTXML(A1)", US),
        ("1,23", US),
        ("1,2345", US),
        ("1,234 567", US),
        (",234", US),
        ("12,34,567", US),
        ("12,34", INDIA),
        ("1.5", US),
        ("1.000", US),
        ("1.234,5", US),
        ("1,000", GERMANY),
        ("1 234", US),
        ("1,234", PLAIN),
        ("12\n34", US),
        ("١٢٣", US),
        ("５", US),
        ("²", US),
        (1.5, US),
        (float("nan"), US),
        (float("inf"), US),
        (Decimal("1.5"), US),
        (Decimal("NaN"), US),
        (2.0**60, US),
        (-1, US),
        (-1.0, US),
        ("-5", US),
        ("\u22125", US),
        (LARGEST + 1, US),
        ("9" * 5000, US),
        pytest.param(10**5000, US, id="huge"),
        pytest.param(-(10**5000), US, id="tiny"),
        ("5\ud800", US),
    ],
)
def test_whatever_is_no_count_is_absent_with_a_reason(cell: object, locale: NumberForm):
    read = whole_number(cell, locale)
    assert isinstance(read, Absent)
    assert read.reason
    assert len(read.reason) < 100


@pytest.mark.parametrize("cell", [None, "", "  ", "\u00a0\u2003", "\u200b"])
def test_a_blank_is_absent_without_a_reason(cell: object):
    assert whole_number(cell, US) == BLANK == text(cell)


@pytest.mark.parametrize("cell", ["#REF!", "#N/A", "#DIV/0!", "#VALUE!", "#NAME?", "#NUM!", "#ERROR!", "#n/a"])
def test_an_error_of_the_sheet_is_no_number_and_no_text(cell: str):
    for read in (whole_number(cell, US), text(cell)):
        assert read == Absent(f"{cell!r} is an error of the sheet")


def test_text_is_what_the_cell_shows():
    assert [text(cell) for cell in (" Nasa ", 5, 5.0, 1.5, True, "0123")] == ["Nasa", "5", "5", "1.5", "TRUE", "0123"]


def test_a_text_that_no_file_can_hold_is_absent():
    assert text("Nas\ud800") == Absent("'Nas\\ud800' is no text")


@given(st.integers(0, LARGEST), st.sampled_from([US, GERMANY, FRANCE, INDIA, SWISS, PLAIN]))
def test_every_number_is_read_back_plain_and_grouped(number: int, locale: NumberForm):
    assert whole_number(str(number), locale) == number
    for group in locale.groups:
        assert whole_number(f"{number:,}".replace(",", group), locale) == number


@given(st.text())
def test_no_text_is_read_as_a_number_that_it_does_not_spell(cell: str):
    read = whole_number(cell, US)
    if isinstance(read, int):
        assert str(read) in cell.replace(",", "").replace("\u2212", "-")


@pytest.mark.parametrize(
    ("locale", "decimal"), [("es_MX", "."), ("es_ES", ","), ("pt-BR", ","), ("de_CH", "."), ("zh_Hant_TW", ".")]
)
def test_a_country_may_write_otherwise_than_its_language(locale: str, decimal: str):
    assert form(locale).decimal == decimal


@pytest.mark.parametrize("locale", ["", "xx", "C.UTF-8", "english", "de_DE_x"])
def test_an_unknown_locale_is_not_guessed(locale: str):
    assert number_form(locale) is None


def test_cells_have_the_names_that_people_see():
    assert [a1(1, 1), a1(2, 2), a1(10, 26), a1(3, 27), a1(2, 28), a1(7, 702), a1(7, 703)] == [
        "A1", "B2", "Z10", "AA3", "AB2", "ZZ7", "AAA7",
    ]  # fmt: skip
