"""A graphics processor's decoder is held to what the packets of a video promise."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from media_clips import Clip, make_clip

from facefusion.errors import EngineError
from facefusion.media import hardware_decode
from facefusion.media.probe import MediaInfo, probe
from facefusion.media.reader import VideoReader

FRAMES = 24


@pytest.fixture(autouse=True)
def devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """The software's decoders stand in for a device's."""
    monkeypatch.setattr(hardware_decode, "_known", {})
    monkeypatch.setattr(hardware_decode, "_failed", {})
    for codec, name in (("h264", "h264"), ("hevc", "hevc"), ("vp9", "vp9"), ("av1", "libdav1d")):
        monkeypatch.setitem(hardware_decode.DECODERS, codec, name)


def on_device(path: Path) -> MediaInfo:
    info = probe(path)
    return replace(info, decoder=hardware_decode.DECODERS[info.codec])


class Faulty:
    """A decoder that does something of its own with its pictures."""

    def __init__(self, real: Any, change: Callable[[int, Any], list[Any]]) -> None:
        self._real, self._change, self._number = real, change, 0

    def decode(self, packet: Any) -> list[Any]:
        given = []
        for frame in self._real.decode(packet):
            given += self._change(self._number, frame)
            self._number += 1
        return given


def read(info: MediaInfo, change: Callable[[int, Any], list[Any]] = lambda number, frame: [frame]) -> int:
    with VideoReader(info.path, info, threads=1) as reader:
        reader._decoder = Faulty(reader._decoder, change)
        return sum(1 for _ in reader)


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        ("a.mp4", Clip(bframes=2)),
        ("b.mkv", Clip(codec="libx265", pix_fmt="yuv420p10le")),
        ("c.webm", Clip(codec="libvpx-vp9")),
        ("d.mp4", Clip(codec="libsvtav1")),
        ("e.ts", Clip(bframes=2)),
    ],
)
def test_a_sound_video_of_each_codec_keeps_its_promises(tmp_path: Path, name: str, clip: Clip) -> None:
    path = make_clip(tmp_path / name, replace(clip, width=96, height=64, frames=FRAMES))
    assert read(on_device(path)) == FRAMES


@pytest.fixture
def info(tmp_path: Path) -> MediaInfo:
    return on_device(make_clip(tmp_path / "clip.mp4", Clip(width=96, height=64, frames=FRAMES, bframes=2)))


def late(frame: Any) -> list[Any]:
    frame.pts += 1
    return [frame]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda number, frame: [frame] if number != 7 else [], "a picture is missing"),
        (lambda number, frame: [frame] if number != 0 else [frame, frame], "a picture came that was not"),
        (lambda number, frame: [frame] if number != 9 else late(frame), "a picture is missing"),
        (lambda number, frame: [frame] if number < 20 else [], "pictures at the end are missing"),
    ],
)
def test_what_the_device_leaves_out_or_adds_is_done_again_by_the_software_and_said(
    info: MediaInfo, change: Callable[[int, Any], list[Any]], why: str
) -> None:
    with pytest.raises(EngineError, match=why) as caught:
        read(info, change)
    assert caught.value.retryable
    (said,) = hardware_decode.failure(info)
    assert said.startswith("h264 failed in an earlier attempt (") and said.endswith(
        "the software read the video."
    )
    software = replace(info, decoder="")
    assert read(software) == FRAMES
    assert hardware_decode.failure(replace(info, path=info.path.with_name("another.mp4"))) == []


def test_what_comes_before_the_first_picture_is_no_promise(info: MediaInfo) -> None:
    assert read(info, lambda number, frame: [frame] if number >= 2 else []) == FRAMES - 2


def test_packets_without_times_promise_nothing(tmp_path: Path) -> None:
    promises = hardware_decode.Promises()
    packet = av.Packet(b"a picture")
    promises.packet(packet)
    assert promises.picture(3) == ""
    assert promises.end() == ""


def test_pictures_that_come_late_and_out_of_order_keep_their_promises() -> None:
    rng = random.Random(4)
    promises = hardware_decode.Promises()
    shown = 0
    for start in range(0, 400, 4):  # groups in another order than they are shown in
        for stamp in rng.sample(range(start, start + 4), 4):
            packet = av.Packet(b"a picture")
            packet.pts, packet.time_base = stamp, Fraction(1, 25)
            promises.packet(packet)
        while shown < start - 8:
            assert promises.picture(shown) == ""
            shown += 1
    promises.packet(None)
    for stamp in range(shown, 400):
        assert promises.picture(stamp) == ""
    assert promises.end() == ""
