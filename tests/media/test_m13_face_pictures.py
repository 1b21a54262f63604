"""M13: a picture of the source face is read upright, in the colours it means, whatever its kind."""

import struct

import cv2
import numpy as np
import pytest
from media_clips import make_clip
from media_job import psnr
from photo_scenes import scene
from PIL import Image, ImageCms

from facefusion.errors import MediaFormatError
from facefusion.media.photos import read_face_picture


def test_gray_gives_a_gray_face(tmp_path):
    source = tmp_path / "photo.png"
    Image.fromarray(scene()).convert("L").save(source)
    picture = read_face_picture(source)
    assert picture.shape == (64, 96, 3)
    assert np.array_equal(picture[..., 0], picture[..., 2])


def test_sixteen_bit_gray_source_picture_is_not_burnt_out(tmp_path):
    source = tmp_path / "photo.png"
    cv2.imwrite(str(source), (np.full((32, 32), 128, np.uint16) * 257))
    assert read_face_picture(source).mean() == pytest.approx(128, abs=1)


def test_transparent_source_picture_is_laid_over_gray(tmp_path):
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[:, 16:] = (200, 100, 50, 255)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    picture = read_face_picture(tmp_path / "photo.png")
    assert tuple(picture[0, 0]) == (127, 127, 127)
    assert tuple(picture[0, 31]) == (50, 100, 200)


def profile_with_red_and_blue_exchanged():
    """An ICC profile (version 2, gamma 2.2) of a display whose red is blue: shows if profiles are used."""

    def xyz(*values):
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))

    red, green, blue = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)
    gamma = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    name = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78 + 3)
    tags = {
        b"desc": name,
        b"cprt": b"text\0\0\0\0none",
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(*blue),
        b"gXYZ": xyz(*green),
        b"bXYZ": xyz(*red),
        b"rTRC": gamma,
        b"gTRC": gamma,
        b"bTRC": gamma,
    }
    table, body = struct.pack(">I", len(tags)), b""
    for tag, data in tags.items():
        data += b"\0" * (-len(data) % 4)
        table += tag + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(data))
        body += data
    size = 128 + len(table) + len(body)
    head = struct.pack(">I4sI4s4s4s12x4s", size, b"\0\0\0\0", 0x02100000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    head = head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + body


def test_colours_of_a_source_picture_are_those_its_profile_means(tmp_path):
    source = tmp_path / "photo.png"
    Image.new("RGB", (8, 8), (220, 120, 40)).save(source, icc_profile=profile_with_red_and_blue_exchanged())
    # BGR of (40, 120, 220).
    assert read_face_picture(source)[0, 0].astype(int) == pytest.approx((220, 120, 40), abs=6)


def test_lab_source_picture(tmp_path):
    lab = ImageCms.createProfile("LAB")
    source = tmp_path / "photo.tif"
    transform = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), lab, "RGB", "LAB")
    image = ImageCms.applyTransform(Image.fromarray(scene()), transform)
    image.save(source, icc_profile=ImageCms.ImageCmsProfile(lab).tobytes())
    assert psnr(read_face_picture(source)[..., ::-1], scene()) > 30


def test_first_picture_of_an_animation_is_the_source_face(tmp_path):
    pictures = [Image.fromarray(scene()), Image.new("RGB", (96, 64))]
    pictures[0].save(tmp_path / "face.webp", save_all=True, append_images=pictures[1:], lossless=True)
    assert np.array_equal(read_face_picture(tmp_path / "face.webp")[..., ::-1], scene())


def test_video_as_a_source_picture_is_refused_with_advice(tmp_path):
    with pytest.raises(MediaFormatError, match="is a video") as caught:
        read_face_picture(make_clip(tmp_path / "face.mp4"))
    assert "still" in caught.value.remedy
