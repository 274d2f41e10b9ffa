"""A bucket, a prefix in it, and how to reach it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One bucket or container, a prefix in it, and how to reach it."""

    scheme: str
    """`s3`, `r2`, `gs` or `az`."""
    service: str
    """The same as OpenDAL names it."""
    bucket: str
    prefix: str
    """Empty, or a folder with a slash at its end."""
    url: str
    """Canonical, without credentials: `s3://bucket/prefix`, and `s3://bucket@host/prefix` where the vendor's own
    endpoint is not meant. R2 and Azure always name the account, because their buckets are only unique in it."""
    options: Mapping[str, str] = field(repr=False)
    """Settings for OpenDAL, credentials among them."""
    secrets: tuple[str, ...] = field(repr=False, default=())
    """What must never be shown."""
    timeout: float = 30.0
    """Seconds one request may take."""
    retries: int = 3
    concurrency: int = 0
    """Requests at once, and pages of a listing at once beside them; 0 sets no limit."""
    cache_control: str | None = None
    content_type: str | None = None
    """Overrides the guess from the name."""
    byte_ordered: bool = False
    """The server is known to list in byte order of the keys, so that it may begin at a key."""
    tree: bool = False
    """It has folders, and is listed one by one."""

    @property
    def starts(self) -> bool:
        """A listing may begin at a key on the server. Where a server lists in another order, that leaves out keys."""
        return self.byte_ordered and self.service != "azblob"

    def scrub(self, text: str) -> str:
        """The text without any secret in it."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text
