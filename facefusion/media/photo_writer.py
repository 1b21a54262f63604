"""Write photos: same kind of file, same metadata, no more loss than the format itself demands."""

from __future__ import annotations

import contextlib
import io
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import PngImagePlugin

from facefusion.config import AutomationConfig
from facefusion.errors import MediaFormatError, OutOfMemoryError, StorageError
from facefusion.media import avif, tiff
from facefusion.media.labels import Label, label_box, labelled, png_xmp
from facefusion.media.photo_reader import Photo, PhotoMetadata
from facefusion.media.plan import OutputPlan
from facefusion.media.probe import MediaInfo

_SUFFIXES = {
    "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "png": (".png",),
    "webp": (".webp",),
    "bmp": (".bmp", ".dib"),
    "tiff": (".tif", ".tiff"),
    "avif": (".avif",),
    "heif": (".heic", ".heif", ".hif"),
    "jp2": (".jp2", ".j2k", ".jpf", ".jpx"),
}
_PNG_HEADER = 33
"""Signature and IHDR; XMP may follow at once."""
_JPEG_XMP_BYTES = 65502
"""What fits into one segment."""
_ANIMATIONS = {"gif": ".gif", "webp": ".webp", "png": ".png"}


def plan_picture(info: MediaInfo, config: AutomationConfig) -> OutputPlan:
    """How the result of a photo or an animation is written; see `plan.plan_output`."""
    notes = list(info.warnings)
    quality = config.output.photo_quality
    if info.kind == "animation":
        family = info.container
        if family not in _ANIMATIONS:
            notes.append(f"Moving pictures cannot be written as {family}; the result is an animated WebP.")
            family = "webp"
        return OutputPlan(
            info.kind,
            family,
            _ANIMATIONS[family],
            width=info.width,
            height=info.height,
            quality=quality,
            warnings=tuple(notes),
        )
    family = info.container
    if family not in _SUFFIXES:
        notes.append(f"Photos cannot be written as {family} without loss; the result is a PNG.")
        family = "png"
    known = _SUFFIXES[family]
    suffix = info.path.suffix.lower()
    return OutputPlan(
        info.kind,
        family,
        suffix if suffix in known else known[0],
        width=info.width,
        height=info.height,
        quality=quality,
        warnings=tuple(notes),
    )


def write_photo(path: Path, photo: Photo, plan: OutputPlan) -> None:
    """Write a photo as planned, with its metadata.

    Lossless sources stay lossless. JPEG keeps its chroma resolution, so that the one generation that is
    needed is the only loss.

    Raises:
        StorageError: disk full, folder not writable. No partial file is left.
        MediaFormatError: the format cannot take this picture.
    """
    if plan.label is not None:
        photo.metadata = _labelled(photo, plan.label, plan.container)
    try:
        data = _encode(photo, plan)
    except MemoryError as error:
        raise OutOfMemoryError(f"There is not enough memory to write {path.name}.") from error
    except (OSError, ValueError, RuntimeError, OverflowError, struct.error, cv2.error) as error:
        raise MediaFormatError(f"{path.name} cannot be written as {plan.container} ({error}).") from error
    try:
        path.write_bytes(data)
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        raise StorageError(f"{path.name} cannot be written ({error.strerror or error}).") from error


def _encode(photo: Photo, plan: OutputPlan) -> bytes:
    frame, meta = photo.frame, photo.metadata
    pixels = frame.pixels
    if frame.depth == 16:
        if plan.container == "tiff":
            return tiff.encode(
                _stored(pixels, frame.gray), icc=meta.icc, xmp=meta.xmp, dpi=meta.dpi, texts=meta.tags
            )
        if plan.container == "heif":
            return _encode_deep_heif(pixels, photo, _options(photo, plan))
        if plan.container == "avif":
            return _encode_deep_avif(_stored(pixels, frame.gray), photo, plan.quality)
        return _encode_deep_png(_stored(pixels, frame.gray), photo)
    image = _image(pixels, frame.gray)
    options = _options(photo, plan)
    if plan.container in ("jpeg", "bmp") and image.mode in ("RGBA", "LA"):
        image = image.convert("RGB" if image.mode == "RGBA" else "L")
    if meta.nclx is not None and plan.container == "heif":
        image.info["nclx_profile"] = meta.nclx
    buffer = io.BytesIO()
    image.save(buffer, **options)
    if plan.label is not None and plan.container == "jp2":
        return buffer.getvalue() + label_box(plan.label)
    return buffer.getvalue()


def _labelled(photo: Photo, label: Label, container: str) -> PhotoMetadata:
    """The photo's metadata with a label in its XMP packet."""
    found = labelled(photo.metadata.xmp, label)
    if not found.complete:
        photo.warnings.append("The XMP data of the picture is damaged and is left out.")
    if container == "jpeg" and len(found.packet) > _JPEG_XMP_BYTES:
        photo.warnings.append("The XMP data of the picture leaves no room for more and is left out.")
        found = labelled(b"", label)
    return replace(photo.metadata, xmp=found.packet)


def _stored(pixels: npt.NDArray[Any], gray: bool) -> npt.NDArray[Any]:
    """Pixels with the number of channels that go into the file."""
    return pixels[..., 0] if gray and pixels.shape[2] == 3 else pixels


