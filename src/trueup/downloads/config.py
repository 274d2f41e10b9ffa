"""What `[downloads]` means: what a fetch may cost, where it may lead, how long its file is kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from trueup.config import Settings, check_names, parse_seconds, table_of
from trueup.urls.rules import WORDS, Rules, parse_rules


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadsConfig:
    """The whole section."""

    keep: timedelta
    """The age at which a fetched file is removed."""
    rules: Rules


def downloads_config(settings: Settings) -> DownloadsConfig:
    """Raises `ConfigError`."""
    section = table_of(settings.sections.get("downloads", {}), "[downloads]")
    check_names(section, {"keep", *WORDS}, "[downloads]")
    keep = parse_seconds(str(section.get("keep", "24h")), where="[downloads] keep")
    return DownloadsConfig(
        keep=timedelta(seconds=keep),
        rules=parse_rules(section, "[downloads]", max_size="2GiB", timeout="1h"),
    )
