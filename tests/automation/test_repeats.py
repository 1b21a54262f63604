"""What is dropped again is told by the daemon that sees it, with its result."""

from __future__ import annotations

from workbench import Bench

from facefusion.automation.snapshot import RepeatView, snapshot_from_dict


def test_a_copy_and_the_same_file_again_are_told_the_latest_first(bench: Bench) -> None:
    bench.face()
    first = bench.target("holiday.mp4")
    assert bench.run_once() == 0
    there, anew = "holiday__alice.mp4 is there already", "(`retry 1` makes it anew)"
    copied = f"{there}: videos/copy.mp4 is the same as videos/holiday.mp4 {anew}"
    again = f"{there}: videos/holiday.mp4 came again, unchanged {anew}"
    with bench.start() as daemon:
        daemon.wait_until_watching()
        assert bench.status().repeats == (), "what lay there is no news"
        (bench.inbox / "videos" / "copy.mp4").write_bytes(first.read_bytes())
        daemon.wait_until(lambda: [repeat.told for repeat in bench.status().repeats] == [copied])
        content = first.read_bytes()
        first.unlink()
        first.write_bytes(content)
        daemon.wait_until(lambda: [repeat.told for repeat in bench.status().repeats] == [again, copied])
        shown = bench.status()
        daemon.stop()
    assert snapshot_from_dict(shown.as_dict()).repeats == shown.repeats
    assert all(isinstance(repeat, RepeatView) for repeat in shown.repeats)
    assert bench.results() == ["holiday__alice.mp4"]