def _image(pixels: npt.NDArray[Any], gray: bool) -> Any:
    if pixels.shape[2] == 4:
        image = Pillow.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA))
        return image.convert("LA") if gray else image
    if gray:
        return Pillow.fromarray(np.ascontiguousarray(pixels[..., 0]))
    return Pillow.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


def _options(photo: Photo, plan: OutputPlan) -> dict[str, Any]:
    meta = photo.metadata
    options: dict[str, Any] = {}
    if meta.icc:
        options["icc_profile"] = meta.icc
    if meta.exif and plan.container not in ("bmp", "jp2"):
        options["exif"] = meta.exif
    if meta.dpi and plan.container in ("jpeg", "png", "tiff", "bmp"):
        options["dpi"] = meta.dpi
    if meta.xmp and plan.container in ("jpeg", "webp", "avif", "heif"):
        options["xmp"] = meta.xmp
    container = plan.container
    if container == "jpeg":
        sampling = meta.sampling if meta.sampling >= 0 else 0
        return {
            "format": "JPEG",
            "quality": plan.quality,
            "subsampling": sampling,
            "progressive": meta.progressive,
            "optimize": True,
            **options,
        }
    if container == "png":
        chunks = PngImagePlugin.PngInfo()
        for key, value in meta.text.items():
            if key != "XML:com.adobe.xmp":
                chunks.add_text(key, value)
        if meta.xmp:
            chunks.add_itxt("XML:com.adobe.xmp", meta.xmp.decode("utf-8", "replace"))
        return {"format": "PNG", "pnginfo": chunks, **options}
    if container == "webp":
        return {
            "format": "WEBP",
            "lossless": meta.lossless,
            "quality": 80 if meta.lossless else plan.quality,
            "method": 4,
            "exact": True,
            **options,
        }
    if container == "tiff":
        options.pop("exif", None)
        more: dict[int, Any] = dict(meta.tags)
        if meta.xmp:
            more[700] = meta.xmp
        options["tiffinfo"] = more
        kind = (
            meta.compression if meta.compression in ("tiff_lzw", "tiff_adobe_deflate", "raw") else "tiff_lzw"
        )
        return {"format": "TIFF", "compression": kind, **options}
    if container == "avif":
        return {
            "format": "AVIF",
            "quality": plan.quality,
            "subsampling": "4:4:4" if plan.quality >= 95 else "4:2:0",
            **options,
        }
    if container == "heif":
        return {
            "format": "HEIF",
            "quality": plan.quality,
            "chroma": 444 if plan.quality >= 95 else 420,
            **options,
        }
    if container == "jp2":
        return {"format": "JPEG2000", "irreversible": False}
    return {"format": "BMP", **options}


def _encode_deep_png(pixels: npt.NDArray[Any], photo: Photo) -> bytes:
    """16-bit PNG; Pillow has no 16-bit colour."""
    meta = photo.metadata
    kinds, blocks = [], []
    for kind, block in (
        (cv2.IMAGE_METADATA_ICCP, meta.icc),
        (cv2.IMAGE_METADATA_EXIF, meta.exif.removeprefix(b"Exif\0\0")),
    ):
        if block:
            kinds.append(kind)
            blocks.append(np.frombuffer(block, np.uint8))
    done, buffer = cv2.imencodeWithMetadata(".png", np.ascontiguousarray(pixels), kinds, blocks)
    if not done:
        raise ValueError("the PNG encoder refused the picture")
    encoded = bytes(buffer)
    if not meta.xmp:
        return encoded
    # OpenCV writes XMP into a chunk where nobody looks for it, with two bytes too many.
    return encoded[:_PNG_HEADER] + png_xmp(meta.xmp) + encoded[_PNG_HEADER:]


def _encode_deep_avif(pixels: npt.NDArray[Any], photo: Photo, quality: int) -> bytes:
    """AVIF of 10 or 12 bit, as the source."""
    meta = photo.metadata
    blocks = {
        cv2.IMAGE_METADATA_ICCP: meta.icc,
        cv2.IMAGE_METADATA_EXIF: meta.exif.removeprefix(b"Exif\0\0"),
        cv2.IMAGE_METADATA_XMP: meta.xmp,
    }
    blocks = {kind: block for kind, block in blocks.items() if block}
    return avif.encode(pixels, photo.info.depth, quality, meta.primaries, blocks)


def _encode_deep_heif(pixels: npt.NDArray[Any], photo: Photo, options: dict[str, Any]) -> bytes:
    """HEIC of 10 or 12 bit, as the source; Pillow has no such colours."""
    import pillow_heif

    mode = "BGRA;16" if pixels.shape[2] == 4 else "BGR;16"
    picture = pillow_heif.from_bytes(mode, (pixels.shape[1], pixels.shape[0]), pixels.tobytes())
    info: dict[str, Any] = picture[0].info
    if photo.metadata.nclx is not None:
        info["nclx_profile"] = photo.metadata.nclx
    if photo.metadata.icc:
        info["icc_profile"] = options.pop("icc_profile")
    buffer = io.BytesIO()
    before = pillow_heif.options.SAVE_HDR_TO_12_BIT
    pillow_heif.options.SAVE_HDR_TO_12_BIT = photo.info.depth > 10
    try:
        picture.save(buffer, **options)
    finally:
        pillow_heif.options.SAVE_HDR_TO_12_BIT = before
    return buffer.getvalue()
