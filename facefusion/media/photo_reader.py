"""Read photos: upright, in their own depth, with their metadata."""

from __future__ import annotations

import contextlib
import io
import math
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageCms, JpegImagePlugin, UnidentifiedImageError

from facefusion.errors import FaceFusionError, MediaFormatError, OutOfMemoryError
from facefusion.media import avif
from facefusion.media import exif as exif_block
from facefusion.media.frame import PackedFrame
from facefusion.media.orientation import EXIF_ORIENTATIONS, UPRIGHT, Orientation
from facefusion.media.probe import MediaInfo
from facefusion.media.reading import readable
from facefusion.media.sniff import identify, webp_is_lossless

BGR = npt.NDArray[np.uint8]
MAX_PIXELS = 268_435_456
"""16384 x 16384. A picture that claims more is taken for an attack on memory."""
MAX_BYTES = 8 * MAX_PIXELS + (64 << 20)
"""The largest picture with 16 bit in four channels, stored without compression, and what is told about it."""

# ImageDescription, Make, Model, Software, DateTime, Artist, HostComputer, Copyright
_TIFF_TEXTS = (270, 271, 272, 305, 306, 315, 316, 33432)
_DAMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, RuntimeError, LookupError, TypeError, AttributeError),
    *(ArithmeticError, struct.error, zlib.error, cv2.error),
)
# Kinds that are always stored with loss (JPEG 2000 is written without).
_LOSSY = ("JPEG", "MPO", "AVIF", "HEIF")
_MOST_DPI = 65535
_DEEP_MODES = ("I;16", "I;16B", "I;16L", "I")


@dataclass(frozen=True)
class PhotoMetadata:
    """What a photo carries beside its pixels.

    Attributes:
        exif: EXIF block, already corrected for upright storage; may be empty.
        icc: colour profile; may be empty (then sRGB is meant).
        xmp: XMP packet; may be empty.
        dpi: pixels per inch, None where unknown or no number that can be meant.
        text: PNG text chunks.
        sampling: JPEG chroma subsampling as Pillow counts it (0: 4:4:4, 1: 4:2:2, 2: 4:2:0, -1 unknown).
        progressive: JPEG stored progressively.
        lossless: the file was stored without loss.
        compression: of TIFF, by Pillow's name.
        tags: descriptive text of TIFF (author, copyright ...) by tag number.
        nclx: colour description of HEIF, as its library gives it; None where there is none.
        primaries: primaries and transfer of AVIF, as they are stored; empty where there are none.
    """

    exif: bytes = b""
    icc: bytes = b""
    xmp: bytes = b""
    dpi: tuple[float, float] | None = None
    text: dict[str, str] = field(default_factory=dict)
    sampling: int = -1
    progressive: bool = False
    lossless: bool = True
    compression: str = ""
    tags: dict[int, str] = field(default_factory=dict)
    nclx: dict[str, Any] | None = None
    primaries: bytes = b""


@dataclass
class Photo:
    """A photo in memory.

    Attributes:
        frame: the pixels, upright; changed in place by `blend`.
        info: as probed.
        metadata: see there.
        warnings: what was adapted, in sentences.
    """

    frame: PackedFrame
    info: MediaInfo
    metadata: PhotoMetadata
    warnings: list[str] = field(default_factory=list)


def read_photo(path: Path) -> Photo:
    """Read a photo to be changed: orientation applied, depth and transparency kept.

    Raises:
        MediaFormatError: damaged, cut off, too large, or no picture.
        OutOfMemoryError: there is not enough memory to unpack it.
        VanishedError, InputFileError: the file cannot be read.
    """
    with _opened(path) as (image, data, family):
        info = _describe(path, image, data, family)
        warnings = list(info.warnings)
        orientation = info.orientation
        deep = _deep_pixels(image, data, family) if info.depth > 8 else None
        if deep is None:
            if info.depth > 8 and image.mode not in _DEEP_MODES:
                warnings.append(_reduced(info.depth))
            pixels, icc = _pixels(image, warnings)
        else:
            pixels, icc = deep, image.info.get("icc_profile") or b""
        pixels = np.ascontiguousarray(orientation.apply(pixels))
        gray = info.pix_fmt in ("L", "LA", "1", *_DEEP_MODES)
        frame = PackedFrame(pixels, gray=gray)
        metadata = _metadata(image, data, icc, frame.width, frame.height)
        return Photo(frame, info, metadata, warnings)


