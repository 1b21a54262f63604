"""A web server that drops, stalls, truncates, redirects and lies, as told."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Behaviour:
    """How one path is served. `tricks` are used up one by one, then the file is served properly.

    Tricks:
        drop:N     send N bytes of the answer, then close the connection
        stall:N    send N bytes, then nothing until the client gives up
        drip:N     send N bytes one by one, slowly
        status:N   answer with this status
        busy:X     answer 503 with Retry-After X
        range:X    say that the range sent begins at X
        html       answer with a web page
        gzip       claim that the content is packed
        ignore     ignore the wish for a range
        shift      answer another range than was asked for
        more       send more than was announced
        long:N     announce N bytes
        silent     announce no length
    """

    content: bytes
    tricks: list[str] = field(default_factory=list)
    etag: bool = True
    redirect: str = ""


@dataclass
class Site:
    """What is served, and what was asked for: (path, wanted range)."""

    paths: dict[str, Behaviour] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    bytes_sent: int = 0
    url: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    def add(self, path: str, content: bytes, *tricks: str, redirect: str = "", etag: bool = True) -> str:
        self.paths[path] = Behaviour(content, list(tricks), etag, redirect)
        return self.url + path


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.site.asked.append((self.path, wanted))
        behaviour = self.site.paths.get(self.path)
        if behaviour is None:
            self.answer(404, b"")
            return
        if behaviour.redirect:
            self.answer(302, b"", {"Location": behaviour.redirect})
            return
        trick, _, number = (behaviour.tricks.pop(0) if behaviour.tricks else "").partition(":")
        count = int(number) if number and trick not in ("busy", "range") else 0
        content = behaviour.content
        etag = '"' + hashlib.md5(content).hexdigest() + '"' if behaviour.etag else ""
        if trick == "status":
            self.answer(count, b"")
            return
        if trick == "busy":
            self.answer(503, b"", {"Retry-After": number})
            return
        if trick == "html":
            self.answer(200, b"<html>please log in</html>", {"Content-Type": "text/html"})
            return
        start, status, extra = 0, 200, {"ETag": etag} if etag else {}
        unchanged = self.headers.get("If-Range", etag) == etag
        if wanted and trick != "ignore" and unchanged:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            status = 206
            start += 5 if trick == "shift" else 0
            begins = number if trick == "range" else start
            extra["Content-Range"] = f"bytes {begins}-{len(content) - 1}/{len(content)}"
        if trick == "gzip":
            extra["Content-Encoding"] = "gzip"
        body = content[start:]
        announced = count if trick == "long" else len(body)
        if trick == "silent":
            extra["Connection"] = "close"
        self.head(status, extra, None if trick == "silent" else announced)
        if trick == "more":
            self.send(body + b"x" * 100)
            self.close_connection = True
        elif trick in ("drop", "stall"):
            self.send(body[:count])
            if trick == "stall":
                self.site.over.wait(30)
            self.close_connection = True
        elif trick == "drip":
            for byte in body[:count]:
                self.send(bytes([byte]))
                if self.site.over.wait(0.05):
                    break
            self.close_connection = True
        else:
            self.send(body)
            self.close_connection = trick in ("long", "silent")

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.head(status, headers or {}, len(body))
        self.send(body)

    def head(self, status: int, headers: dict[str, str], length: int | None) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        if "Content-Type" not in headers:
            self.send_header("Content-Type", "application/octet-stream")
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def send(self, data: bytes) -> None:
        try:
            self.site.bytes_sent += len(data)  # before they leave: the client may be done at once
            self.wfile.write(data)
            self.wfile.flush()
        except OSError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that leave in the middle are what these tests are about."""


@contextmanager
def serve_site() -> Iterator[Site]:
    """Serve until the block ends."""
    site = Site()
    handler = type("Handler", (_Handler,), {"site": site})
    server = _QuietServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
