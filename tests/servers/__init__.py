"""Real storage servers on loopback, started when a test first asks, shared by all test processes."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """An empty bucket of its own for one test: what `trueup.config.StoreConfig` takes."""

    url: str
    options: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The bucket's or container's bare name."""
        return self.url.partition("://")[2]
