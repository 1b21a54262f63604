"""A job that has failed before is read and written by the software, and its report says so."""

from __future__ import annotations

from dataclasses import replace

import pytest
from attempts import Attempts

from facefusion.media import hardware, hardware_decode
from facefusion.media.encoders import HARDWARE
from facefusion.media.hardware import Proof

FAST = Proof(True, "works", seconds=0.001, software_seconds=0.01)


def test_what_has_failed_before_is_written_by_the_software(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device is one whose encoder does not start here, and so fails the first attempt."""
    device = replace(HARDWARE["nvenc"], traces=(), platforms=("linux", "darwin"))
    monkeypatch.setitem(HARDWARE, "nvenc", device)
    monkeypatch.setattr(hardware, "_known", {})
    monkeypatch.setattr(hardware, "_ask", lambda *_: FAST)
    monkeypatch.setattr("facefusion.targets.on_device", lambda info, *_, **__: info)
    with pytest.raises(Exception, match="h264_nvenc failed"):
        attempts.run()
    result = attempts.run(again=True)
    assert result.media["encoder"] == "libx264"
    assert "An earlier attempt failed; so libx264 writes the video, not h264_nvenc." in result.warnings


def test_what_a_device_could_not_read_is_read_by_the_software(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does its decoder start here."""
    monkeypatch.setattr(hardware_decode, "_known", {})
    monkeypatch.setattr(hardware_decode, "_failed", {})
    monkeypatch.setattr(
        "facefusion.targets.on_device", lambda info, *_, **__: replace(info, decoder="h264_cuvid")
    )
    with pytest.raises(Exception, match="h264_cuvid failed"):
        attempts.run()
    said = [sentence for sentence in attempts.run(again=True).warnings if "h264_cuvid" in sentence]
    assert len(said) == 1
    assert said[0].endswith("; the software read the video.")
