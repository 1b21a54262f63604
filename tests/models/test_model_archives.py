"""Models that lie in archives are unpacked once; what is no such archive is named."""

from __future__ import annotations

import io
import zipfile

import pytest
from bad_server import Site
from model_site import HELPER, SWAP

from facefusion.errors import ModelMissingError
from facefusion.models import ModelManager


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_several_members_of_one_archive_cost_one_download(manager: ModelManager, site: Site) -> None:
    site.add("/pack.zip", zipped({"inner/packed.onnx": SWAP, "packed_too.onnx": HELPER, "more.onnx": b""}))
    manager.ensure_models_available(["packed", "packed_too"])
    assert (manager.models_dir / "packed.onnx").read_bytes() == SWAP
    assert (manager.models_dir / "packed_too.onnx").read_bytes() == HELPER
    assert [path for path, _ in site.asked] == ["/pack.zip"]
    assert sorted(path.name for path in manager.models_dir.glob("*.onnx")) == [
        "packed.onnx",
        "packed_too.onnx",
    ]


def damaged() -> bytes:
    """An archive whose packed bytes are none that anything unpacks."""
    content = bytearray(zipped({"packed.onnx": SWAP}))
    content[41:60] = b"\xff" * 19
    return bytes(content)


def encrypted() -> bytes:
    """An archive that says that a word is needed to open it, in both of its headers."""
    content = bytearray(zipped({"packed.onnx": SWAP}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [b"no archive", zipped({"other.onnx": b""}), damaged(), encrypted()],
    ids=["none", "without the member", "damaged", "encrypted"],
)
def test_an_archive_that_is_none_or_lacks_the_member_is_named(
    manager: ModelManager, site: Site, content: bytes
) -> None:
    site.add("/pack.zip", content)
    with pytest.raises(ModelMissingError, match=r"pack\.zip.*packed\.onnx"):
        manager.ensure_models_available(["packed"])
    assert not (manager.models_dir / "packed.onnx").exists()
