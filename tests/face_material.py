"""Pictures and clips of faces, made from the two sample pictures while the tests run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.faces.detect import FaceDetector
from facefusion.faces.landmarks import Face, Landmarker
from facefusion.faces.portrait import steady
from facefusion.faces.topology import Topology, load_topology
from facefusion.faces.track import find_faces
from facefusion.media.frame import PackedFrame, PlanarFrame
from facefusion.swap.mesh.geometry import MeshTables, build_tables

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

LEFT_EYE, RIGHT_EYE = (33, 133), (362, 263)


@dataclass(frozen=True)
class Models:
    """Warm models and tables, shared by all tests."""

    folder: Path
    detector: FaceDetector
    landmarker: Landmarker
    topology: Topology
    tables: MeshTables

    def faces(self, picture: Image, limit: int | None = None) -> list[Face]:
        return find_faces(packed(picture), self.detector, self.landmarker, limit=limit)

    def face(self, picture: Image) -> Face:
        """The one face of a picture, landmarks at rest."""
        return steady(picture, self.faces(picture, limit=1)[0], self.landmarker)


@dataclass(frozen=True)
class Portrait:
    """A picture with one face, and where the face is."""

    picture: Image
    face: Face


def load_models(folder: Path) -> Models:
    topology = load_topology(folder)
    return Models(folder, FaceDetector(folder), Landmarker(folder), topology, build_tables(topology))


def read_picture(path: Path) -> Image:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert picture is not None, path
    return np.asarray(picture, np.uint8)


def packed(picture: Image) -> PackedFrame:
    """A frame with pixels of its own."""
    return PackedFrame(picture.copy())


def planar(picture: Image, pix_fmt: str = "yuv420p") -> PlanarFrame:
    """What the video reader hands out for such a picture."""
    return PlanarFrame(av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format=pix_fmt))


def camera(
    centre: Sequence[float], *, size: tuple[int, int], zoom: float = 1.0, turn: float = 0.0, at: Any = None
) -> NDArray[np.float64]:
    """(2, 3) affine that shows `centre` of a picture at `at` (default: the middle) of a view of `size`.

    Args:
        size: width, height of the view.
        zoom: pixels of the view for one of the picture.
        turn: degrees, clockwise on the screen.
    """
    at = (size[0] / 2, size[1] / 2) if at is None else at
    matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), -turn, zoom)
    matrix[:, 2] += np.asarray(at) - np.asarray(centre, float)
    return matrix


def shown(picture: Image, matrix: NDArray[np.float64], size: tuple[int, int]) -> Image:
    """The picture through a camera; beyond its border its border is repeated."""
    smaller = abs(np.linalg.det(matrix[:, :2])) < 0.5
    if smaller:  # warpAffine does not average
        sigma = 0.45 / np.sqrt(abs(np.linalg.det(matrix[:, :2])))
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)
    view = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(view, np.uint8)


def carried(points: Floats, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (n, >=2) of the picture in the camera's view."""
    return np.asarray(points[:, :2] @ matrix[:, :2].T + matrix[:, 2])


def middle(face: Face) -> tuple[float, float]:
    x0, y0, x1, y1 = face.box
    return (x0 + x1) / 2, (y0 + y1) / 2


def moving(
    portrait: Portrait, frames: int, *, size: tuple[int, int] = (320, 240), face_pixels: float = 110.0
) -> tuple[list[Image], list[NDArray[np.float64]]]:
    """A camera that pans, zooms and turns over a portrait: the frames and their affines."""
    views, matrices = [], []
    base = face_pixels / portrait.face.size
    for index in range(frames):
        phase = 2 * np.pi * index / 40
        at = (size[0] * (0.5 + 0.12 * np.sin(phase)), size[1] * (0.5 + 0.06 * np.cos(1.7 * phase)))
        matrix = camera(
            middle(portrait.face),
            size=size,
            zoom=base * (1 + 0.15 * np.sin(0.7 * phase)),
            turn=12 * np.sin(1.3 * phase),
            at=at,
        )
        views.append(shown(portrait.picture, matrix, size))
        matrices.append(matrix)
    return views, matrices


