"""M6: 29.97 and 23.976 frames a second are fractions, and do not drift."""

from fractions import Fraction

import pytest
from media_clips import Clip, make_clip, times
from media_job import process, settings


@pytest.mark.parametrize(
    "rate",
    [Fraction(30000, 1001), Fraction(24000, 1001), Fraction(60000, 1001), Fraction(50), Fraction(15, 2)],
)
@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_rate_is_exact_and_does_not_drift(tmp_path, rate, suffix):
    source = make_clip(tmp_path / f"clip.{suffix}", Clip(rate=rate, frames=150, width=32, height=32))
    outcome = process(source, settings(encoder_preset="medium"))
    assert outcome.source.rate == outcome.info.rate == rate
    assert times(outcome.path) == [index / rate for index in range(150)]


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(24000, 1001)])
def test_matroska_rounds_each_time_stamp_and_never_adds_the_rounding_up(tmp_path, rate):
    source = make_clip(tmp_path / "clip.mkv", Clip(rate=rate, frames=150, width=32, height=32))
    outcome = process(source)
    assert times(outcome.path) == times(source)
    for index, time in enumerate(times(outcome.path)):
        assert abs(time - index / rate) <= Fraction(1, 2000)
