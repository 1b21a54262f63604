"""The invisible mark: results can be told from recordings even after their metadata is gone.

A pattern of signs lies over every picture on a grid of 160 x 90 cells. It is cut into six words, each spread
over a sixth of the cells; a word is one of 256 fixed random patterns and so stands for one byte: the four
bytes of the payload, and two that check them (a Reed-Solomon code: two payloads differ in three words at
least, and what is read is a mark only where all six fit together). What is added is about one grey level.

Reading it back means finding one grey level under a whole picture: each cell is predicted from its
neighbours, and only what they do not explain counts (the pattern is noise, pictures are not), divided by how
uneven the surroundings are. Every byte is then the pattern that correlates best.

This is disclosure, not security: whoever has the program can write the same pattern, cropping or turning a
picture hides it, strong filters wear it away. It survives what honest people do: re-encoding and resizing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.media.frame import Frame, PackedFrame
from facefusion.media.imprint import Strength
from facefusion.media.open import open_reader
from facefusion.media.photos import read_photo
from facefusion.media.probe import probe

Floats = NDArray[np.float32]

VIDEO_STRENGTH = Strength(even=0.5, rich=1.0, texture=6.0)
"""Amplitude in videos, in 8-bit grey levels: the mark is read from many pictures."""
PHOTO_STRENGTH = Strength(even=0.75, rich=2.0, texture=16.0)
"""Amplitude in photos, where one picture has to do."""

FOUND = 8.0
"""Evidence from which a mark counts as found; see `Detection`."""

_ROWS, _COLUMNS = 90, 160
_WORDS, _VALUES = 6, 256
_CELLS = _ROWS * _COLUMNS // _WORDS
_RUN = 6  # neighbouring frames that are averaged before they are whitened
_PLACES, _RUNS_EACH = 24, 4
_SURE = 1.5  # the likeliest payload must be ahead of the next by this much evidence, before the division
_CANDIDATES = 16  # values of a byte that are tried against the checking ones
_NEAR = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if dy or dx]


@dataclass(frozen=True)
class Detection:
    """What was found in one file.

    Attributes:
        found: the mark is there.
        payload: the number it carries (0 to 2**32 - 1); None where it is not there, or too faint to be sure
            of every bit. Where several marks lie over each other, that of the strongest.
        confidence: evidence in standard deviations of chance, the sum over all words. Material without a mark
            has about 6, and never had `FOUND` or more in what was measured (`docs/trust.md`).
        frames: pictures that were looked at.
        further: payloads of weaker marks beneath, strongest first: results that were used as targets again.
    """

    found: bool
    payload: int | None
    confidence: float
    frames: int
    further: tuple[int, ...] = ()


class Watermark:
    """Marks frames with one payload; one instance serves any number of threads.

    Args:
        payload: 0 to 2**32 - 1, for instance the first four bytes of a manifest's identity.

    Raises:
        ValueError: the payload does not fit.
    """

    def __init__(self, payload: int) -> None:
        if not 0 <= payload < 1 << 32:
            raise ValueError(f"payload {payload} does not fit into 32 bits")
        self.payload = payload
        self._signs = pattern(payload)

    def mark(self, frame: Frame) -> None:
        """Mark a frame in place: photos with `PHOTO_STRENGTH`, all others with `VIDEO_STRENGTH`."""
        photo = isinstance(frame, PackedFrame)
        frame.imprint(self._signs, PHOTO_STRENGTH if photo else VIDEO_STRENGTH)


def detect_video(path: Path) -> Detection:
    """Look for the mark in a video or an animation, in at most 576 pictures spread over it.

    Raises:
        MediaFormatError: the file cannot be read.
    """
    info = probe(path)
    budget = _PLACES * _RUNS_EACH * _RUN
    listener = _Listener()
    with open_reader(path, info) as reader:
        if info.kind == "animation" or not info.frames or info.frames <= budget:
            listener.hear(islice(reader, budget))
        else:
            listener.hear(reader.glimpses(_PLACES, _RUNS_EACH * _RUN))
    return listener.verdict()


def detect_photo(path: Path) -> Detection:
    """Look for the mark in a photo.

    Raises:
        MediaFormatError: the file cannot be read.
    """
    return detect_frames([read_photo(path).frame])


def detect_frames(frames: Iterable[Frame]) -> Detection:
    """Look for the mark in frames of one picture or video, given in order."""
    listener = _Listener()
    listener.hear(frames)
    return listener.verdict()


class _Listener:
    """Adds up what frames say."""

    def __init__(self) -> None:
        self._heard = np.zeros((_ROWS, _COLUMNS), np.float32)
        self._frames = 0

    def hear(self, frames: Iterable[Frame]) -> None:
        total, count = np.zeros((_ROWS, _COLUMNS), np.float32), 0
        for frame in frames:
            luma = frame.luma_samples(1) * np.float32(255)
            total += cv2.resize(luma, (_COLUMNS, _ROWS), interpolation=cv2.INTER_AREA)
            count += 1
            self._frames += 1
            if count == _RUN:
                self._heard += whitened(total / count)
                total, count = np.zeros_like(total), 0
        if count:
            self._heard += whitened(total / count)

    def verdict(self) -> Detection:
        scores = _scores(self._heard)
        payload, evidence, lead = _decoded(scores)
        if evidence < FOUND:
            return Detection(False, None, round(evidence, 2), self._frames)
        if lead < _SURE:
            return Detection(True, None, round(evidence, 2), self._frames)
        further: list[int] = []
        rest = payload
        while len(further) < 3:
            for word, value in enumerate(_bytes(rest)):
                scores[word, value] = -np.inf
            rest, strength, lead = _decoded(scores)
            if strength < FOUND or lead < _SURE:
                break
            further.append(rest)
        return Detection(True, payload, round(evidence, 2), self._frames, tuple(further))


@lru_cache(maxsize=1)
def _book() -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """Places of every word (words, cells), and its 256 patterns (words, values, cells) of -1 and 1.

    Drawn from SHAKE-256, so that they are the same everywhere and for ever.
    """
    drawn = _draw("places", 8 * _WORDS * _CELLS).view("<u8")
    places = np.argsort(drawn, kind="stable").reshape(_WORDS, _CELLS)
    bits = np.unpackbits(_draw("patterns", _WORDS * _VALUES * _CELLS // 8))
    return places, (bits.reshape(_WORDS, _VALUES, _CELLS).astype(np.int8) * 2 - 1).astype(np.int8)


def _draw(name: str, count: int) -> NDArray[np.uint8]:
    return np.frombuffer(hashlib.shake_256(f"mark 1 {name}".encode()).digest(count), np.uint8)


def pattern(payload: int) -> NDArray[np.int8]:
    """The signs of a payload: (90, 160) of -1 and 1."""
    places, patterns = _book()
    signs = np.empty(_ROWS * _COLUMNS, np.int8)
    for word, value in enumerate(_bytes(payload)):
        signs[places[word]] = patterns[word, value]
    return signs.reshape(_ROWS, _COLUMNS)


def _bytes(payload: int) -> list[int]:
    """The six words of a payload."""
    parts = [np.array(part) for part in payload.to_bytes(4, "big")]
    return [int(part) for part in (*parts, *_checks(*parts))]


def _checks(*parts: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The two checking bytes of payloads whose bytes are given as arrays, element by element."""
    doubled = _doubled()
    plain, weighed = np.zeros_like(parts[0]), np.zeros_like(parts[0])
    for part in parts:
        plain, weighed = plain ^ part, doubled[weighed] ^ part
    return plain, weighed


