"""Taking single files out of archives, proved before they get their names."""

from __future__ import annotations

import hashlib
import lzma
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from facefusion.errors import ModelMissingError, StorageError

_CHUNK = 1 << 20

Proof = Callable[[int, str], str]
"""Judges size and sha256 of a file; an empty answer means it is right, otherwise what is wrong with it."""


def extract_member(archive: Path, member: str, destination: Path, *, limit: int, proof: Proof) -> str:
    """Take one file out of a zip (a wheel is one); it gets its name only after it has been proved.

    Args:
        archive: the zip.
        member: path inside it; some archives have a folder around everything, so its name alone suffices
            where it is unique.
        destination: where the file is to lie.
        limit: a larger member is refused before it is unpacked.
        proof: decides whether the content is right.

    Returns:
        sha256 of the file.

    Raises:
        ModelMissingError: the archive is damaged, has no such member, or its content is not right.
        StorageError: it cannot be written.
    """
    temporary = destination.with_name(f".{destination.name}.{os.getpid()}.part")
    digest = hashlib.sha256()
    written = 0
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(archive) as packed, temporary.open("wb") as output:
            info = packed.getinfo(_find(packed, member))
            if info.file_size > limit:
                raise ModelMissingError(f"{archive.name}: {member} unpacks to more than is allowed.")
            with packed.open(info) as source:
                while chunk := source.read(_CHUNK):
                    digest.update(chunk)
                    written += len(chunk)
                    output.write(chunk)
            output.flush()
            os.fsync(output.fileno())
        if wrong := proof(written, digest.hexdigest()):
            raise ModelMissingError(f"{archive.name}: {member} {wrong}.")
        temporary.replace(destination)
    except (KeyError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError) as error:
        # The last kinds: cut off, encrypted, or packed in a way that Python does not know.
        raise ModelMissingError(f"{archive.name} is damaged, or has no {member} ({error}).") from error
    except OSError as error:
        raise StorageError(f"{destination} cannot be written ({error.strerror or error}).") from error
    finally:
        temporary.unlink(missing_ok=True)
    return digest.hexdigest()


def _find(archive: zipfile.ZipFile, member: str) -> str:
    names = archive.namelist()
    if member in names:
        return member
    same = [name for name in names if PurePosixPath(name).name == PurePosixPath(member).name]
    if len(same) != 1:
        raise KeyError(member)
    return same[0]