def warped(picture: Image, old: Floats, new: Floats, still: Floats) -> Image:
    """Bend a picture so that points `old` (n, 2) come to lie at `new` while `still` (m, 2) rest."""
    ends = np.concatenate([new, still]).astype(np.float64)
    moves = np.concatenate([old - new, np.zeros_like(still)]).astype(np.float64)
    low = np.floor(ends.min(0)).astype(int)
    high = np.ceil(ends.max(0)).astype(int) + 1
    distance = np.linalg.norm(ends[:, None] - ends[None], axis=2)
    weights = np.linalg.lstsq(distance + 1e-3 * np.eye(len(ends)), moves, rcond=None)[0]
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]]
    grid = np.stack([x, y], axis=-1).reshape(-1, 2).astype(np.float64)
    shift = (np.linalg.norm(grid[:, None] - ends[None], axis=2) @ weights).reshape(*x.shape, 2)
    # Nothing moves at the border of the region that is bent.
    hull = cv2.convexHull(np.asarray(still - low, np.float32)).astype(np.int32)
    inside = np.zeros(x.shape, np.uint8)
    cv2.fillConvexPoly(inside, hull, 1)
    fade = np.clip(cv2.distanceTransform(inside, cv2.DIST_L2, 3) / 3.0, 0.0, 1.0)[..., None]
    source = np.stack([x, y], axis=-1) + shift * fade
    bent = picture.copy()
    bent[low[1] : high[1], low[0] : high[0]] = cv2.remap(
        picture, source[..., 0].astype(np.float32), source[..., 1].astype(np.float32), cv2.INTER_CUBIC
    )
    return bent


