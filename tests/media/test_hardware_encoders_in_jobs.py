"""A graphics processor's encoder that fails in the middle of a job: the next attempt is the software's."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av.error
import pytest
from media_clips import Clip, make_clip

from facefusion.config import AutomationConfig
from facefusion.errors import EngineError, MediaFormatError, StorageError
from facefusion.media import hardware
from facefusion.media.encoders import HARDWARE
from facefusion.media.encoding import PictureEncoder
from facefusion.media.hardware import Proof, accelerated
from facefusion.media.plan import OutputPlan, plan_output
from facefusion.media.probe import MediaInfo, probe
from facefusion.media.reader import VideoReader
from facefusion.media.writer import VideoWriter

FAST = Proof(True, "works", seconds=0.001, software_seconds=0.01)
SLOW = Proof(True, "works", seconds=0.02, software_seconds=0.01)


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device whose encoder is one that this machine has: x265 in the place of x264."""
    device = replace(
        HARDWARE["nvenc"], encoders={"libx264": "libx265"}, traces=(), platforms=("linux", "darwin")
    )
    monkeypatch.setitem(HARDWARE, "nvenc", device)
    monkeypatch.setattr(hardware, "_PACKED", {"yuv420p": "yuv420p"})  # x265 takes no interleaved chroma
    monkeypatch.setattr(hardware, "_known", {})


@pytest.fixture
def info(tmp_path: Path) -> MediaInfo:
    return probe(make_clip(tmp_path / "clip.mp4", Clip(width=160, height=96, frames=10)))


def planned(info: MediaInfo, device: str = "auto", proof: Proof | None = FAST, *, again: bool) -> OutputPlan:
    output = {"hardware_encoder": device, "encoder_preset": "ultrafast"}
    config = AutomationConfig.model_validate({"quality_preset": "fast", "output": output})
    prove = None if proof is None else lambda trial: proof
    return accelerated(plan_output(info, config), info, config, again=again, prove=prove)


def encoder(plan: OutputPlan) -> str:
    assert plan.encode is not None
    return plan.encode.encoder


@pytest.mark.parametrize("device", ["auto", "nvenc"])
def test_what_has_failed_before_is_written_by_the_software_and_that_is_said(
    info: MediaInfo, device: str
) -> None:
    assert encoder(planned(info, device, again=False)) == "libx265"
    plan = planned(info, device, again=True)
    assert encoder(plan) == "libx264"
    assert plan.warnings == ("An earlier attempt failed; so libx264 writes the video, not libx265.",)


def test_nothing_is_said_where_the_software_writes_anyway(info: MediaInfo) -> None:
    for device, proof in (("auto", SLOW), ("off", FAST)):
        plan = planned(info, device, proof, again=True)
        assert (encoder(plan), plan.warnings) == ("libx264", ())


def write(info: MediaInfo, plan: OutputPlan, out: Path) -> None:
    with VideoReader(info.path, info) as reader, VideoWriter(out, info, plan) as writer:
        for frame in reader:
            writer.write(frame)
        writer.commit()


def fail_in(monkeypatch: pytest.MonkeyPatch, method: str, error: Exception, after: int) -> None:
    real: Callable[..., Any] = getattr(PictureEncoder, method)
    calls: list[int] = []

    def failing(self: PictureEncoder, *given: Any) -> Any:
        calls.append(1)
        if len(calls) > after:
            raise error
        return real(self, *given)

    monkeypatch.setattr(PictureEncoder, method, failing)


@pytest.mark.parametrize(("method", "after"), [("encode", 5), ("flush", 0)])
def test_an_encoder_that_fails_in_the_middle_is_not_the_files_fault_and_not_asked_again(
    info: MediaInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, after: int
) -> None:
    device_lost = av.error.ExternalError(errno.EPERM, "Generic error in an external library")
    out = tmp_path / "out.mp4"
    plan = planned(info, again=False)
    with monkeypatch.context() as patch:
        fail_in(patch, method, device_lost, after)
        with pytest.raises(EngineError, match="libx265 failed") as caught:
            write(info, plan, out)
    assert caught.value.retryable
    assert not out.exists()
    assert encoder(planned(info, proof=None, again=False)) == "libx264", "it is known not to work here"
    plan = planned(info, proof=None, again=True)
    assert plan.warnings == ("An earlier attempt failed; so libx264 writes the video, not libx265.",)
    write(info, plan, out)


def test_a_full_disk_is_no_fault_of_the_device(
    info: MediaInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        fail_in(patch, "encode", av.error.OSError(errno.ENOSPC, "No space left on device"), 5)
        with pytest.raises(StorageError):
            write(info, planned(info, again=False), tmp_path / "out.mp4")
    assert hardware.known() == {}


def test_the_softwares_own_errors_stay_what_they_are(
    info: MediaInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_in(monkeypatch, "encode", av.error.InvalidDataError(errno.EINVAL, "Invalid data"), 5)
    with pytest.raises(MediaFormatError):
        write(info, planned(info, "off", again=False), tmp_path / "out.mp4")
