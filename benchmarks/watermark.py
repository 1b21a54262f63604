"""What the invisible mark costs, what it survives, and how often it is seen where it is not.

usage: python benchmarks/watermark.py [--pictures FOLDER ...] [--parts cost survival clean] [--clean 2000]

Pictures (and videos) in the folders given are used for the clean ones beside made ones: cut out anywhere,
scaled, turned, compressed, brightened; every picture counts once.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import cv2
import numpy as np
from common import SIZES

from facefusion.media import imprint
from facefusion.media.frame import PackedFrame, PlanarFrame
from facefusion.trust.watermark import FOUND, Watermark, detect_frames, detect_video

PAYLOAD = 0x5EC7_09A3
ENCODES = [
    ("libx264", 18, 0),
    ("libx264", 23, 0),
    ("libx264", 28, 0),
    ("libx264", 35, 0),
    ("libx264", 28, 480),
    ("libx264", 28, 360),
    ("libx265", 28, 0),
]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--pictures", type=Path, nargs="*", default=[])
    options.add_argument("--clean", type=int, default=2000, help="clean pictures to look at")
    parts = ["cost", "survival", "clean"]
    options.add_argument("--parts", nargs="+", choices=parts, default=parts)
    arguments = options.parse_args()
    pictures = list(_pictures(arguments.pictures))
    if "cost" in arguments.parts:
        _cost()
    if "survival" in arguments.parts:
        _survival(pictures)
    if "clean" in arguments.parts:
        _false_alarms(pictures, arguments.clean)


def _cost() -> None:
    imprint.warm_up()
    mark = Watermark(PAYLOAD)
    print("\ncost of marking a frame, one core (median of 30)")
    for name, (width, height) in SIZES.items():
        for pix_fmt in ("yuv420p", "yuv420p10le", "gbrp"):
            picture = made(np.random.default_rng(1), width, height)
            frame = PlanarFrame(av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format=pix_fmt))
            mark.mark(frame)
            seconds = []
            for _ in range(30):
                started = time.perf_counter()
                mark.mark(frame)
                seconds.append(time.perf_counter() - started)
            print(f"  {name:6} {pix_fmt:12} {1000 * statistics.median(seconds):6.2f} ms")


def _survival(pictures: list[Any]) -> None:
    print(f"\nevidence after encoding 3 s of 720p (found from {FOUND}; ! = wrong payload or not found)")
    sources = pictures[:6] or [made(np.random.default_rng(seed), 1600, 1000) for seed in range(4)]
    mark = Watermark(PAYLOAD)
    with TemporaryDirectory(prefix="benchmark-") as folder:
        path = Path(folder) / "clip.mp4"
        for number, picture in enumerate(sources):
            for still in (False, True):
                frames, noise = [], []
                for frame in _camera(picture, 75, still):
                    before = frame.planes[0].astype(np.int32)
                    mark.mark(frame)
                    noise.append(float(np.mean((frame.planes[0].astype(np.int32) - before) ** 2)))
                    frames.append(frame.av_frame)
                cells = []
                for encoder, crf, height in ENCODES:
                    _encode(frames, path, encoder, crf, height)
                    found = detect_video(path)
                    wrong = "" if found.payload == PAYLOAD else "!"
                    cells.append(
                        f"{encoder[3:]} {crf}{f' {height}p' if height else ''}: {found.confidence:.1f}{wrong}"
                    )
                psnr = 10 * np.log10(255**2 / max(statistics.mean(noise), 1e-9))
                kind = "still" if still else "moving"
                print(f"  picture {number} {kind:6} {psnr:.1f} dB  " + "  ".join(cells), flush=True)


def _false_alarms(pictures: list[Any], count: int) -> None:
    rng = np.random.default_rng(20240117)
    evidence = []
    for number in range(count):
        if pictures and number % 2:
            picture = cut_out(rng, pictures[int(rng.integers(len(pictures)))])
        else:
            picture = made(rng, int(rng.integers(160, 800)), int(rng.integers(120, 600)))
        found = detect_frames([PackedFrame(np.ascontiguousarray(picture))])
        evidence.append(found.confidence)
        if number % 500 == 499:
            print(f"  {number + 1} looked at, largest {max(evidence)}", flush=True)
    alarms = sum(value >= FOUND for value in evidence)
    print(
        f"\n{count} clean pictures ({len(pictures)} real ones cut up): {alarms} false alarms; evidence: "
        f"mean {statistics.mean(evidence):.2f}, largest {max(evidence):.2f}"
    )


def made(rng: np.random.Generator, width: int, height: int) -> Any:
    """A made picture (BGR uint8): clouds of random roughness, shapes, gradients, stripes, grain."""
    spectrum = np.hypot(*np.meshgrid(np.fft.fftfreq(width), np.fft.fftfreq(height)))
    spectrum[0, 0] = 1
    layers = []
    rough = rng.uniform(0.3, 2.2)
    for _ in range(3):
        wave = np.fft.fft2(rng.normal(size=(height, width))) / spectrum**rough
        layer = np.real(np.fft.ifft2(wave))
        layers.append((layer - layer.mean()) / (layer.std() + 1e-9))
    picture = np.stack(layers, -1) * rng.uniform(0, 50) + rng.uniform(20, 235, 3)
    x = np.linspace(-1, 1, width)[None, :, None]
    picture = picture + x * rng.normal(0, 30, 3)
    picture = np.clip(picture, 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(0, 30))):
        colour = tuple(int(c) for c in rng.integers(0, 256, 3))
        a, b = (tuple(int(v) for v in rng.integers(0, (width, height))) for _ in range(2))
        kind = rng.integers(4)
        if kind == 0:
            cv2.rectangle(picture, a, b, colour, -1)
        elif kind == 1:
            cv2.circle(picture, a, int(rng.integers(2, 200)), colour, -1, cv2.LINE_AA)
        elif kind == 2:
            cv2.line(picture, a, b, colour, int(rng.integers(1, 9)), cv2.LINE_AA)
        else:
            cv2.putText(picture, "text 0123", a, cv2.FONT_HERSHEY_SIMPLEX, rng.uniform(0.4, 3), colour, 2)
    if rng.random() < 0.3:
        period = int(rng.integers(2, 40))
        picture[:, np.arange(width) // period % 2 == 0] //= 2
    return _worn(rng, picture)


def cut_out(rng: np.random.Generator, picture: Any) -> Any:
    """Some part of a picture, scaled, perhaps mirrored and turned, worn."""
    height, width = picture.shape[:2]
    share = rng.uniform(0.25, 1)
    w, h = max(16, int(width * share)), max(16, int(height * share))
    x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
    part = picture[y : y + h, x : x + w]
    scale = rng.uniform(0.5, 2)
    size = (min(1000, max(160, int(w * scale))), min(800, max(120, int(h * scale))))
    part = cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    if rng.random() < 0.5:
        part = part[:, ::-1]
    if rng.random() < 0.25:
        part = np.rot90(part)
    return _worn(rng, np.clip(part * rng.uniform(0.6, 1.3), 0, 255).astype(np.uint8))


def _worn(rng: np.random.Generator, picture: Any) -> Any:
    if rng.random() < 0.5:
        grain = rng.normal(0, rng.uniform(0.5, 12), picture.shape)
        picture = np.clip(picture + grain, 0, 255).astype(np.uint8)
    if rng.random() < 0.6:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 98))]
        picture = cv2.imdecode(cv2.imencode(".jpg", np.ascontiguousarray(picture), quality)[1], 1)
    return picture


def _pictures(folders: list[Path]) -> Iterator[Any]:
    """Pictures of the folders, and a frame of every second of their videos."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"):
                picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
                if picture is not None and min(picture.shape[:2]) >= 64:
                    yield picture
            elif path.suffix.lower() in (".mp4", ".mov", ".mkv", ".webm"):
                with av.open(str(path)) as container:
                    for number, frame in enumerate(container.decode(video=0)):
                        if number % 25 == 0:
                            yield frame.to_ndarray(format="bgr24")


