"""The site of the tests, as yt-dlp's own extractors describe theirs. A page's answer says what the extractor does."""

from __future__ import annotations

import importlib
import subprocess
from itertools import count
from pathlib import Path

from yt_dlp.extractor.common import InfoExtractor


class WatchIE(InfoExtractor):
    _VALID_URL = r"http://(?:127\.0\.0\.1|localhost):\d+/watch/(?P<id>\w+)"

    def _real_extract(self, url):
        number = self._match_id(url)
        page = self._download_json(url, number)
        print("what an extractor prints is no answer")
        if "entries" in page:
            return self.playlist_result([self.url_result(one) for one in page["entries"]], number)
        if "program" in page:
            subprocess.run(page["program"], check=True)
        for one in count() if "writes" in page else ():
            Path(f"filler{one}").write_bytes(bytes(page["writes"]))
        if "module" in page:
            importlib.import_module(page["module"])
        return {"id": number, **page}
