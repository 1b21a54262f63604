"""D12: a result muxed from parts is the file that would have been written in one piece."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from media_clips import Audio, Clip, make_clip, packets, pictures, times
from media_job import planes, psnr, settings

from facefusion.config import AutomationConfig
from facefusion.media.plan import plan_output
from facefusion.media.probe import probe
from facefusion.media.reader import VideoReader
from facefusion.media.segments import Keeping, Segments
from facefusion.media.verify import verify_video
from facefusion.media.writer import VideoWriter

EVERY = 15
# From half a second on: steady, slow, then fast; parts end where that changes, and inside.
SECONDS = [Fraction(1, 2) + Fraction(step, 600) for step in (*range(0, 600, 20), *range(600, 2400, 60))]
SECONDS += [SECONDS[-1] + Fraction(7 * step, 600) for step in range(1, 21)]
BASES = {"mp4": Fraction(1, 600), "mov": Fraction(1, 600), "ts": Fraction(1, 90000)}


def write(
    source: Path, config: AutomationConfig, out: Path, kept: Path | None, stop_at: int | None = None
) -> int:
    """Write a result, in parts where there is a place to keep them; how many frames had been finished."""
    info = probe(source)
    plan = plan_output(info, config)
    segments = None if kept is None else Segments(Keeping(kept), "", EVERY)
    out.unlink(missing_ok=True)
    with VideoReader(source, info) as reader, VideoWriter(out, info, plan, segments=segments) as writer:
        for frame in reader:
            if frame.index == stop_at:
                return writer.kept
            if frame.index < writer.kept:
                writer.skip(frame)
                continue
            if writer.due():
                writer.cut({})
            writer.write(frame)
        writer.commit()
        expected = writer.expected()
    verify_video(out, expected, decode_all=True)
    return writer.kept


def stream_packets(path: Path) -> list[tuple[int | None, int | None, int | None, bool]]:
    with av.open(str(path)) as container:
        found = container.demux(container.streams.video[0])
        return [(p.pts, p.dts, p.duration, p.is_keyframe) for p in found if p.size]


@pytest.mark.parametrize(
    ("suffix", "encoder", "preset"),
    [
        ("mp4", "libx264", "medium"),
        ("mp4", "libx264", "ultrafast"),
        ("mov", "libx264", "medium"),
        ("mkv", "libx264", "medium"),
        ("ts", "libx264", "medium"),
        ("mp4", "libx265", "medium"),
        ("mkv", "libx265", "ultrafast"),
        ("mp4", "libsvtav1", "veryfast"),
        ("webm", "libvpx-vp9", "ultrafast"),
        ("mkv", "libvpx-vp9", "medium"),
    ],
)
def test_times_and_sound_are_those_of_a_result_in_one_piece(
    tmp_path: Path, suffix: str, encoder: str, preset: str
) -> None:
    base = BASES.get(suffix, Fraction(1, 1000))
    web = suffix == "webm"
    clip = Clip(
        width=96,
        height=80,
        codec="libvpx-vp9" if web else "libx264",
        options={"deadline": "realtime", "cpu-used": "8"} if web else {},
        time_base=base,
        stamps=[round(second / base) for second in SECONDS],
        rate=Fraction(15),
        audio=[Audio(codec="libopus" if web else "aac", seconds=4)],
        colour=(5, 5, 5, 1),
        sample_aspect=Fraction(4, 3),
        chapters=() if suffix == "ts" else [(0, 2, "one"), (2, 4, "two")],
    )
    source = make_clip(tmp_path / f"clip.{suffix}", clip)
    config = settings(encoder=encoder, encoder_preset=preset)
    kept, plain, whole, resumed = (
        tmp_path / name for name in ("kept", f"plain.{suffix}", f"whole.{suffix}", f"resumed.{suffix}")
    )
    write(source, config, plain, None)
    assert write(source, config, whole, tmp_path / "kept whole") == 0
    assert len(list((tmp_path / "kept whole").iterdir())) == 6
    assert write(source, config, resumed, kept, stop_at=62) == 0
    assert write(source, config, resumed, kept) == 4 * EVERY

    if preset == "ultrafast":  # x264's choice of B-frames differs from run to run on pictures this small
        assert stream_packets(whole) == stream_packets(resumed)
    if (encoder, preset) == ("libx264", "ultrafast"):
        assert whole.read_bytes() == resumed.read_bytes()
    for result in (whole, resumed):
        decoded = [dts for _, dts, _, _ in stream_packets(result) if dts is not None]
        assert decoded == sorted(set(decoded)), "decoding times run through"
        assert decoded[:1] == [dts for _, dts, _, _ in stream_packets(plain) if dts is not None][:1]
        assert times(result) == times(plain) == times(source)
        assert packets(result, "audio") == packets(plain, "audio")
        assert described(result) == described(plain)
        assert probe(result).duration == pytest.approx(probe(source).duration, abs=0.06)
    for one, other in zip(pictures(resumed), pictures(source), strict=True):
        assert psnr(planes(one)[0], planes(other)[0]) > 25


def described(path: Path) -> dict[str, Any]:
    """What a probe says about a file, but for what depends on its name and its size in bytes."""
    info = probe(path)
    names = ("container", "width", "height", "codec", "pix_fmt", "rate", "time_base", "colour", "hdr")
    more = ("mastering", "light_level", "sample_aspect", "interlaced", "chapters", "orientation")
    return {name: getattr(info, name) for name in (*names, *more)}


def test_a_video_that_ends_with_its_first_part_is_the_same_file(tmp_path: Path) -> None:
    """Whether a video is written in parts says nothing in its header."""
    source = make_clip(tmp_path / "clip.mp4", Clip(frames=EVERY, audio=[Audio()]))
    for encoder in ("libx264", "libx265", "libsvtav1"):
        write(source, settings(encoder=encoder), tmp_path / "plain.mp4", None)
        write(source, settings(encoder=encoder), tmp_path / "whole.mp4", tmp_path / encoder)
        assert (tmp_path / "plain.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes(), encoder


@pytest.mark.parametrize("frames", [EVERY + 1, 2 * EVERY, 2 * EVERY + 1, 2 * EVERY + 2])
@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
def test_a_last_part_of_any_length_fits(tmp_path: Path, encoder: str, frames: int) -> None:
    """x265 leaves decoding times undefined where a part is shorter than its reordering."""
    source = make_clip(tmp_path / "clip.mp4", Clip(frames=frames))
    config = settings(encoder=encoder, encoder_preset="medium")
    write(source, config, tmp_path / "out.mp4", tmp_path / "kept", stop_at=frames - 1)
    write(source, config, tmp_path / "out.mp4", tmp_path / "kept")
    assert times(tmp_path / "out.mp4") == times(source)
    assert probe(tmp_path / "out.mp4").duration == pytest.approx(probe(source).duration, abs=1e-6)


def test_hdr_and_interlacing_are_said_in_the_header_as_always(tmp_path: Path) -> None:
    parameters = (
        "log-level=error:bframes=0:max-cll=1000,400:"
        "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    )
    hdr = Clip(
        width=96,
        height=80,
        frames=40,
        codec="libx265",
        pix_fmt="yuv420p10le",
        options={"preset": "ultrafast", "x265-params": parameters},
        colour=(9, 9, 16, 1),
    )
    interlaced = Clip(frames=40, flags=int(av.codec.context.Flags.interlaced_dct))
    for name, clip in (("hdr", hdr), ("interlaced", interlaced)):
        source = make_clip(tmp_path / f"{name}.mp4", clip)
        write(source, settings(), tmp_path / "plain.mp4", None)
        write(source, settings(), tmp_path / "whole.mp4", tmp_path / name)
        assert described(tmp_path / "whole.mp4") == described(tmp_path / "plain.mp4")
        assert described(source)["hdr" if name == "hdr" else "interlaced"]
    assert described(tmp_path / "hdr.mp4")["mastering"] is not None


def test_transparency_of_webm_is_written_in_one_piece(tmp_path: Path) -> None:
    """What makes pixels transparent stands beside the packets, which are all that is kept."""
    clip = Clip(64, 48, 60, codec="libvpx-vp9", pix_fmt="yuva420p", options={"auto-alt-ref": "0"})
    source = make_clip(tmp_path / "clip.webm", clip)
    write(source, settings(), tmp_path / "out.webm", tmp_path / "kept")
    assert not list((tmp_path / "kept").glob("*"))
    assert probe(tmp_path / "out.webm").alpha
    assert times(tmp_path / "out.webm") == times(source)
