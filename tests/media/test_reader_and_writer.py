"""What the pipeline relies on: commit and abort, looking ahead, interlacing, changes inside a video."""

import errno
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from media_clips import Audio, Clip, make_clip, pattern, pictures, times
from media_job import planes, process, psnr, settings

from facefusion.errors import CancelledError, InputFileError, MediaFormatError, StorageError
from facefusion.media import kernels
from facefusion.media.encoders import quality_to_crf
from facefusion.media.frame import PackedFrame, PlanarFrame
from facefusion.media.open import open_reader, open_writer
from facefusion.media.plan import plan_output
from facefusion.media.probe import probe
from facefusion.media.reader import VideoReader
from facefusion.media.writer import VideoWriter


def test_uncommitted_results_leave_no_file(tmp_path):
    source = make_clip(tmp_path / "clip.mp4", Clip(frames=50, audio=[Audio()]))
    info = probe(source)
    plan = plan_output(info, settings())
    out = tmp_path / "result.mp4"

    with (
        pytest.raises(CancelledError),
        VideoReader(source, info) as reader,
        VideoWriter(out, info, plan) as writer,
    ):
        for frame in reader:
            writer.write(frame)
            if frame.index == 30:
                raise CancelledError("stopped")
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
    with VideoReader(source, info) as reader, VideoWriter(out, info, plan) as writer:
        writer.write(next(reader))
    assert not out.exists()


def test_a_video_without_pictures_is_not_committed(tmp_path):
    info = probe(make_clip(tmp_path / "clip.mp4"))
    out = tmp_path / "result.mp4"
    with VideoWriter(out, info, plan_output(info, settings())) as writer, pytest.raises(MediaFormatError):
        writer.commit()
    assert not out.exists()


def test_folder_that_cannot_be_written(tmp_path):
    info = probe(make_clip(tmp_path / "clip.mp4"))
    out = tmp_path / "missing" / "result.mp4"
    with pytest.raises(StorageError), VideoWriter(out, info, plan_output(info, settings())):
        pass


def test_full_disk_is_told_from_bad_media(tmp_path):
    source = make_clip(tmp_path / "clip.mp4", Clip(640, 480, 40))
    info = probe(source)
    try:
        full = open("/dev/full", "wb")  # noqa: SIM115, PTH123
    except OSError:
        pytest.skip("this system has no /dev/full")
    full.close()
    out = tmp_path / "result.mp4"
    out.symlink_to("/dev/full")
    plan = plan_output(info, settings("mkv", video_quality=99))
    with (
        pytest.raises(StorageError) as caught,
        VideoReader(source, info) as reader,
        VideoWriter(out, info, plan) as writer,
    ):
        for frame in reader:
            writer.write(frame)
        writer.commit()
    assert caught.value.__cause__.errno == errno.ENOSPC


def fails_with(number, packets=()):
    """What libav raises, after some packets."""
    yield from packets
    av.error.err_check(-number, "clip.mp4")


@pytest.mark.skipif(sys.platform == "win32", reason="a limit on the size of files is POSIX")
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_file_too_large_for_its_disk_is_told_from_bad_media(tmp_path, suffix):
    import resource

    source = make_clip(tmp_path / f"clip.{suffix}", Clip(frames=60))
    info = probe(source)
    out = tmp_path / f"result.{suffix}"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))
    try:
        with (
            pytest.raises(MediaFormatError, match="larger than a file") as raised,
            open_reader(source, info) as reader,
            open_writer(out, info, plan_output(info, settings())) as writer,
        ):
            for frame in reader:
                writer.write(frame)
            writer.commit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "FAT32" in raised.value.remedy
    assert not out.exists()


