"""The check before publishing sees every defect that shipped programs let through."""

import shutil
import tracemalloc
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from media_clips import Audio, Clip, make_clip
from PIL import Image

from facefusion.errors import VerificationError
from facefusion.media.verify import ExpectedMedia, ExpectedTrack, verify_photo, verify_video

FRAMES = 100
RIGHT = ExpectedMedia(
    frames=FRAMES,
    width=96,
    height=64,
    first=0.0,
    last=3.96,
    length=4.0,
    frame_seconds=0.04,
    audio=(ExpectedTrack(0.0, 4.0),),
)


@pytest.fixture(scope="module", params=["mp4", "mkv", "mov"])
def good(request, tmp_path_factory):
    clip = Clip(frames=FRAMES, audio=[Audio(seconds=4)], gop=25, bframes=2, options={"preset": "medium"})
    return make_clip(tmp_path_factory.mktemp("good") / f"good.{request.param}", clip)


def remake(
    good, folder, keep=lambda packet, number: True, change=lambda packet: None, kinds=("video", "audio")
):
    """A copy of a file with packets left out or changed."""
    path = folder / good.name
    with av.open(str(good)) as old, av.open(str(path), "w") as new:
        routes = {
            s.index: new.add_stream_from_template(s, opaque=True) for s in old.streams if s.type in kinds
        }
        counts = dict.fromkeys(routes, 0)
        for packet in old.demux():
            if packet.size == 0 or packet.stream.index not in routes:
                continue
            number = counts[packet.stream.index]
            counts[packet.stream.index] += 1
            if keep(packet, number):
                change(packet)
                packet.stream = routes[packet.stream.index]
                new.mux(packet)
    return path


def test_a_good_file_passes(good):
    verify_video(good, RIGHT)
    verify_video(good, RIGHT, decode_all=True)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"frames": 99}, "100 pictures instead of 99"),
        ({"frames": 101}, "100 pictures instead of 101"),
        ({"width": 64, "height": 96}, "96x64 instead of 64x96"),
        ({"first": 0.5}, "first picture"),
        ({"last": 4.86}, "last picture"),
        ({"audio": ()}, "1 sound tracks instead of 0"),
        ({"audio": (ExpectedTrack(0, 4), ExpectedTrack(0, 4))}, "1 sound tracks instead of 2"),
        ({"audio": (ExpectedTrack(0.5, 4.0),)}, "Sound track 1 .* starts"),
        ({"audio": (ExpectedTrack(0.0, 6.0),)}, "Sound track 1 .* lasts"),
        ({"subtitles": 1}, "0 subtitle tracks instead of 1"),
    ],
)
def test_what_differs_is_named(good, wrong, words):
    with pytest.raises(VerificationError, match=words):
        verify_video(good, replace(RIGHT, **wrong))


def test_length_of_the_track(good):
    if good.suffix == ".mkv":
        pytest.skip("Matroska does not store how long the last picture stays")
    with pytest.raises(VerificationError, match=r"lasts 4\.0.* instead of 5"):
        verify_video(good, replace(RIGHT, length=5.0))


def refused(path, words=None):
    with pytest.raises(VerificationError, match=words):
        verify_video(path, RIGHT)


def test_lost_pictures(good, tmp_path):
    refused(remake(good, tmp_path, lambda p, n: p.stream.type != "video" or n != 50), "99 pictures")


def test_lost_sound(good, tmp_path):
    refused(remake(good, tmp_path, kinds=("video",)), "sound")
    refused(remake(good, tmp_path, lambda p, n: p.stream.type != "audio" or n < 60), "lasts")


def test_sound_that_is_late(good, tmp_path):
    def later(packet):
        if packet.stream.type == "audio":
            packet.pts += round(Fraction(2, 10) / packet.time_base)
            packet.dts += round(Fraction(2, 10) / packet.time_base)

    refused(remake(good, tmp_path, change=later), "starts")


def test_cut_tail(good, tmp_path):
    path = shutil.copy(good, tmp_path / good.name)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    refused(path, "cannot be opened|pictures")


def test_damaged_tail_does_not_decode(good, tmp_path):
    with av.open(str(good)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        places = [(packet.pos, packet.size) for packet in packets[-3:]]
    for at, size in places:
        data = bytearray(good.read_bytes())
        data[at + 5 : at + size] = np.random.default_rng(1).bytes(size - 5)
        (tmp_path / good.name).write_bytes(data)
        refused(tmp_path / good.name)


def test_empty_and_missing_files(tmp_path):
    (tmp_path / "empty.mp4").touch()
    refused(tmp_path / "empty.mp4", "empty")
    refused(tmp_path / "gone.mp4", "no longer there")


def test_photos(tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "photo.jpg")
    verify_photo(tmp_path / "photo.jpg", 40, 30)
    with pytest.raises(VerificationError, match="40x30 instead of 30x40"):
        verify_photo(tmp_path / "photo.jpg", 30, 40)
    data = (tmp_path / "photo.jpg").read_bytes()
    (tmp_path / "photo.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(VerificationError, match="cannot be opened"):
        verify_photo(tmp_path / "photo.jpg", 40, 30)


def test_only_the_beginning_and_the_tail_of_a_long_video_are_decoded(tmp_path):
    """Damage in the middle is found when everything is decoded, and only then: that keeps it cheap."""
    path = make_clip(tmp_path / "clip.mkv", Clip(frames=400, gop=100))
    right = replace(RIGHT, frames=400, last=15.96, length=16.0, audio=())
    verify_video(path, right, decode_all=True)
    with av.open(str(path)) as container:
        packet = [p for p in container.demux(video=0) if p.size][150]
    data = bytearray(path.read_bytes())
    data[packet.pos + 12 : packet.pos + packet.size] = np.random.default_rng(1).bytes(packet.size - 12)
    path.write_bytes(data)
    verify_video(path, right)
    with pytest.raises(VerificationError):
        verify_video(path, right, decode_all=True)


def test_half_an_hour_of_pictures_is_checked_in_little_memory(tmp_path):
    """The same four pictures over and over, packet by packet; only the first is a key frame."""
    source = make_clip(tmp_path / "clip.mp4", Clip(frames=4, gop=100))
    path, frames = tmp_path / "long.mkv", 40_000
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        packets = [bytes(packet) for packet in old.demux(video=0) if packet.size]
        stream = new.add_stream_from_template(old.streams.video[0], opaque=True)
        for number in range(frames):
            packet = av.Packet(packets[number % 4])
            packet.pts = packet.dts = number
            packet.time_base, packet.stream = Fraction(1, 25), stream
            packet.is_keyframe = number == 0
            new.mux(packet)
    right = replace(RIGHT, frames=frames, last=(frames - 1) / 25, length=frames / 25, audio=())
    tracemalloc.start()
    try:
        verify_video(path, right)
        assert tracemalloc.get_traced_memory()[1] < 2.5e6
    finally:
        tracemalloc.stop()
