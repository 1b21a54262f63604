"""A small table of models, and what its two hosts serve."""

from __future__ import annotations

import zlib

from facefusion.models import ModelManager
from facefusion.models.download import Patience

SWAP = b"a swapper " * 30000

OTHER = b"something " * 30000

HELPER = b"a converter " * 1000

PATIENCE = Patience(silence=0.5, attempts=2, pause=0.01)

TABLE = """
hosts = ["{site}/github/{{release}}/{{file}}", "{site}/mirror/{{release}}/{{file}}"]
[licences.research]
title = "For research only"
url = "https://example.org/licence"
commercial_use = false
[templates]
arcface_128 = [[0.36, 0.40], [0.64, 0.40], [0.50, 0.56], [0.39, 0.72], [0.62, 0.72]]
[pixels]
rgb_unit = {{ order = "rgb", scale = 255.0, mean = 0.0, deviation = 1.0 }}
[archives.pack]
urls = ["{site}/pack.zip"]
[needs]
face_swapper = ["known"]
[models.known]
kind = "swapper"
file = "known.onnx"
purpose = "Swaps; its hash is known"
licence = "research"
release = "v1"
accepted = [{{ size = {size}, sha256 = "{sha256}" }}]
contract = {{ template = "arcface_128", size = 128, pixels = "rgb_unit", source = "converted", \
converter = "helper", denormalise = false }}
[models.helper]
kind = "converter"
file = "helper.onnx"
purpose = "Converts; only the vendor's checksum is known"
licence = "research"
release = "v1"
contract = {{}}
[models.packed]
kind = "converter"
file = "packed.onnx"
purpose = "Lies in an archive"
licence = "research"
archive = "pack"
member = "packed.onnx"
contract = {{}}
[models.packed_too]
kind = "converter"
file = "packed_too.onnx"
purpose = "Lies in the same archive"
licence = "research"
archive = "pack"
member = "packed_too.onnx"
contract = {{}}
"""


def crc(content: bytes) -> bytes:
    return f"{zlib.crc32(content):08x}".encode()


def again(manager: ModelManager) -> ModelManager:
    """A later start of the program."""
    return ModelManager(manager.models_dir, registry=manager.registry, patience=PATIENCE)
