"""Small files that are sealed as results are, without a swap before."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from facefusion.media.label_reader import read_label
from facefusion.media.labels import add_box, labelled
from facefusion.trust import claim
from facefusion.trust.credentials import media_type
from facefusion.trust.identity import identity_of, known_authorities
from facefusion.trust.sealing import Seal, seal


def picture(index: int = 0, size: tuple[int, int] = (160, 120)) -> Image.Image:
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]]
    pixels = np.stack([rows * 2 % 256, columns % 256, (rows + columns + index * 20) % 256], -1)
    return Image.fromarray(pixels.astype(np.uint8))


def plain_file(path: Path, chapters: Sequence[str] = ()) -> Path:
    """A file as the pipeline writes it: labelled where its kind allows, not yet signed."""
    if path.suffix in (".jpg", ".png"):
        options = {"xmp": labelled(b"", claim.LABEL).packet} if path.suffix == ".jpg" else {}
        picture().save(path, **options)
        return path
    if path.suffix == ".bmp":
        picture().save(path)
        return path
    with av.open(str(path), "w") as out:
        if path.suffix == ".mkv":
            out.metadata.update(claim.LABEL.tags)
        tenth = Fraction(1, 10)
        marks = [
            {"id": n, "start": n, "end": n + 1, "time_base": tenth, "metadata": {"title": title}}
            for n, title in enumerate(chapters)
        ]
        if marks:
            out.set_chapters(marks)
        video = out.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        sound = out.add_stream("aac", rate=48000)
        for index in range(10):
            frame = av.VideoFrame.from_image(picture(index))
            frame.pts, frame.time_base = index, Fraction(1, 25)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        for start in range(0, 19200, 1024):
            wave = np.sin(np.arange(start, start + 1024) / 20).astype(np.float32)[None] * 0.3
            tone = av.AudioFrame.from_ndarray(np.repeat(wave, 2, 0), format="fltp", layout="stereo")
            tone.sample_rate, tone.pts = 48000, start
            out.mux(sound.encode(tone))
        out.mux(sound.encode(None))
    if path.suffix in (".mp4", ".mov"):
        add_box(path, claim.LABEL)
    return path


def statement_for(path: Path, *, marked: bool = False) -> dict[str, object]:
    facts = claim.Claim(
        result_id=uuid.uuid4(),
        media_type=media_type(path),
        face_type="image/jpeg",
        engine="mesh",
        models={"model.tflite": "0" * 64},
        labelled=read_label(path) is not None,
        marked=marked,
        consent={"basis": "permission", "scope": "a play", "expires": None},
        gate={"verdict": "passed"},
    )
    return claim.statement(facts)


def sealed_file(path: Path, state: Path) -> Seal:
    """Make a file and seal it."""
    plain_file(path)
    target = path.with_name(f"target of {path.name}")
    shutil.copy(path, target)
    made = seal(path, statement_for(path), target, identity_of(state), known_authorities(state))
    target.unlink()
    return made


def flip(path: Path, place: int, bit: int = 0) -> None:
    """Turn over one bit of a file."""
    with path.open("r+b") as stream:
        stream.seek(place)
        byte = stream.read(1)[0]
        stream.seek(place, os.SEEK_SET)
        stream.write(bytes([byte ^ 1 << bit]))


def packets(path: Path, kind: str) -> list[tuple[int, int]]:
    """Place and size of the packets of one kind of stream."""
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams if s.type == kind)
        return [(p.pos, p.size) for p in container.demux(stream) if p.size]