LOWER_LIP = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 95, 88, 178, 87, 14, 317, 402, 318, 324)
UPPER_LIP = (185, 40, 39, 37, 0, 267, 269, 270, 409, 78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
UPPER_LIDS = ((246, 161, 160, 159, 158, 157, 173), (466, 388, 387, 386, 385, 384, 398))
LOWER_LIDS = ((7, 163, 144, 145, 153, 154, 155), (249, 390, 373, 374, 380, 381, 382))
NOSE_AND_BROWS = (1, 2, 4, 6, 98, 327, 168, 70, 63, 105, 66, 107, 336, 296, 334, 293, 300)


def mouth_opened(portrait: Portrait, models: Models, share: float) -> Image:
    """The lower lip pulled down by a share of the mouth's width."""
    points = portrait.face.points[:, :2]
    width = float(np.linalg.norm(points[61] - points[291]))
    down = points[152] - points[10]
    down = down / np.linalg.norm(down) * width * share
    inner = [i for i in LOWER_LIP if i not in (61, 291, 78, 308)]
    # The corners follow a little, the middle most.
    reach = 1 - (np.linalg.norm(points[inner] - points[[17]], axis=1) / (0.75 * width)).clip(0, 1) ** 2
    old = points[inner + list(UPPER_LIP) + [61, 291]]
    new = old.copy()
    new[: len(inner)] += reach[:, None] * down
    still = points[[*models.topology.oval, *NOSE_AND_BROWS]]
    return warped(portrait.picture, old, new, still)


def eyes_squeezed(portrait: Portrait, models: Models, share: float) -> Image:
    """Lids moved together: share 0 leaves them, 0.8 shuts the eyes."""
    points = portrait.face.points[:, :2]
    picture = portrait.picture
    for upper, lower, corners in zip(UPPER_LIDS, LOWER_LIDS, (LEFT_EYE, RIGHT_EYE), strict=True):
        lids = list(upper + lower)
        meeting = points[list(lower)] + 0.15 * (points[list(upper)] - points[list(lower)])
        old = points[lids]
        new = old + share * (np.concatenate([meeting, meeting]) - old)
        width = float(np.linalg.norm(points[corners[0]] - points[corners[1]]))
        around = points[list(corners)].mean(0) + 0.95 * width * np.stack(
            [np.cos(np.linspace(0, 2 * np.pi, 24)), 0.8 * np.sin(np.linspace(0, 2 * np.pi, 24))], axis=1
        )
        picture = warped(picture, old, new, np.concatenate([around, points[list(corners)]]))
    return picture


def pursed(portrait: Portrait) -> Image:
    """The mouth drawn together to about two thirds of its width."""
    picture, points = portrait.picture, portrait.face.points[:, :2]
    centre = (points[61] + points[291]) / 2
    reach = float(np.linalg.norm(points[61] - points[291]))
    height, width = picture.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    near = np.exp(-(((x - centre[0]) / (0.85 * reach)) ** 4) - ((y - centre[1]) / (0.5 * reach)) ** 4)
    moved = (x + (x - centre[0]) * near * 0.5).astype(np.float32)
    return np.asarray(cv2.remap(picture, moved, y, cv2.INTER_LINEAR), np.uint8)


def eyes_painted_shut(portrait: Portrait) -> Image:
    """Skin over both eyes, and a line of lashes."""
    picture, points = portrait.picture.copy(), portrait.face.points[:, :2]
    for upper, lower, corners in zip(UPPER_LIDS, LOWER_LIDS, (LEFT_EYE, RIGHT_EYE), strict=True):
        outline = points[[corners[0], *upper, corners[1], *lower[::-1]]]
        if corners == RIGHT_EYE:
            outline = points[[corners[1], *upper, corners[0], *lower[::-1]]]
        middle = outline.mean(0)
        lid = middle + (outline - middle) * 1.25
        below = (
            points[list(lower)].mean(0) + (points[list(lower)].mean(0) - points[list(upper)].mean(0)) * 1.2
        )
        skin = cv2.mean(picture[int(below[1]) - 1 : int(below[1]) + 2, int(below[0]) - 3 : int(below[0]) + 4])
        mask = np.zeros(picture.shape[:2], np.uint8)
        cv2.fillPoly(mask, [np.round(lid * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        soft = cv2.GaussianBlur(mask, (0, 0), 0.8).astype(np.float32)[..., None] / 255
        picture = np.asarray(picture * (1 - soft) + np.array(skin[:3]) * soft, np.uint8)
        lashes = points[
            [corners[0], *lower, corners[1]] if corners == LEFT_EYE else [corners[1], *lower, corners[0]]
        ]
        cv2.polylines(
            picture, [np.round(lashes * 16).astype(np.int32)], False, (40, 45, 60), 1, cv2.LINE_AA, 4
        )
    return picture


# -- files --------------------


def write_face(path: Path, portrait: Portrait) -> Path:
    """A picture of that face alone."""
    x0, y0, x1, y1 = (int(value) for value in portrait.face.box)
    cv2.imwrite(str(path), portrait.picture[max(0, y0 - 60) : y1 + 60, x0 - 60 : x1 + 60])
    return path


def write_clip(
    path: Path,
    views: Sequence[Image],
    *,
    rate: int = 25,
    stamps: Sequence[int] | None = None,
    sound: bool = False,
    codec: str = "libx264",
) -> Path:
    """Encode views as a video.

    Args:
        stamps: of the frames, in units of 1 / (40 * rate) seconds; default: one every 40.
        sound: add a tone.
    """
    base = Fraction(1, 40 * rate)
    with av.open(str(path), "w") as out:
        video = out.add_stream(codec, rate=rate, options={"preset": "veryfast", "crf": "12"})
        video.width, video.height, video.pix_fmt = views[0].shape[1], views[0].shape[0], "yuv420p"
        video.codec_context.time_base = base
        tone = out.add_stream("aac", rate=48000) if sound else None
        stamps = range(0, 40 * len(views), 40) if stamps is None else stamps
        for stamp, view in zip(stamps, views, strict=True):
            frame = av.VideoFrame.from_ndarray(view, format="bgr24")
            frame.pts, frame.time_base = stamp, base
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if tone is not None:
            _add_tone(out, tone, float((stamps[-1] + 40) * base))
    return path


def _add_tone(out: Any, stream: Any, seconds: float) -> None:
    wave = 0.2 * np.sin(2 * np.pi * 330 * np.arange(round(seconds * 48000)) / 48000)
    for start in range(0, len(wave), 1024):
        part = np.repeat(wave[None, start : start + 1024].astype(np.float32), 2, axis=0)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = 48000, start
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def read_clip(path: Path) -> tuple[list[Image], list[Fraction]]:
    """All pictures of a video (BGR) and their times in seconds."""
    pictures, times = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            assert frame.pts is not None
            assert frame.time_base is not None
            pictures.append(np.asarray(frame.to_ndarray(format="bgr24"), np.uint8))
            times.append(frame.pts * frame.time_base)
    return pictures, times


def sound_packets(path: Path) -> list[tuple[Fraction, bytes]]:
    """Time and content of every packet of the first sound track."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return [
            (p.pts * p.time_base, bytes(p)) for p in container.demux(stream) if p.size and p.pts is not None
        ]
