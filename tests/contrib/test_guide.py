"""The guide describes what there is: flags, names, options, exit codes; and its settings are ones that work."""

from __future__ import annotations

import inspect
import re

from django.core.management import load_command_class
from django.core.management.base import BaseCommand
from django.test import override_settings
from django.utils.module_loading import import_string

from tests.docs.pages import DOCS, blocks, first_cells, section
from trueup.contrib.django import credentials, running
from trueup.contrib.django.storage import TrueupStorage

GUIDE = (DOCS / "guides" / "django.md").read_text("utf-8")


def flags(command: BaseCommand) -> set[str]:
    parser = command.create_parser("manage.py", "")
    return {text for action in parser._actions for text in action.option_strings if text.startswith("--")}


def test_every_flag_is_described():
    own = flags(load_command_class("trueup.contrib.django", "update_storage")) - flags(BaseCommand())
    described = {cell.split()[0] for cell in first_cells(section(GUIDE, "The commands")) if cell.startswith("--")}
    assert described == own
    assert flags(load_command_class("trueup.contrib.django", "sync_storage")) - flags(BaseCommand()) == own
    assert "`storage_sync_ui`" in GUIDE
    own = flags(load_command_class("trueup.contrib.django", "reconcile_storage")) - flags(BaseCommand())
    assert {cell.split()[0] for cell in first_cells(section(GUIDE, "What the storages really hold"))} == own


def test_every_name_option_and_setting_is_described():
    assert first_cells(section(GUIDE, "Credentials")) == set(credentials.COLUMNS)
    parameters = set(inspect.signature(TrueupStorage.__init__).parameters) - {"self"}
    assert first_cells(section(GUIDE, "A storage for files")) == parameters
    for setting in (
        "TRUEUP_BUCKET",
        "TRUEUP_HOME",
        "TRUEUP_CREDENTIALS_KEY",
        "SECRET_KEY_FALLBACKS",
        "TRUEUP_STORAGES",
    ):
        assert setting in GUIDE, setting


def test_every_exit_code_is_described():
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", section(GUIDE, "Exit codes"), re.MULTILINE)}
    assert codes == set(running._GRAVEST_FIRST)


def test_the_settings_of_the_guide_work():
    found: dict[str, object] = {}
    for block in blocks(GUIDE):
        if block.language == "python":
            exec(block.text, found)
    assert {"INSTALLED_APPS", "LOGGING", "STORAGES", "TRUEUP_BUCKET", "TRUEUP_HOME"} <= found.keys()
    with override_settings(STORAGES=found["STORAGES"]):
        default = found["STORAGES"]["default"]
        assert import_string(default["BACKEND"])(**default["OPTIONS"])
