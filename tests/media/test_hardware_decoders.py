"""Decoders of graphics processors: used where they are proved on the video, else the software's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media_clips import Clip, make_clip

from facefusion.config import AutomationConfig
from facefusion.errors import EngineError, FaceFusionError
from facefusion.media import decoder_probe, hardware_decode
from facefusion.media.encoders import HARDWARE
from facefusion.media.hardware import Proof
from facefusion.media.hardware_decode import DECODERS, on_device
from facefusion.media.probe import MediaInfo, probe
from facefusion.media.reader import VideoReader
from facefusion.media.trial import answer_of

FAST = Proof(True, "works", seconds=0.001, software_seconds=0.01)
SLOW = Proof(True, "works", seconds=0.02, software_seconds=0.01)
BROKEN = Proof(False, "does not work here: no such device")


@pytest.fixture(autouse=True)
def machine_with_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware_decode, "_known", {})
    monkeypatch.setitem(
        HARDWARE, "nvenc", replace(HARDWARE["nvenc"], traces=(), platforms=("linux", "darwin"))
    )


@pytest.fixture
def info(tmp_path: Path) -> MediaInfo:
    clip = make_clip(tmp_path / "clip.mp4", Clip(width=160, height=96, frames=12))
    return replace(probe(clip), frames=500)  # as long as one for which a trial pays


def settings(device: str = "auto") -> AutomationConfig:
    return AutomationConfig.model_validate({"output": {"hardware_encoder": device}})


def chosen(info: MediaInfo, proof: Proof, device: str = "auto") -> str:
    hardware_decode._known.clear()
    return on_device(info, settings(device), prove=lambda *_: proof).decoder


def test_what_is_proved_and_faster_is_used(info: MediaInfo) -> None:
    assert chosen(info, FAST) == "h264_cuvid"
    assert chosen(info, FAST, "nvenc") == "h264_cuvid"
    for proof, device in ((SLOW, "auto"), (BROKEN, "auto"), (FAST, "off"), (FAST, "qsv")):
        assert chosen(info, proof, device) == ""


def test_what_it_is_not_made_for_is_left_to_the_software(info: MediaInfo) -> None:
    others: list[dict[str, Any]] = [
        {"codec": "prores"},
        {"pix_fmt": "yuv422p"},
        {"interlaced": True},
        {"kind": "animation"},
        {"frames": 20},
        {"frames": None},
        {"decoder": "libvpx-vp9"},
    ]
    for change in others:
        other = replace(info, **change)
        assert chosen(other, FAST) == other.decoder


def test_each_size_and_format_is_tried_once(info: MediaInfo) -> None:
    asked: list[str] = []

    def prove(_: MediaInfo, decoder: str, threads: int) -> Proof:
        asked.append(decoder)
        return FAST

    for _ in range(3):
        on_device(info, settings(), prove=prove)
    on_device(replace(info, pix_fmt="yuv420p10le", codec="hevc"), settings(), prove=prove)
    assert asked == ["h264_cuvid", "hevc_cuvid"]


def test_on_a_machine_without_the_device_the_software_reads(info: MediaInfo) -> None:
    """The trial itself: the driver's library is not there, and a process of its own finds that out."""
    assert on_device(info, settings()) == info
    (proof,) = hardware_decode._known.values()
    assert not proof.works and "does not work here" in proof.reason


def test_a_decoder_with_the_same_pictures_passes_the_trial(info: MediaInfo) -> None:
    question = {"path": str(info.path), "decoder": "h264", "threads": 1}
    answer = answer_of("facefusion.media.decoder_probe", hardware_decode.RESULT_MARK, question, lambda: None)
    assert isinstance(answer, dict), answer
    assert json.loads(json.dumps(answer))["works"] is True and answer["seconds"] > 0


def test_one_wrong_sample_or_a_picture_less_fails_the_trial(info: MediaInfo) -> None:
    class Wrong(VideoReader):
        def __next__(self) -> Any:
            frame = super().__next__()
            if frame.index == 7:
                frame.blend((0, 0, 2, 2), np.full((2, 2, 3), 255, np.uint8), np.full((2, 2), 255, np.uint8))
            return frame

    class Short(VideoReader):
        def __next__(self) -> Any:
            if self._count == 9:
                raise StopIteration
            return super().__next__()

    for kind, said in ((Wrong, "picture 7 is not the software's"), (Short, "fewer pictures")):
        with (
            kind(info.path, info) as device,
            VideoReader(info.path, info) as software,
            pytest.raises(ValueError, match=said),
        ):
            decoder_probe.compare(device, software)
    with VideoReader(info.path, info) as device, VideoReader(info.path, info) as software:
        decoder_probe.compare(device, software)


def test_a_decoder_that_was_proved_and_fails_in_a_job_is_not_used_again(info: MediaInfo) -> None:
    """Here the proof is false: there is no such device."""
    read_as = on_device(info, settings(), prove=lambda *_: FAST)
    assert read_as.decoder in DECODERS.values()
    with VideoReader(read_as.path, read_as) as reader, pytest.raises(EngineError) as caught:
        list(reader)
    assert isinstance(caught.value, FaceFusionError) and caught.value.retryable
    assert "h264_cuvid failed while it read clip.mp4" in caught.value.message
    assert on_device(info, settings()) == info
    with VideoReader(read_as.path, read_as) as reader:
        assert len(list(reader.glimpses(1, 1))) == 1  # glimpses are the software's in any case
