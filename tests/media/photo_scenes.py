"""A made picture, and the way of a photo through reader and writer."""

import functools

import numpy as np
from media_job import settings
from PIL import Image, ImageCms

from facefusion.media.photos import read_photo, write_photo
from facefusion.media.plan import plan_output
from facefusion.media.verify import verify_photo

BOX = (20, 10, 60, 50)


def scene(width=96, height=64):
    """Smooth RGB with a bright upper left corner."""
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack([60 + rows, 80 + columns, 200 - rows - columns], -1)
    pixels[:16, :24] = (250, 240, 230)
    return pixels.astype(np.uint8)


def rewrite(source, *, blend=False, config=None):
    """Read, perhaps change, write and verify."""
    photo = read_photo(source)
    plan = plan_output(photo.info, config or settings())
    if blend:
        x0, y0, x1, y1 = BOX
        colour = np.full((y1 - y0, x1 - x0, 3), (20, 60, 220), np.uint8)
        photo.frame.blend(BOX, colour, np.full(colour.shape[:2], 255, np.uint8))
    out = source.with_name(f"{source.stem}__result{plan.suffix}")
    write_photo(out, photo, plan)
    verify_photo(out, photo.frame.width, photo.frame.height)
    return out, photo, plan


@functools.cache
def srgb():
    """The profile of sRGB, as bytes."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif_with(orientation):
    """EXIF with make, orientation, dimensions and a maker's note."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Maker"
    inner = exif.get_ifd(0x8769)
    inner[0xA002], inner[0xA003] = 96, 64
    inner[0x927C] = b"note\0\x01\x02"
    return exif.tobytes()