def test_a_disk_that_cannot_be_read_is_told_from_one_that_cannot_be_written(tmp_path, monkeypatch):
    source = make_clip(tmp_path / "clip.mp4", Clip(frames=4, audio=[Audio()]))
    info = probe(source)
    out = tmp_path / "result.mp4"
    plan = plan_output(info, settings())
    for place in ("tracks", "reader"):
        with monkeypatch.context() as patch:
            name = f"facefusion.media.{place}.read_packets"
            patch.setattr(name, lambda *given: fails_with(errno.EIO))
            with (
                pytest.raises(InputFileError, match=r"clip\.mp4 cannot be read \(Input/output error\)"),
                VideoReader(source, info) as reader,
                VideoWriter(out, info, plan) as writer,
            ):
                for frame in reader:
                    writer.write(frame)
        assert not out.exists()
    with (
        pytest.raises(StorageError, match=r"result\.mp4 cannot be written"),
        VideoReader(source, info) as reader,
        VideoWriter(out, info, plan) as writer,
    ):
        monkeypatch.setattr(writer, "_mux", lambda packets: list(fails_with(errno.EIO)))
        for frame in reader:
            writer.write(frame)


def test_glimpses_are_spread_and_do_not_disturb_reading(tmp_path):
    source = make_clip(tmp_path / "clip.mp4", Clip(frames=120, gop=10))
    with VideoReader(source, probe(source)) as reader:
        first = next(reader)
        found = [frame.pts * frame.time_base for frame in reader.glimpses(4, 1)]
        rest = list(reader)
    assert found == sorted(set(found))
    assert len(found) == 4
    assert found[-1] > 3
    assert [first.index, *(frame.index for frame in rest)] == list(range(120))


def test_glimpses_are_upright(tmp_path):
    source = make_clip(tmp_path / "clip.mp4", Clip(frames=20, gop=5, rotation=90))
    with VideoReader(source, probe(source)) as reader:
        assert {(f.width, f.height) for f in reader.glimpses(3, 2)} == {(64, 96)}


def test_glimpses_of_a_stream_that_cannot_seek_well(tmp_path):
    source = make_clip(tmp_path / "clip.ts", Clip(frames=60, gop=10))
    with VideoReader(source, probe(source)) as reader:
        assert 1 <= len(list(reader.glimpses(5, 1))) <= 5


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_threads_change_speed_only(tmp_path, threads):
    source = make_clip(tmp_path / "clip.mp4", Clip(frames=40, bframes=3, options={"preset": "medium"}))
    stored = pictures(source)
    with VideoReader(source, probe(source), threads=threads) as reader:
        for old, frame in zip(stored, reader, strict=True):
            assert frame.pts == old.pts
            assert np.array_equal(planes(old)[0], planes(frame)[0])


def test_interlaced_video_stays_interlaced_in_h264_and_is_said_elsewhere(tmp_path):
    clip = Clip(
        codec="mpeg2video",
        flags=int(av.codec.context.Flags.interlaced_dct) | int(av.codec.context.Flags.interlaced_me),
    )
    source = make_clip(tmp_path / "clip.mpg", clip)
    info = probe(source)
    if not info.interlaced:
        pytest.skip("this encoder marks nothing as interlaced")
    outcome = process(source)
    assert outcome.info.interlaced
    outcome = process(source, settings("mp4", "libx265"))
    assert any("interlaced" in sentence for sentence in outcome.warnings)


def test_size_that_changes_inside_a_video_is_brought_to_the_first_and_said(tmp_path):
    path = tmp_path / "clip.ts"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg2video", rate=25)
        stream.codec_context.width, stream.codec_context.height = 96, 64
        stream.codec_context.pix_fmt = "yuv420p"
        number = 0
        for width, height in ((96, 64), (128, 96)):
            encoder = av.CodecContext.create("mpeg2video", "w")
            encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
            encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
            for _ in range(20):
                frame = pattern(number, width, height)
                frame.pts, frame.time_base = number, Fraction(1, 25)
                number += 1
                for packet in encoder.encode(frame):
                    packet.stream = stream
                    out.mux(packet)
            for packet in encoder.encode(None):
                packet.stream = stream
                out.mux(packet)
    outcome = process(path)
    assert (outcome.info.width, outcome.info.height) == (96, 64)
    assert any("changes inside the video" in sentence for sentence in outcome.warnings)


def test_key_frame_distance_is_bounded(tmp_path):
    pictures_ = [pattern(0, 96, 64) for _ in range(400)]
    source = make_clip(
        tmp_path / "clip.mp4", Clip(frames=400, rate=Fraction(10), pictures=pictures_, gop=1000)
    )
    outcome = process(source)
    with av.open(str(outcome.path)) as container:
        places = [
            i for i, packet in enumerate(container.demux(video=0)) if packet.size and packet.is_keyframe
        ]
    assert np.diff(places).max() <= 100


