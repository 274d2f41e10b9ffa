"""The last line: what the keys do here and now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from rich.text import Text
from textual import events
from textual.binding import ActiveBinding
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Button, Checkbox, Input, OptionList, Select

from trueup.tui.files import FileTable

_ALWAYS: Final[dict[str, dict[type, str]]] = {
    "tab": {object: "Next"},
    "enter": {
        Button: "Press",
        Select: "Open",
        Checkbox: "Tick",
        FileTable: "Details",
        OptionList: "Choose",
        Input: "Table",
    },
    "space": {Button: "Press", Select: "Open", Checkbox: "Tick", FileTable: "Details"},
}
"""What the keys that move and press mean where the focus is."""


def always_first(found: Mapping[str, ActiveBinding], focused: Widget | None) -> dict[str, ActiveBinding]:
    """The bindings with Tab, Enter and Space at the front, shown with what they mean to the widget that has the focus:
    most widgets hide theirs."""
    rest, first = dict(found), {}
    for key, names in _ALWAYS.items():
        if key in rest:
            meaning = next((name for kind, name in names.items() if isinstance(focused, kind)), "")
            active = rest.pop(key)
            binding = replace(active.binding, show=bool(meaning), description=meaning, key_display=key.title())
            first[key] = active._replace(binding=binding)
    if "space" in first and first["space"].binding.description == first["enter"].binding.description:
        both = replace(first.pop("space").binding, key="enter", key_display="Enter/Space")
        first["enter"] = first["enter"]._replace(binding=both)
    return first | rest


class KeyLine(Widget):
    """Keys and their meaning, as many as fit; each can be clicked.

    Textual's own footer is built of one widget a key and is built anew at each change of focus, which takes longer than
    anything else on the screen.
    """

    def on_mount(self) -> None:
        """Follow the focus."""
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, screen: Screen[object]) -> None:
        if screen is self.screen:
            self.refresh()

    def _shown(self) -> list[tuple[str, str, str, bool]]:
        """Key, how it is shown, what it means, whether it can be pressed; as many as fit."""
        found, room = [], self.size.width
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if not binding.show:
                continue
            shown = self.app.get_key_display(binding)
            room -= len(shown) + len(binding.description) + 3
            if room < -2:  # the gap behind the last one needs no room
                break
            found.append((binding.key, shown, binding.description, active.enabled))
        return found

    def render(self) -> Text:
        """The line."""
        line = Text(no_wrap=True)
        key_style = f"bold {self.app.theme_variables['text-primary']}"
        for _, shown, meaning, enabled in self._shown():
            line.append(shown, key_style if enabled else "dim")
            line.append(f" {meaning}  ", "" if enabled else "dim")
        return line

    def on_click(self, event: events.Click) -> None:
        """Press the key that was clicked."""
        place = event.get_content_offset(self)
        edge = 0
        for key, shown, meaning, enabled in self._shown():
            edge += len(shown) + len(meaning) + 3
            if place is not None and place.x < edge:
                if enabled:
                    self.app.simulate_key(key)
                return
