"""M4: a video that starts after its sound (or the reverse) still does."""

from fractions import Fraction

import av
import pytest
from media_clips import Audio, Clip, make_clip, times
from media_job import process, settings


def starts(path):
    """First time of picture and sound in seconds, as a player sees them."""
    with av.open(str(path)) as container:
        first = {}
        for packet in container.demux():
            if packet.size and not packet.is_discard:
                time = float(packet.pts * packet.time_base)
                kind = packet.stream.type
                first[kind] = min(first.get(kind, time), time)
    return first["video"], first["audio"]


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "ts"])
@pytest.mark.parametrize("preset", ["ultrafast", "medium"])
def test_video_that_starts_half_a_second_late(tmp_path, suffix, preset):
    stamps = range(12, 24)
    rate = Fraction(24)
    base = {"mkv": Fraction(1, 1000), "ts": Fraction(1, 90000)}.get(suffix, 1 / rate)
    clip = Clip(
        rate=rate, time_base=base, stamps=[round(s / rate / base) for s in stamps], audio=[Audio(seconds=1)]
    )
    source = make_clip(tmp_path / f"clip.{suffix}", clip)
    outcome = process(source, settings(encoder_preset=preset))
    assert times(outcome.path) == times(source)
    # The transport stream muxer moves everything by the length of the sound encoder's run-in.
    assert float(times(outcome.path)[0]) == pytest.approx(0.5, abs=0.03)
    before, after = starts(source), starts(outcome.path)
    assert after[0] - after[1] == pytest.approx(before[0] - before[1], abs=0.002)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_sound_that_starts_late(tmp_path, suffix):
    source = make_clip(tmp_path / f"clip.{suffix}", Clip(frames=20, audio=[Audio(seconds=0.5, start=0.3)]))
    outcome = process(source, settings(encoder_preset="medium"))
    before, after = starts(source), starts(outcome.path)
    assert after == pytest.approx(before, abs=0.002)


def test_video_alone_keeps_its_start(tmp_path):
    source = make_clip(tmp_path / "clip.mp4", Clip(stamps=range(25, 40)))
    assert float(times(process(source).path)[0]) == 1.0


@pytest.mark.parametrize("suffix", ["ts", "mpg"])
def test_a_clock_that_starts_anywhere_is_set_to_zero_for_containers_that_expect_it(tmp_path, suffix):
    clip = Clip(audio=[Audio("mp2", seconds=0.6)], stamps=range(250, 262), codec="mpeg2video")
    source = make_clip(tmp_path / f"clip.{suffix}", clip)
    outcome = process(source, settings("mp4"))
    before, after = starts(source), starts(outcome.path)
    assert before[0] > 5
    assert min(after) == pytest.approx(0, abs=0.002)
    assert after[0] - after[1] == pytest.approx(before[0] - before[1], abs=0.002)


def test_a_transport_stream_stays_on_its_clock(tmp_path):
    source = make_clip(tmp_path / "clip.ts", Clip(stamps=range(250, 262), audio=[Audio(start=10)]))
    assert starts(process(source).path) == pytest.approx(starts(source), abs=1e-4)
