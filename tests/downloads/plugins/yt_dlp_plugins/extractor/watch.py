"""The site of the tests, as yt-dlp's own extractors describe theirs. A page's answer says what the extractor does."""

from __future__ import annotations

import importlib
import socket
import subprocess

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
        if "module" in page:
            importlib.import_module(page["module"])
        if "name" in page:
            with socket.socket() as wire:
                wire.connect((page["name"], 80))
        return {"id": number, **page}
