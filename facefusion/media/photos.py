"""Photos: read them upright in their own depth, write them with their metadata."""

from facefusion.media.photo_reader import (
    MAX_PIXELS,
    Photo,
    PhotoMetadata,
    probe_picture,
    read_face_picture,
    read_photo,
)
from facefusion.media.photo_writer import plan_picture, write_photo

__all__ = [
    "MAX_PIXELS",
    "Photo",
    "PhotoMetadata",
    "plan_picture",
    "probe_picture",
    "read_face_picture",
    "read_photo",
    "write_photo",
]
