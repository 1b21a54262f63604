"""Clips of plain grey whose brightness is what a stand-in for the model calls a score; nothing to be seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.config import AutomationConfig, GateSettings
from facefusion.trust.gate import ContentGate
from facefusion.trust.rules import GateModel

RATE = 20
CLASS = "FEMALE_BREAST_EXPOSED"


class Brightness:
    """A stand-in for the model: a picture's brightness is its score. Notes how often it was asked."""

    model = GateModel("brightness", "0" * 64)
    side = 320

    def __init__(self) -> None:
        self.looks = 0

    def score(self, picture: NDArray[np.uint8]) -> Mapping[str, float]:
        self.looks += 1
        assert picture.dtype == np.uint8
        assert max(picture.shape[:2]) <= self.side
        return {CLASS: float(picture.mean()) / 255}


def shade(score: float, *, width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    return np.full((height, width, 3), round(score * 255), np.uint8)


def write_scores(
    path: Path, score: Callable[[float], float], *, seconds: float, keys: int = 1000, codec: str = "libx264"
) -> Path:
    """A clip whose frame at `t` seconds has the brightness `score(t)`; a key frame every `keys` frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if codec == "libx264":
            stream.options = {"crf": "10", "g": str(keys), "sc_threshold": "0", "keyint_min": str(keys)}
        for index in range(round(seconds * RATE)):
            picture = shade(score(index / RATE))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    return path


def write_picture(path: Path, score: float) -> Path:
    cv2.imwrite(str(path), shade(score))
    return path


def gate(model: object | None = None, **settings: float) -> ContentGate:
    config = AutomationConfig(gate=GateSettings(**settings))
    return ContentGate(Path("nowhere"), config, load=lambda folder, threads: model or Brightness())
