"""Downloading one large file from unreliable places: resumed, bounded, and never believed.

Servers drop connections, stall, send less or more than they announce, redirect in circles, and answer with a
login page instead of a model. Each of these ends either in the right bytes or in a sentence that says what
happened; whether the bytes are right is decided by the caller, by their hash.

What arrived stays in a `.part` file, with a note beside it about where it came from, so that an interrupted
download goes on later, even from another server, as long as both announce the same length.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facefusion import __version__
from facefusion.errors import CancelledError, NetworkError, StorageError

OnBytes = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes there will be (0 = not announced)."""

_CHUNK = 1 << 16
_PROGRESS_WORTH_A_RETRY = 1 << 20


class WrongFileError(Exception):
    """This place does not have the file; another may. The text says why."""


class _BrokenOffError(Exception):
    """The transfer stopped; trying again may help.

    Args:
        reason: in words.
        wait: seconds the server asked for.
    """

    def __init__(self, reason: str, *, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class Patience:
    """When a transfer counts as stalled, and how often it is tried again.

    Attributes:
        silence: seconds without any byte, also while connecting.
        slow_bytes: fewer bytes than this within `slow_seconds` count as a stall, however steadily they drip.
        slow_seconds: see `slow_bytes`.
        attempts: tries in a row without real progress.
        pause: seconds before the second try; doubles with each.
        longest_pause: seconds; also the most that a server's own wish is honoured.
    """

    silence: float = 30.0
    slow_bytes: int = 64 << 10
    slow_seconds: float = 60.0
    attempts: int = 5
    pause: float = 1.0
    longest_pause: float = 60.0


class Downloader:
    """Fetches files over HTTP(S), with the system's proxy settings (`HTTPS_PROXY`, `NO_PROXY` ...).

    Args:
        patience: when to give up.
        should_stop: asked often; answering true ends the download with `CancelledError`.
    """

    def __init__(
        self, *, patience: Patience | None = None, should_stop: Callable[[], bool] | None = None
    ) -> None:
        self._patience = patience or Patience()
        self._should_stop = should_stop or (lambda: False)
        self._opener = _opener()

    def fetch(self, url: str, part: Path, *, limit: int, sizes: frozenset[int], on_bytes: OnBytes) -> None:
        """Make `part` the complete file that `url` offers, going on from what is there already.

        Args:
            url: place to try.
            part: file that grows; stays behind, with its note, when the transfer fails.
            limit: more bytes than this are never taken.
            sizes: lengths the file may have; empty = not known.
            on_bytes: told about progress.

        Raises:
            WrongFileError: this place does not have it.
            NetworkError: the place cannot be reached or does not hold out.
            StorageError: the disk is full or not writable.
            CancelledError: asked to stop.
        """
        failures = 0
        while True:
            before = _size(part)
            try:
                self._attempt(url, part, limit, sizes, on_bytes)
                return
            except _BrokenOffError as broken:
                if _size(part) - before >= _PROGRESS_WORTH_A_RETRY:
                    failures = 0
                failures += 1
                if failures >= self._patience.attempts:
                    raise NetworkError(f"{_place(url)}: {broken} ({failures} tries).") from broken
                pause = self._patience.pause * 2 ** (failures - 1)
                self._sleep(min(max(pause, broken.wait), self._patience.longest_pause))

    def read_small(self, url: str, *, limit: int = 4096) -> bytes:
        """The content of a small file.

        Raises:
            WrongFileError: there is none, or it is larger than `limit`.
            NetworkError: the place cannot be reached.
            CancelledError: asked to stop.
        """
        for attempt in range(self._patience.attempts):
            try:
                with self._open(url, {}) as response:
                    return self._all_of(response, limit)
            except _BrokenOffError as broken:
                if attempt + 1 == self._patience.attempts:
                    raise NetworkError(f"{_place(url)}: {broken} ({attempt + 1} tries).") from broken
                pause = self._patience.pause * 2**attempt
                self._sleep(min(max(pause, broken.wait), self._patience.longest_pause))
            except (http.client.HTTPException, OSError) as error:
                raise NetworkError(f"{_place(url)}: {_why(error)}.") from error
        raise AssertionError("unreachable")

    def _all_of(self, response: Any, limit: int) -> bytes:
        began, content = time.monotonic(), b""
        while chunk := response.read1(limit + 1 - len(content)):
            if self._should_stop():
                raise CancelledError("The download was stopped.")
            content += chunk
            if len(content) > limit:
                raise WrongFileError("the answer is too large")
            if time.monotonic() - began > self._patience.slow_seconds:
                raise _BrokenOffError("the data only drips")
        return content

    def _attempt(self, url: str, part: Path, limit: int, sizes: frozenset[int], on_bytes: OnBytes) -> None:
        have, note = _size(part), _read_note(part)
        headers = {}
        if have:
            headers["Range"] = f"bytes={have}-"
            if note.get("url") == url and note.get("etag"):
                headers["If-Range"] = note["etag"]
        try:
            with self._open(url, headers) as response:
                have = self._starting_point(response, have, note, part)
                total = _announced(response, have)
                _judge(total, limit, sizes)
                _write_note(part, {"url": url, "etag": _strong_etag(response), "total": total})
                self._pour(response, part, have, total, limit, on_bytes)
        except urllib.error.HTTPError as error:
            if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise  # not reached: `_open` has dealt with every other status
            if have and _total_of_range(error.headers.get("Content-Range", "")) == have:
                _judge(have, limit, sizes)
                return
            _cut(part, 0)
            raise _BrokenOffError("the server does not go on from where it stopped") from error
        except (http.client.HTTPException, OSError) as error:
            raise _BrokenOffError(_why(error)) from error

    def _open(self, url: str, headers: dict[str, str]) -> Any:
        """Open a URL; statuses other than success become the exception that says what to do about them."""
        if self._should_stop():
            raise CancelledError("The download was stopped.")
        request = urllib.request.Request(
            url,
            headers={
                "User-Agent": f"facefusion-automation/{__version__}",
                "Accept-Encoding": "identity",
                **headers,
            },
        )
        try:
            response = self._opener.open(request, timeout=self._patience.silence)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and "Range" in headers:
                    raise
                if error.code in (408, 425, 429) or error.code >= 500:
                    wait = error.headers.get("Retry-After", "")
                    raise _BrokenOffError(
                        f"the server answers {error.code} {error.reason}",
                        wait=float(_number(wait)),
                    ) from error
                raise WrongFileError(f"the server answers {error.code} {error.reason}") from error
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                raise WrongFileError(
                    f"its certificate is not trusted ({error.reason.verify_message})"
                ) from error
            raise _BrokenOffError(_why(error)) from error
        except (http.client.HTTPException, OSError) as error:
            raise _BrokenOffError(_why(error)) from error
        kind = response.headers.get_content_type()
        encoding = response.headers.get("Content-Encoding", "identity")
        if kind in ("text/html", "application/xhtml+xml"):
            response.close()
            raise WrongFileError("the server answers with a web page (a login page or a proxy's message?)")
        if encoding != "identity":
            response.close()
            raise WrongFileError(f"the server packs the file ({encoding})")
        return response

    def _starting_point(self, response: Any, have: int, note: dict[str, Any], part: Path) -> int:
        """Where the answer begins; what does not belong to it is cut off."""
        if response.status != http.client.PARTIAL_CONTENT:
            _cut(part, 0)
            return 0
        span = response.headers.get("Content-Range", "")
        total = _total_of_range(span)
        begins = span.removeprefix("bytes ").split("-")[0]
        if _number(begins, -1) != have:
            _cut(part, 0)
            raise _BrokenOffError("the server goes on from another place than it was asked to")
        if note.get("total") and total and note["total"] != total:
            _cut(part, 0)  # another file under the same name
            raise _BrokenOffError("the file has changed meanwhile")
        return have

    def _pour(self, response: Any, part: Path, have: int, total: int, limit: int, on_bytes: OnBytes) -> None:
        window_began, window_bytes = time.monotonic(), 0
        try:
            output = part.open("ab", buffering=0)
        except OSError as error:
            raise StorageError(f"{part} cannot be written ({error.strerror}).") from error
        try:
            with output:
                on_bytes(have, total)
                while True:
                    if self._should_stop():
                        raise CancelledError("The download was stopped.")
                    chunk = response.read1(_CHUNK)
                    if not chunk:
                        break
                    have += len(chunk)
                    if have > (total or limit):
                        raise WrongFileError("the server sends more than it announced, or than is allowed")
                    _write(output, chunk)
                    window_bytes += len(chunk)
                    on_bytes(have, total)
                    if time.monotonic() - window_began > self._patience.slow_seconds:
                        if window_bytes < self._patience.slow_bytes:
                            raise _BrokenOffError("the data only drips")
                        window_began, window_bytes = time.monotonic(), 0
        except WrongFileError:
            _cut(part, 0)
            raise
        if total and have < total:
            raise _BrokenOffError("the connection ended early")

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._should_stop():
                raise CancelledError("The download was stopped.")
            time.sleep(min(left, 0.1))


def discard(part: Path) -> None:
    """Forget an unfinished download."""
    part.unlink(missing_ok=True)
    _note_file(part).unlink(missing_ok=True)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from an encrypted connection to an open one, nor to anything but HTTP."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        target = newurl.split(":", 1)[0].lower()
        if target not in ("http", "https") or (req.type == "https" and target == "http"):
            raise WrongFileError("the server redirects to a place that is not safe")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """Handlers for HTTP alone: a redirect must not reach files or FTP."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=_certificates()),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _certificates() -> ssl.SSLContext:
    """The system's trust, and pip's beside it: some installations of Python come without the former."""
    context = ssl.create_default_context()
    with contextlib.suppress(ImportError, OSError):
        from pip._vendor import certifi

        context.load_verify_locations(certifi.where())
    return context


def _announced(response: Any, have: int) -> int:
    """Length of the whole file as announced; 0 if it is not."""
    if response.status == http.client.PARTIAL_CONTENT:
        return _total_of_range(response.headers.get("Content-Range", ""))
    length = _number(response.headers.get("Content-Length", ""))
    return have + length if length else 0


def _judge(total: int, limit: int, sizes: frozenset[int]) -> None:
    if total > limit:
        raise WrongFileError(f"the server announces {total} bytes, more than is allowed")
    if total and sizes and total not in sizes:
        wanted = " or ".join(str(size) for size in sorted(sizes))
        raise WrongFileError(f"the server announces {total} bytes and the file has {wanted}")


def _total_of_range(text: str) -> int:
    return _number(text.rpartition("/")[2])


def _number(text: str, otherwise: int = 0) -> int:
    """A number in a header; servers may write anything there."""
    return int(text) if text.isdecimal() and len(text) < 20 else otherwise


def _strong_etag(response: Any) -> str:
    etag = str(response.headers.get("ETag", ""))
    return "" if etag.startswith("W/") else etag


def _write(output: Any, chunk: bytes) -> None:
    """Write all of it. The file is unbuffered, so that a full disk shows here and not while closing."""
    rest = memoryview(chunk)
    try:
        while rest:
            rest = rest[output.write(rest) :]
    except OSError as error:
        raise StorageError(f"{output.name} cannot be written ({error.strerror}).") from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _cut(part: Path, length: int) -> None:
    if _size(part) <= length:
        return
    try:
        with part.open("r+b") as stream:
            stream.truncate(length)
    except OSError as error:
        raise StorageError(f"{part} cannot be written ({error.strerror}).") from error


def _note_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_note(part: Path) -> dict[str, Any]:
    try:
        note = json.loads(_note_file(part).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _write_note(part: Path, note: dict[str, Any]) -> None:
    try:
        _note_file(part).write_text(json.dumps(note), encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{part.parent} cannot be written ({error.strerror}).") from error


def _place(url: str) -> str:
    return url.split("/")[2]


def _why(error: BaseException) -> str:
    """An exception of the network in words."""
    reason = getattr(error, "reason", None)
    cause = reason if isinstance(reason, BaseException) else error
    if isinstance(cause, TimeoutError):
        return "no answer"
    if isinstance(cause, http.client.IncompleteRead):
        return "the connection ended early"
    if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
        raise StorageError(f"No room for the download ({cause.strerror}).") from cause
    return str(cause) or type(cause).__name__