@lru_cache(maxsize=1)
def _doubled() -> NDArray[np.int64]:
    """Twice every element of the field of 256 (polynomial 0x11D)."""
    values = np.arange(256)
    return np.where(values & 0x80, values << 1 ^ 0x11D, values << 1)


def whitened(grid: NDArray[Any]) -> Floats:
    """What no cell's neighbours explain, in units of how uneven the surroundings are, limited to 2.5.

    Sums are written with `einsum`: at this size the threads of a matrix library cost more than they do.

    Args:
        grid: (90, 160) float32 mean brightness of the cells.

    Returns:
        float32 of the same shape.
    """
    padded = np.pad(grid, 2, mode="symmetric")
    shifted = [padded[2 + dy : 2 + dy + _ROWS, 2 + dx : 2 + dx + _COLUMNS].ravel() for dy, dx in _NEAR]
    around = np.stack(shifted)
    mean = around.mean(0)
    around -= mean
    wanted = grid.ravel() - mean
    weights = 1 / (np.abs(wanted) + 1) ** 2
    steady = 100 * np.eye(len(_NEAR), dtype=np.float32)
    for _ in range(2):
        # Least squares; uneven places, which fit anything, weigh little.
        weighted = around * weights
        squares = np.einsum("ik,jk->ij", weighted, around) + steady
        factors = np.linalg.solve(squares, np.einsum("ik,k->i", weighted, wanted))
        rest = (wanted - np.einsum("i,ik->k", factors, around)).reshape(_ROWS, _COLUMNS)
        power = cv2.blur(rest * rest, (11, 11), borderType=cv2.BORDER_REFLECT)
        weights = 1 / (np.maximum(power, 0) + 0.01).ravel()
    power = cv2.blur(rest * rest, (5, 5), borderType=cv2.BORDER_REFLECT)
    limited = np.clip(rest / (np.sqrt(np.maximum(power, 0)) + 0.05), -2.5, 2.5)
    return np.asarray(limited, np.float32)


def _scores(heard: Floats) -> Floats:
    """(words, values) correlation with every pattern, in standard deviations of chance."""
    places, patterns = _book()
    scores = np.empty((_WORDS, _VALUES), np.float32)
    for word in range(_WORDS):
        part = heard.ravel()[places[word]]
        likeness = np.einsum("ij,j->i", patterns[word].astype(np.float32), part)
        scores[word] = likeness / (np.linalg.norm(part) + 1e-6)
    return scores


def _decoded(scores: Floats) -> tuple[int, float, float]:
    """The likeliest payload whose words fit together, the evidence for it, and its lead over the next."""
    best = [np.argsort(-scores[word])[:_CANDIDATES] for word in range(4)]
    parts = [grid.ravel() for grid in np.meshgrid(*best, indexing="ij")]
    total = np.zeros(parts[0].shape, np.float32)
    for word, part in enumerate((*parts, *_checks(*parts))):
        total += scores[word, part]
    second, place = (int(index) for index in np.argpartition(total, (-2, -1))[-2:])
    payload = 0
    for part in parts:
        payload = payload << 8 | int(part[place])
    evidence = float(total[place]) / float(np.sqrt(_WORDS))
    return payload, evidence, float(total[place] - total[second])