def read_face_picture(path: Path) -> BGR:
    """Read a source picture: upright, in sRGB colours, over grey where transparent, 8 bit.

    Returns:
        (h, w, 3) uint8 BGR.

    Raises:
        MediaFormatError, OutOfMemoryError, VanishedError, InputFileError: as `read_photo`; also for a video.
    """
    if not identify(path).picture:
        raise MediaFormatError(
            f"{path.name} is a video; a picture is needed as the source of a face.",
            remedy="Drop a photo of the face, or a still from the video, into inbox/faces.",
        )
    with _opened(path) as (image, _, _):
        orientation = _orientation(image)
        image = _to_srgb(image)
        if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
            layers = image.convert("RGBA")
            backdrop = Pillow.new("RGBA", layers.size, (127, 127, 127, 255))
            image = Pillow.alpha_composite(backdrop, layers)
        if image.mode in _DEEP_MODES:
            gray = _shift_to_eight_bits(np.asarray(image))
            pixels = cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)
        else:
            pixels = cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2BGR)
        return np.ascontiguousarray(orientation.apply(pixels), np.uint8)


def probe_picture(path: Path, family: str) -> MediaInfo:
    """Describe a picture without unpacking it; see `probe.probe`."""
    with _opened(path, load=False) as (image, data, _):
        return _describe(path, image, data, family)


@contextlib.contextmanager
def open_picture(path: Path) -> Iterator[Any]:
    """Open a picture or an animation with Pillow, without unpacking it.

    Yields:
        `PIL.Image.Image`.

    Raises:
        MediaFormatError: it cannot be opened, or turns out to be damaged while it is used inside the block.
        OutOfMemoryError, VanishedError, InputFileError: as `read_photo`.
    """
    with _opened(path, load=False) as (image, _, _):
        yield image


@contextlib.contextmanager
def _opened(path: Path, *, load: bool = True) -> Iterator[tuple[Any, bytes, str]]:
    """Open a picture; every way in which that fails becomes a clear error."""
    kind = identify(path)
    if kind.family == "heif":
        _register_heif()
    try:
        data = _content(path)
        with _without_pixel_limit():
            image = Pillow.open(io.BytesIO(data))
        for block in {"xmp", "icc_profile"} & image.info.keys():
            image.info[block] = _as_bytes(image.info[block])
        if image.width * image.height > MAX_PIXELS:
            raise MediaFormatError(
                f"{path.name} claims to be {image.width}x{image.height} pixels; that is too much.",
                remedy="Make the picture smaller and drop it again.",
            )
        if load:
            image.load()
        yield image, data, kind.family
    except FaceFusionError:
        raise
    except MemoryError as error:
        raise OutOfMemoryError(f"There is not enough memory for {path.name}.") from error
    except UnidentifiedImageError as error:
        raise MediaFormatError(
            f"{path.name} is damaged, or a kind of picture that is not supported."
        ) from error
    except _DAMAGE as error:
        # Pillow reports damage with whatever its decoders happened to stumble over.
        raise MediaFormatError(f"{path.name} is damaged or cut off ({error}).") from error


def _as_bytes(found: Any) -> bytes:
    """What stands in the place of bytes; TIFF files may hold numbers there, which mean nothing."""
    if isinstance(found, str):
        return found.encode("utf-8", "replace")
    return found if isinstance(found, bytes) else b""


def _content(path: Path) -> bytes:
    with readable(path), path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > MAX_BYTES:
            raise MediaFormatError(
                f"{path.name} has {size:,} bytes; that is too much for a picture.",
                remedy="Export the picture again, compressed or smaller, and drop it.",
            )
        return stream.read(size)