def test_the_sources_choice_of_key_frames_is_not_forced_on_the_encoder(tmp_path):
    source = make_clip(
        tmp_path / "clip.mp4", Clip(frames=60, gop=1, pictures=[pattern(0, 96, 64) for _ in range(60)])
    )
    with av.open(str(process(source).path)) as container:
        assert sum(packet.is_keyframe for packet in container.demux(video=0) if packet.size) < 5


def test_quality_scale_is_the_documented_one():
    assert [quality_to_crf(q, "libx264") for q in (0, 70, 85, 100)] == [51, 23, 18, 13]
    assert quality_to_crf(70, "libx265") == 25
    assert 30 <= quality_to_crf(70, "libvpx-vp9") <= 33
    for encoder in ("libx264", "libx265", "libvpx-vp9", "libsvtav1", "prores_ks"):
        values = [quality_to_crf(q, encoder) for q in range(101)]
        assert values == sorted(values, reverse=True)


def test_higher_quality_looks_better(tmp_path):
    source = make_clip(tmp_path / "clip.mp4", Clip(frames=5, options={"crf": "5"}))
    values = []
    for quality in (30, 70, 95):
        result = pictures(process(source, settings(video_quality=quality)).path)
        values.append(psnr(planes(pictures(source)[2])[0], planes(result[2])[0]))
    assert values == sorted(values)


def test_one_loop_serves_videos_and_animations(tmp_path):
    source = make_clip(tmp_path / "clip.mp4")
    info = probe(source)
    out = tmp_path / "result.mp4"
    with open_reader(source, info) as reader, open_writer(out, info, plan_output(info, settings())) as writer:
        for frame in reader:
            writer.write(frame)
        writer.commit()
    assert times(out) == times(source)


def test_boxes_outside_the_frame_are_refused():
    for frame in (PlanarFrame(pattern(0, 96, 64)), PackedFrame(np.zeros((64, 96, 3), np.uint8))):
        for box in ((-1, 0, 5, 5), (0, 0, 97, 10), (5, 5, 5, 9), (0, 60, 10, 65)):
            with pytest.raises(ValueError, match="not inside"):
                frame.read(box)
        with pytest.raises(ValueError, match="size"):
            frame.blend((0, 0, 4, 4), np.zeros((4, 5, 3), np.uint8), np.zeros((4, 4), np.uint8))
        with pytest.raises(ValueError, match="uint8"):
            frame.blend((0, 0, 4, 4), np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8))


def test_thumbnails_show_the_frame():
    frame = PlanarFrame(pattern(0, 640, 360))
    small, scale = frame.thumbnail(160)
    assert small.shape == (90, 160, 3)
    assert scale == 0.25
    assert psnr(small, frame.read((0, 0, 640, 360), 4)) > 30
    same, scale = frame.thumbnail(2000)
    assert (same.shape, scale) == ((360, 640, 3), 1.0)


def test_luma_samples_are_between_black_and_white():
    for name in ("yuv420p", "yuv420p10le", "gbrp"):
        samples = PlanarFrame(pattern(0, 96, 64, name)).luma_samples(4)
        assert samples.dtype == np.float32
        assert 0 <= samples.min() < samples.max() <= 1


def test_kernels_that_are_compiled_ahead_serve_ordinary_video():
    kernels.warm_up()
    used = (kernels.yuv_to_bgr, kernels.yuv_to_bgr_shrunk, kernels.blend_yuv, kernels.blend_samples)
    compiled = [len(kernel.signatures) for kernel in used]
    assert min(compiled) > 0
    for name in ("yuv420p", "yuv420p10le"):
        frame = PlanarFrame(pattern(0, 96, 64, name))
        frame.thumbnail(32)
        frame.blend((0, 0, 8, 8), frame.read((0, 0, 8, 8)), np.full((8, 8), 255, np.uint8))
    assert [len(kernel.signatures) for kernel in used] == compiled
