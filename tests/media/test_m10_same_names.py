"""M10: nothing is remembered under a name."""

from media_clips import Clip, make_clip
from media_job import process

from facefusion.media.probe import probe


def test_same_name_in_two_folders(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = make_clip(tmp_path / "a" / "clip.mp4", Clip(frames=5))
    second = make_clip(tmp_path / "b" / "clip.mp4", Clip(frames=30, width=128))
    assert process(first).info.frames == 5
    outcome = process(second)
    assert (outcome.info.frames, outcome.info.width) == (30, 128)


def test_same_path_with_other_content(tmp_path):
    path = tmp_path / "clip.mp4"
    for frames, rotation, size in ((5, 90, (64, 96)), (20, 0, (96, 64))):
        path.unlink(missing_ok=True)
        make_clip(path, Clip(frames=frames, rotation=rotation))
        info = probe(path)
        assert (info.width, info.height) == size
        outcome = process(path)
        assert outcome.info.frames == frames
        outcome.path.unlink()