@contextlib.contextmanager
def _without_pixel_limit() -> Iterator[None]:
    """Pillow's own limit refuses 200-megapixel phone pictures; `MAX_PIXELS` is checked instead."""
    limit = Pillow.MAX_IMAGE_PIXELS
    Pillow.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Pillow.MAX_IMAGE_PIXELS = limit


def _register_heif() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False)


def _describe(path: Path, image: Any, data: bytes, family: str) -> MediaInfo:
    warnings: list[str] = []
    count = int(getattr(image, "n_frames", 1))
    moving = count > 1 and family in ("gif", "webp", "png", "avif")
    if count > 1 and not moving:
        warnings.append(f"{path.name} holds {count} pictures; only the first is used.")
    if family == "tiff" and 34665 in image.tag_v2:
        warnings.append("The camera data (EXIF) inside the TIFF is not carried over.")
    if any("gainmap" in kind or "depth" in kind for kind in image.info.get("aux") or ()):
        warnings.append("The HDR gain map or depth data beside the picture is not carried over.")
    depth = _depth(image, data, family)
    if depth > 8 and (moving or not _can_stay_deep(image, family)):
        warnings.append(_reduced(depth))
        depth = 8
    if depth > 8 and family == "avif" and avif.fine_colour(data):
        warnings.append(f"AVIF with {depth} bit is written with colour at half its resolution.")
    orientation = UPRIGHT if moving else _orientation(image)
    width, height = orientation.displayed(image.width, image.height)
    return MediaInfo(
        path=path,
        kind="animation" if moving else "photo",
        container=family,
        size_bytes=len(data),
        width=width,
        height=height,
        orientation=orientation,
        duration=None if moving else 0.0,
        frames=count if moving else 1,
        time_base=Fraction(1, 1000) if moving else None,
        codec=family,
        pix_fmt=image.mode,
        depth=depth,
        alpha=_transparent(image, family),
        warnings=tuple(warnings),
    )


def _transparent(image: Any, family: str) -> bool:
    if family == "gif" and "transparency" in image.info:
        # Most GIFs name a transparent colour only to leave out what did not change.
        return bool(np.asarray(image.convert("RGBA"))[..., 3].min() < 128)
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def _depth(image: Any, data: bytes, family: str) -> int:
    """Bits a channel as stored in the file."""
    if family == "png":
        return 16 if data[24] == 16 else 8
    if family == "tiff":
        bits = image.tag_v2.get(258, (8,))
        return int(max(bits) if isinstance(bits, tuple) else bits)
    if family == "avif":
        return avif.depth(data)
    if family == "heif":
        return int(image.info.get("bit_depth", 8))
    return 16 if image.mode in _DEEP_MODES else 8


def _can_stay_deep(image: Any, family: str) -> bool:
    if family == "heif":
        return image.mode in ("RGB", "RGBA")
    if family == "avif":
        return avif.can_be_deep()
    return family in ("png", "tiff") and image.mode in ("RGB", "RGBA", "RGBX", "LA", *_DEEP_MODES)


def _reduced(depth: int) -> str:
    return f"The picture has {depth} bit a channel; it is processed and written with 8."


def _orientation(image: Any) -> Orientation:
    # The HEIF reader has turned the picture already, and says 1.
    return EXIF_ORIENTATIONS[exif_block.orientation_tag(image.info.get("exif") or b"")]


def _deep_pixels(image: Any, data: bytes, family: str) -> npt.NDArray[np.uint16] | None:
    """16-bit BGR or BGRA; Pillow would reduce colour pictures to 8 bit."""
    if family == "heif":
        return _deep_heif(data)
    if family == "avif":
        decoded: Any = avif.decode(data)
    else:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16 or decoded.shape[:2] != (image.height, image.width):
        return None
    if decoded.ndim == 2:
        return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_GRAY2BGR))
    return np.asarray(decoded) if decoded.shape[2] in (3, 4) else None


