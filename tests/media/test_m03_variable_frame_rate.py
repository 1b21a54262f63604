"""M3: every frame keeps its own time stamp."""

from fractions import Fraction

import pytest
from media_clips import Audio, Clip, make_clip, times
from media_job import process, settings

from facefusion.media.probe import probe

# One second at 30 frames a second, then three at 10.
TICKS = {
    "mp4": (Fraction(1, 600), [20 * i for i in range(30)] + [600 + 60 * i for i in range(30)]),
    "mov": (Fraction(1, 90000), [3000 * i for i in range(30)] + [90000 + 9000 * i for i in range(30)]),
    "mkv": (
        Fraction(1, 1000),
        [round(i * 1000 / 30) for i in range(30)] + [1000 + 100 * i for i in range(30)],
    ),
    "ts": (Fraction(1, 90000), [3000 * i for i in range(30)] + [90000 + 9000 * i for i in range(30)]),
}


@pytest.mark.parametrize("suffix", TICKS)
@pytest.mark.parametrize("preset", ["ultrafast", "medium"])
def test_time_stamps_are_the_sources_own(tmp_path, suffix, preset):
    base, stamps = TICKS[suffix]
    clip = Clip(time_base=base, stamps=stamps, rate=Fraction(15), audio=[Audio(seconds=4)], bframes=2, gop=20)
    source = make_clip(tmp_path / f"clip.{suffix}", clip)
    # "medium" writes pictures out of order (B-frames), which is where time stamps get lost.
    outcome = process(source, settings(encoder_preset=preset))
    assert len(times(source)) == 60
    assert times(outcome.path) == times(source)


def test_long_pause_and_tiny_steps_survive(tmp_path):
    stamps = [0, 1, 2, 50_000, 50_001, 400_000]
    source = make_clip(tmp_path / "clip.mp4", Clip(time_base=Fraction(1, 10_000), stamps=stamps))
    outcome = process(source, settings(encoder_preset="medium"))
    assert [time * 10_000 for time in times(outcome.path)] == stamps


@pytest.mark.parametrize(
    ("suffix", "container"), [("mp4", "mkv"), ("mkv", "mp4"), ("mp4", "mov"), ("mp4", "webm")]
)
def test_changing_the_container_moves_no_frame_by_more_than_its_clock_allows(tmp_path, suffix, container):
    base, stamps = TICKS[suffix]
    source = make_clip(tmp_path / f"clip.{suffix}", Clip(time_base=base, stamps=stamps, width=64, height=64))
    outcome = process(source, settings(container))
    tick = Fraction(1, 1000) if container in ("mkv", "webm") else Fraction(0)
    for before, after in zip(times(source), times(outcome.path), strict=True):
        assert abs(before - after) <= tick / 2


@pytest.mark.parametrize("preset", ["ultrafast", "medium"])
@pytest.mark.parametrize("stamps", [range(10), [0, 1, 4], [5, 9, 10, 11, 30]])
def test_length_of_the_last_picture_is_kept(tmp_path, stamps, preset):
    source = make_clip(tmp_path / "clip.mp4", Clip(stamps=stamps))
    outcome = process(source, settings(encoder_preset=preset))
    assert outcome.info.duration == pytest.approx(probe(source).duration, abs=1e-6)
