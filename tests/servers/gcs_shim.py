"""What fake-gcs-server lacks, in front of it: XML multipart uploads, and `ifGenerationMatch` taken seriously.

`gcs_shim.py FRONT BACK` listens on port FRONT and passes everything else through to port BACK. As in the real
service, an object uploaded in parts shows no MD5 (https://cloud.google.com/storage/docs/xml-api/post-object-multipart).
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "date", "server"}


class State:
    """What the shim remembers between requests."""

    def __init__(self, back: int) -> None:
        self.back = back
        self.lock = threading.Lock()
        self.guard = threading.Lock()  # makes look-then-write one step
        self.uploads: dict[str, dict[str, Any]] = {}
        self.composite: set[tuple[str, str]] = set()
        self.resumable: dict[str, tuple[str, str]] = {}  # upload id -> key and the generation wished for


class Shim(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    state: State

    def do_any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self._chunked() if "chunked" in self.headers.get("Transfer-Encoding", "") else self.rfile.read(length)
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        if not parts.path.startswith(("/storage/", "/upload/", "/download/", "/_", "/b/", "/batch")):
            bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
            if "uploads" in query and self.command == "POST":
                return self._begin(bucket, key)
            if "uploadId" in query:
                return self._multipart(query, body)
        if parts.path.startswith("/upload/") and self.command in {"POST", "PUT"}:
            return self._insert(parts.path, query, body)
        return self._send(*self._strip(*self._back(self.command, self.path, body, dict(self.headers))))

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_any

    def _begin(self, bucket: str, key: str) -> None:
        name = uuid.uuid4().hex
        headers = {k.lower(): v for k, v in self.headers.items()}
        with self.state.lock:
            self.state.uploads[name] = {"bucket": bucket, "key": key, "headers": headers, "parts": {}}
        self._xml(200, f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>")

    def _multipart(self, query: dict[str, str], body: bytes) -> None:
        with self.state.lock:
            upload = self.state.uploads.get(query["uploadId"])
        if upload is None:
            return self._xml(404, "<Error><Code>NoSuchUpload</Code><Message>no such upload</Message></Error>")
        if self.command == "PUT":
            etag = f'"{hashlib.md5(body).hexdigest()}"'
            upload["parts"][int(query["partNumber"])] = body
            return self._send(200, {"ETag": etag}, b"")
        if self.command == "DELETE":
            self._forget(query["uploadId"])
            return self._send(204, {}, b"")
        return self._complete(query["uploadId"], upload, body)

    def _complete(self, name: str, upload: dict[str, Any], body: bytes) -> None:
        bucket, key, headers = upload["bucket"], upload["key"], upload["headers"]
        wanted = [int(number) for number in re.findall(rb"<PartNumber>(\d+)</PartNumber>", body)]
        if any(number not in upload["parts"] for number in wanted):
            return self._xml(400, "<Error><Code>InvalidPart</Code><Message>a part is missing</Message></Error>")
        sent = {k.lower(): v for k, v in self.headers.items()}
        match = sent.get("x-goog-if-generation-match") or headers.get("x-goog-if-generation-match")
        with self.state.guard:
            if match is not None and not self._generation_is(bucket, key, match):
                return self._xml(412, "<Error><Code>PreconditionFailed</Code><Message>it exists</Message></Error>")
            content = b"".join(upload["parts"][number] for number in wanted)
            path = f"/upload/storage/v1/b/{quote(bucket, safe='')}/o?uploadType=multipart&name={quote(key, safe='')}"
            metadata = {
                "name": key,
                "contentType": headers.get("content-type", "application/octet-stream"),
                "metadata": {k.removeprefix("x-goog-meta-"): v for k, v in headers.items() if k[:12] == "x-goog-meta-"},
            }
            for header, field in (("cache-control", "cacheControl"), ("content-encoding", "contentEncoding")):
                if header in headers:
                    metadata[field] = headers[header]
            line = uuid.uuid4().hex
            form = (
                f"--{line}\r\nContent-Type: application/json\r\n\r\n{json.dumps(metadata)}\r\n"
                f"--{line}\r\nContent-Type: {metadata['contentType']}\r\n\r\n"
            ).encode() + (content + f"\r\n--{line}--\r\n".encode())
            kind = {"Content-Type": f"multipart/related; boundary={line}"}
            status, _, answer = self._back("POST", path, form, kind)
            if status >= 300:
                return self._send(status, {}, answer)
            self.state.composite.add((bucket, key))
        self._forget(name)
        return self._xml(200, '<CompleteMultipartUploadResult><ETag>"composite"</ETag></CompleteMultipartUploadResult>')

    def _insert(self, path: str, query: dict[str, str], body: bytes) -> None:
        bucket = unquote(path.split("/b/", 1)[-1].split("/", 1)[0])
        key, match = query.get("name") or self._key_in(body), query.get("ifGenerationMatch")
        with self.state.guard:
            # A resumable upload states its condition when it begins; it must still hold when the bytes arrive.
            key, match = self.state.resumable.get(query.get("upload_id", ""), (key, match))
            if match is not None and key and not self._generation_is(bucket, key, match):
                text = {"error": {"code": 412, "message": "conditionNotMet", "errors": [{"reason": "conditionNotMet"}]}}
                return self._send(412, {"Content-Type": "application/json"}, json.dumps(text).encode())
            status, headers, answer = self._back(self.command, self.path, body, dict(self.headers))
            begun = parse_qs(urlsplit(headers.get("Location", "")).query).get("upload_id")
            if begun and match is not None:
                self.state.resumable[begun[0]] = (key, match)
            if status < 300 and key:
                self.state.composite.discard((bucket, key))
        return self._send(status, headers, answer)

    def _key_in(self, body: bytes) -> str:
        """The object's name in the JSON part of a multipart/related upload."""
        start = body.find(b"{")
        try:
            return str(json.JSONDecoder().raw_decode(body[start:].decode("utf-8", "replace"))[0].get("name", ""))
        except (ValueError, AttributeError):
            return ""

    def _generation_is(self, bucket: str, key: str, wanted: str) -> bool:
        status, _, answer = self._back(
            "GET", f"/storage/v1/b/{quote(bucket, safe='')}/o/{quote(key, safe='')}", b"", {}
        )
        present = str(json.loads(answer).get("generation", "")) if status == 200 else "0"
        return present == wanted

    def _forget(self, name: str) -> None:
        with self.state.lock:
            self.state.uploads.pop(name, None)

    def _strip(self, status: int, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Metadata and listings without the MD5 of what was uploaded in parts."""
        if not self.state.composite or "json" not in headers.get("Content-Type", "") or b'"md5Hash"' not in body:
            return status, headers, body
        document = json.loads(body)
        for item in [document, *document.get("items", []), document.get("resource", {})]:
            if (item.get("bucket"), item.get("name")) in self.state.composite:
                item.pop("md5Hash", None)
        return status, headers, json.dumps(document).encode()

    def _back(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        kept = {k: v for k, v in headers.items() if k.lower() not in HOP | {"accept-encoding"}}
        kept["Host"] = self.headers.get("Host", "127.0.0.1")
        connection = http.client.HTTPConnection("127.0.0.1", self.state.back, timeout=60)
        try:
            connection.request(method, path, body=body or None, headers=kept)
            answer = connection.getresponse()
            content = answer.read()
            found = {k: v for k, v in answer.getheaders() if k.lower() not in HOP}
            if method == "HEAD" and (length := answer.getheader("Content-Length")):
                found["Content-Length"] = length
            return answer.status, found, content
        except OSError as error:
            return 502, {"Content-Type": "text/plain"}, str(error).encode()
        finally:
            connection.close()

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers and status not in {204, 304}:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _xml(self, status: int, text: str) -> None:
        self._send(status, {"Content-Type": "application/xml"}, f'<?xml version="1.0"?>{text}'.encode())

    def _chunked(self) -> bytes:
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(pieces)

    def log_message(self, *_args: object) -> None:
        """Nothing: a request is no news."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    Shim.state = State(int(sys.argv[2]))
    Server(("127.0.0.1", int(sys.argv[1])), Shim).serve_forever()
