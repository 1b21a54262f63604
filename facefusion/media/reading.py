"""Errors of reading a file in this program's terms: gone, forbidden, or on a disk that has a fault."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from facefusion.errors import InputFileError, VanishedError

if TYPE_CHECKING:
    from av.error import FFmpegError


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn the system's errors into this program's while a file is read.

    Raises:
        VanishedError: the file is gone.
        InputFileError: it cannot be read.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise VanishedError(f"{path.name} is no longer there.") from error
    except OSError as error:
        if error.errno == errno.EIO:
            raise unreadable(path.name, error) from error
        raise InputFileError(f"{path.name} cannot be read ({error.strerror or error}).") from error


def unreadable(name: str, error: OSError | FFmpegError) -> InputFileError:
    """The error of a disk or card that does not give a file back."""
    return InputFileError(
        f"{name} cannot be read ({error.strerror or error}).",
        remedy="Its disk or card has a fault; copy it to a sound one and drop the copy.",
    )
