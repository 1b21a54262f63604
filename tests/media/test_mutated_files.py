"""Damaged files of every kind: one clear outcome each, no crash, no hang."""

from collections import Counter

import numpy as np
import pytest
from media_clips import Audio, Clip, make_clip
from media_mutants import Child, mutants
from PIL import Image

SEED = 20240117
CLEAR = {"done", "format_error", "memory_error", "verification_error"}


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """One healthy file of every kind."""
    folder = tmp_path_factory.mktemp("originals")
    sound = [Audio(seconds=0.4)]
    size = {"width": 64, "height": 48, "frames": 10}
    clips = [
        ("a.mp4", Clip(**size, audio=sound, gop=4), None),
        ("b.mp4", Clip(**size, audio=sound, rotation=90, muxer_options={"movflags": "faststart"}), None),
        ("c.mov", Clip(**size, codec="prores_ks", pix_fmt="yuv422p10le"), None),
        ("d.mkv", Clip(**size, audio=sound, subtitles=["subrip"], bframes=2), None),
        ("e.webm", Clip(**size, codec="libvpx-vp9", audio=[Audio("libopus", 0.4)]), None),
        ("f.ts", Clip(**size, audio=sound), None),
        ("g.avi", Clip(**size, codec="mpeg4", audio=[Audio("pcm_s16le", 0.4)]), None),
        ("h.wmv", Clip(**size, codec="wmv2", audio=[Audio("wmav2", 0.4)]), "asf"),
        ("i.mpg", Clip(**size, codec="mpeg2video", audio=[Audio("mp2", 0.4)]), None),
        ("j.mp4", Clip(width=64, height=64, frames=5, codec="libx265"), None),
        ("k.mp4", Clip(width=64, height=64, frames=5, codec="libsvtav1", options={"preset": "10"}), None),
        ("l.flv", Clip(**size, audio=sound), None),
    ]
    paths = [make_clip(folder / name, clip, muxer=muxer) for name, clip, muxer in clips]
    noise = np.random.default_rng(1).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    pictures = [Image.fromarray(noise), Image.fromarray(noise[::-1].copy())]
    for name in ("m.jpg", "n.png", "o.webp", "p.tiff", "q.bmp", "r.avif"):
        pictures[0].save(folder / name)
        paths.append(folder / name)
    for name in ("s.gif", "t.webp"):
        pictures[0].save(folder / name, save_all=True, append_images=pictures[1:], duration=40)
        paths.append(folder / name)
    return paths


def run(originals, folder, count):
    child = Child(folder)
    found = []
    try:
        for name, content in mutants(originals, count, SEED):
            path = folder / name
            path.write_bytes(content)
            found.append((name, child.examine(path)))
            path.unlink()
    finally:
        child.close()
    return found


def judge(found):
    counted = Counter(result["outcome"] for _, result in found)
    strange = [(name, result) for name, result in found if result["outcome"] not in CLEAR]
    assert strange == [], counted
    for _, result in found:
        if result["outcome"] != "done":
            assert len(result["detail"]) > 15
    # The damage is neither harmless nor always fatal.
    assert counted["done"] > len(found) / 20
    assert counted["format_error"] > len(found) / 20
    return counted


@pytest.mark.slow
def test_three_hundred_damaged_files(originals, tmp_path):
    judge(run(originals, tmp_path, 300))


@pytest.mark.soak
def test_two_thousand_damaged_files(originals, tmp_path, request):
    if "soak" not in request.config.option.markexpr:
        pytest.skip("runs for minutes; only with -m soak")
    print(judge(run(originals, tmp_path, 2000)))