def _deep_heif(data: bytes) -> npt.NDArray[np.uint16] | None:
    """The samples of 10 or 12 bit spread over the range of 16; shifted back they are what they were."""
    import pillow_heif

    opened = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False, bgr_mode=True)
    if opened.mode not in ("BGR;16", "BGRA;16"):
        return None
    samples = np.asarray(opened)
    return np.asarray(samples | samples >> int(opened.info["bit_depth"]), np.uint16)


def _pixels(image: Any, warnings: list[str]) -> tuple[npt.NDArray[Any], bytes]:
    """8-bit BGR or BGRA, and the colour profile they are in."""
    icc: bytes = image.info.get("icc_profile") or b""
    if image.mode in ("CMYK", "LAB", "YCbCr", "HSV"):
        if image.mode == "CMYK":
            warnings.append("The picture is in CMYK (print) colours; the result is in sRGB.")
        image, icc = _to_srgb(image), b""
    if image.mode in _DEEP_MODES:
        warnings.append("The picture has 16 bit a channel in a form that cannot be kept; the result has 8.")
        return cv2.cvtColor(_shift_to_eight_bits(np.asarray(image)), cv2.COLOR_GRAY2BGR), icc
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return cv2.cvtColor(np.asarray(image.convert("RGBA")), cv2.COLOR_RGBA2BGRA), icc
    return cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2BGR), icc


def _shift_to_eight_bits(samples: npt.NDArray[Any]) -> BGR:
    return np.asarray(np.clip(samples.astype(np.int64) >> 8, 0, 255), np.uint8)


def _to_srgb(image: Any) -> Any:
    """Convert by the embedded profile; without one, by Pillow's plain formula."""
    icc = image.info.get("icc_profile")
    plain = image if image.mode in ("RGB", "RGBA", "L", "LA", *_DEEP_MODES) else None
    if icc and image.mode in ("RGB", "RGBA", "CMYK", "LAB"):
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            mode = "RGBA" if image.mode == "RGBA" else "RGB"
            return ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode=mode)
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # A damaged profile is as good as none; viewers ignore it too.
    if plain is not None:
        return plain
    alpha = image.mode in ("PA", "La", "RGBa") or "transparency" in image.info
    return image.convert("RGBA" if alpha else "RGB")


def _metadata(image: Any, data: bytes, icc: bytes, width: int, height: int) -> PhotoMetadata:
    exif = image.info.get("exif") or b""
    tiff = image.format == "TIFF"
    # Of TIFF as it is stored: Pillow cuts the orientation out of its own copy.
    xmp = _as_bytes(image.tag_v2.get(700) if tiff else image.info.get("xmp"))
    jpeg = image.format in ("JPEG", "MPO")
    return PhotoMetadata(
        exif=exif_block.upright(exif, width, height) if exif else b"",
        icc=icc,
        xmp=exif_block.upright_xmp(xmp),
        dpi=_dpi(image.info.get("dpi")),
        text=dict(getattr(image, "text", {}) or {}),
        sampling=JpegImagePlugin.get_sampling(image) if jpeg else -1,
        progressive=bool(image.info.get("progressive")),
        lossless=webp_is_lossless(data) if image.format == "WEBP" else image.format not in _LOSSY,
        compression=str(image.info.get("compression", "")),
        nclx=image.info.get("nclx_profile"),
        primaries=avif.colours(data) if image.format == "AVIF" else b"",
        tags={tag: str(image.tag_v2[tag]) for tag in _TIFF_TEXTS if tag in image.tag_v2} if tiff else {},
    )


def _dpi(stated: Any) -> tuple[float, float] | None:
    """What a file says, which may be anything; writers stumble over what no scanner or printer has."""
    across, down = map(float, stated or (0, 0))
    sensible = all(math.isfinite(value) and 0 < value <= _MOST_DPI for value in (across, down))
    return (across, down) if sensible else None
