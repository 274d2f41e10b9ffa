"""What a fetched file is called."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueup.downloads.naming import clean, name_of


def named(disposition: str = "", path: str = "/a/file.zip", media_type: str = "") -> str:
    return name_of(disposition=disposition, path=path, media_type=media_type)


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="report.pdf"', "report.pdf"),
        ("attachment; filename=report.pdf", "report.pdf"),
        ("attachment; filename=\"plain.pdf\"; filename*=UTF-8''%e2%82%ac%20rates.pdf", "€ rates.pdf"),
        ("attachment; filename*=iso-8859-1'en'%A3%20rates.pdf; filename=plain.pdf", "£ rates.pdf"),
        ("attachment; filename*=utf-8''%ff%fe; filename=plain.pdf", "plain.pdf"),
        ("attachment; filename*=utf-7''+AC8-etc; filename=plain.pdf", "plain.pdf"),
        (r'attachment; filename="a\"b;c.txt"', 'a"b;c.txt'),
        ('attachment; filename="größe.txt"'.encode().decode("latin-1"), "größe.txt"),
        ('attachment; filename="größe.txt"', "größe.txt"),
        ('attachment; filename="../../etc/passwd.txt"', "passwd.txt"),
        ("attachment; filename*=UTF-8''..%2F..%2Fetc%2Fcron.txt", "cron.txt"),
        (r'attachment; filename="C:\\Windows\\evil.exe"', "evil.exe"),
        ('attachment; filename=".bashrc.txt"', "bashrc.txt"),
        ("attachment; filename*=UTF-8''photo%E2%80%AEgpj.exe", "photogpj.exe"),
        ("attachment; filename*=UTF-8''a%00b%0d%0ac.txt", "abc.txt"),
        ('attachment; filename=".."', "download"),
        ("attachment; filename*=UTF-8''.%20%E3%80%80.a.txt", "a.txt"),
        ("attachment", "file.zip"),
        ("", "file.zip"),
    ],
)
def test_the_server_names_the_file_and_nothing_else(disposition: str, name: str):
    assert named(disposition) == name


@pytest.mark.parametrize(
    ("path", "media_type", "name"),
    [
        ("/", "text/html; charset=utf-8", "download.html"),
        ("/photo", "image/png", "photo.png"),
        ("/photo.jpeg", "image/png", "photo.jpeg"),
        ("/data", "application/octet-stream", "data"),
        ("/data", "no/such", "data"),
        ("/a%2Fb.txt", "", "b.txt"),
        ("/caf%C3%A9.txt", "", "café.txt"),
        ("/cafe%CC%81.txt", "", "café.txt"),
    ],
)
def test_the_url_names_it_else_and_its_type_gives_the_extension(path: str, media_type: str, name: str):
    assert named(path=path, media_type=media_type) == name


def test_a_long_name_keeps_its_extension():
    name = clean("ä" * 300 + ".tar")
    assert name.endswith("ä.tar")
    assert 148 <= len(name.encode()) <= 150


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=400), st.sampled_from(["", ".zip", "/..", "\\", ". ."]))
def test_a_clean_name_is_one_harmless_segment_and_stays_as_it_is(text: str, end: str):
    name = clean(text + end)
    assert name
    assert not set(name) & set("/\\")
    assert not any(unicodedata.category(char) in {"Cc", "Cf", "Cs"} for char in name)
    assert name[0] not in ". "
    assert name[-1] not in ". "
    assert len(name.encode()) <= 150
    assert unicodedata.is_normalized("NFC", name)
    assert clean(name) == name