def _camera(picture: Any, count: int, still: bool) -> Iterator[PlanarFrame]:
    """A camera that moves over a picture, or does not, with grain."""
    rng = np.random.default_rng(0)
    height, width = picture.shape[:2]
    scale = 1.3 * max(1280 / width, 720 / height)
    for index in range(count):
        away = 0.0 if still else 1.0 * index
        zoom = scale * (1 if still else 1 + 0.001 * index)
        matrix = np.array([[zoom, 0, -60 - 1.5 * away], [0, zoom, -40 - 0.7 * away]])
        view = cv2.warpAffine(
            picture, matrix, (1280, 720), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        )
        view = np.clip(view + rng.normal(0, 2, view.shape), 0, 255).astype(np.uint8)
        yield PlanarFrame(av.VideoFrame.from_ndarray(view, format="bgr24").reformat(format="yuv420p"), index)


def _encode(frames: list[Any], path: Path, encoder: str, crf: int, height: int) -> None:
    options = {"crf": str(crf), "preset": "veryfast"}
    if encoder == "libx265":
        options |= {"preset": "ultrafast", "x265-params": "log-level=error"}
    with av.open(str(path), "w") as out:
        stream = out.add_stream(encoder, rate=25, options=options)
        width = frames[0].width * height // frames[0].height // 2 * 2 if height else frames[0].width
        stream.width, stream.height, stream.pix_fmt = width, height or frames[0].height, "yuv420p"
        for index, frame in enumerate(frames):
            picture = (
                frame.reformat(stream.width, stream.height, interpolation="BICUBIC") if height else frame
            )
            picture.pts, picture.time_base, picture.pict_type = index, Fraction(1, 25), 0
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))


if __name__ == "__main__":
    main()
