"""M5: sound of any length, several tracks, subtitles, chapters, metadata and attachments are carried over."""

from dataclasses import replace

import av
import pytest
from media_clips import Audio, Clip, make_clip, packets, pattern, pictures, times
from media_job import process, settings

from facefusion.media.plan import plan_output
from facefusion.media.probe import StreamInfo, probe

PLENTY = {
    "mp4": Clip(
        audio=[Audio(language="eng"), Audio("ac3", language="deu", seconds=0.4)],
        subtitles=["mov_text"],
        chapters=[(0, 0.2, "One"), (0.2, 0.48, "Two")],
        metadata={"title": "A film", "comment": "seen"},
    ),
    "mov": Clip(audio=[Audio("pcm_s16le"), Audio(language="fra")], metadata={"title": "A film"}),
    "mkv": Clip(
        audio=[Audio(language="eng"), Audio("libopus", language="deu", seconds=0.7), Audio("flac")],
        subtitles=["subrip", "ass"],
        chapters=[(0, 0.2, "One"), (0.2, 0.48, "Two")],
        metadata={"title": "A film"},
        attachments=[("face.ttf", "font/ttf", b"letters")],
    ),
    "webm": Clip(codec="libvpx-vp9", audio=[Audio("libopus"), Audio("libvorbis")], subtitles=["webvtt"]),
    "ts": Clip(audio=[Audio(), Audio("mp2", seconds=0.4)]),
}
try:
    av.Codec("libvorbis", "w")
except av.codec.codec.UnknownCodecError:
    PLENTY["webm"] = Clip(codec="libvpx-vp9", audio=[Audio("libopus"), Audio("libopus", hertz=300)])


@pytest.mark.parametrize("suffix", PLENTY)
def test_every_track_is_copied_packet_by_packet(tmp_path, suffix):
    clip = PLENTY[suffix]
    source = make_clip(tmp_path / f"clip.{suffix}", clip)
    outcome = process(source)
    assert outcome.warnings == []
    for number, sound in enumerate(clip.audio):
        assert packets(outcome.path, "audio", number) == packets(source, "audio", number)
        result = outcome.info.of_kind("audio")[number]
        if sound.language:
            assert result.language == sound.language
    for number in range(len(clip.subtitles)):
        assert packets(outcome.path, "subtitles", number) == packets(source, "subtitles", number)
    assert [c.title for c in outcome.info.chapters] == [title for _, _, title in clip.chapters]
    for made, wanted in zip(outcome.info.chapters, outcome.source.chapters, strict=True):
        assert (made.start, made.end) == (wanted.start, wanted.end)
    for key, value in clip.metadata.items():
        assert outcome.info.metadata[key] == value


def test_attached_files_are_kept(tmp_path):
    source = make_clip(tmp_path / "clip.mkv", PLENTY["mkv"])
    with av.open(str(process(source).path)) as container:
        (attachment,) = container.streams.attachments
        assert (attachment.data, attachment.metadata["filename"]) == (b"letters", "face.ttf")


@pytest.mark.parametrize("seconds", [0.1, 2.0])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "ts"])
def test_sound_shorter_or_longer_than_the_picture_changes_neither(tmp_path, suffix, seconds):
    source = make_clip(tmp_path / f"clip.{suffix}", Clip(frames=25, audio=[Audio(seconds=seconds)]))
    outcome = process(source)
    assert len(times(outcome.path)) == 25
    assert packets(outcome.path, "audio") == packets(source, "audio")


def test_no_sound_at_all(tmp_path):
    outcome = process(make_clip(tmp_path / "clip.mp4", Clip()))
    assert outcome.info.streams == ()
    assert outcome.warnings == []


def test_sound_the_container_cannot_carry_is_encoded_anew_in_time_and_said(tmp_path):
    clip = Clip(frames=50, audio=[Audio("pcm_s16le", seconds=2, hertz=880), Audio("libmp3lame", seconds=1)])
    source = make_clip(tmp_path / "clip.avi", Clip(**{**clip.__dict__, "codec": "mpeg4"}))
    outcome = process(source)
    assert outcome.path.suffix == ".mp4"
    first, second = outcome.info.of_kind("audio")
    assert (first.codec, second.codec) == ("aac", "mp3")
    assert first.duration == pytest.approx(2, abs=0.05)
    assert any("track 1 becomes aac" in sentence for sentence in outcome.warnings)
    assert loudness(outcome.path) == pytest.approx(loudness(source), rel=0.1)


def loudness(path):
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("fltp", "mono", 48000)
        parts = [p.to_ndarray() for f in container.decode(audio=0) for p in resampler.resample(f)]
    import numpy as np

    return float(np.sqrt(np.mean(np.concatenate(parts, 1) ** 2)))


def test_sound_for_webm_becomes_opus(tmp_path):
    source = make_clip(tmp_path / "clip.mp4", Clip(frames=25, audio=[Audio(seconds=1, channels="5.1")]))
    outcome = process(source, settings("webm"))
    (sound,) = outcome.info.of_kind("audio")
    assert (sound.codec, sound.channels) == ("opus", 6)


def with_sound_changed(source, stamp):
    """A copy whose packets of sound have the time that `stamp` gives them; None leaves them out."""
    changed = source.with_stem("changed")
    with av.open(str(source)) as old, av.open(str(changed), "w") as new:
        streams = {s.index: new.add_stream_from_template(s, opaque=True) for s in old.streams}
        for packet in old.demux():
            if packet.size == 0:
                continue
            if packet.stream.type == "audio":
                if (time := stamp(packet)) is None:
                    continue
                packet.pts = packet.dts = time
            packet.stream = streams[packet.stream.index]
            new.mux(packet)
    return changed


def test_a_hole_in_sound_that_is_encoded_anew_stays_a_hole(tmp_path):
    source = make_clip(tmp_path / "clip.mkv", Clip(frames=60, audio=[Audio("pcm_s16le", seconds=2)]))
    holed = with_sound_changed(
        source, lambda packet: None if 0.5 < packet.pts * packet.time_base < 1.5 else packet.pts
    )
    outcome = process(holed, settings("mp4"))
    (sound,) = outcome.info.of_kind("audio")
    assert sound.duration == pytest.approx(2, abs=0.05)


def test_sound_that_jumps_far_past_the_video_is_not_filled_up_with_silence(tmp_path):
    source = make_clip(tmp_path / "clip.mkv", Clip(frames=50, audio=[Audio("pcm_s16le", seconds=2)]))
    jumping = with_sound_changed(
        source,
        lambda packet: packet.pts + (packet.pts * packet.time_base > 1) * int(600 / packet.time_base),
    )
    outcome = process(jumping, settings("mp4"))
    (sound,) = outcome.info.of_kind("audio")
    assert sound.duration == pytest.approx(2, abs=0.1)
    assert any("track 1 jump past the end of the video" in sentence for sentence in outcome.warnings)


def test_what_the_container_cannot_carry_is_named(tmp_path):
    source = make_clip(tmp_path / "clip.mkv", PLENTY["mkv"])
    outcome = process(source, settings("mp4"))
    text = " ".join(outcome.warnings)
    assert "subrip subtitles" in text
    assert "ass subtitles" in text
    assert "attachment" in text
    assert [s.kind for s in outcome.info.streams] == ["audio"] * 3


def test_cover_picture_is_kept_and_not_taken_for_the_video(tmp_path):
    source = make_clip(tmp_path / "clip.mp4", Clip())
    covered = tmp_path / "covered.mp4"
    with av.open(str(source)) as old, av.open(str(covered), "w") as new:
        video = new.add_stream_from_template(old.streams.video[0], opaque=True)
        cover = new.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 160, 120, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        new.mux(cover.encode(pattern(0, 160, 120, "yuvj420p")) + cover.encode(None))
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = video
                new.mux(packet)
    outcome = process(covered)
    assert (outcome.info.width, outcome.info.height) == (96, 64)
    assert [s.kind for s in outcome.info.streams] == ["cover"]
    assert len(pictures(outcome.path)) == 12


def test_apples_own_metadata_survives(tmp_path):
    tags = {"com.apple.quicktime.make": "Apple", "com.apple.quicktime.location.ISO6709": "+48.1+011.5/"}
    clip = Clip(metadata=tags, muxer_options={"movflags": "use_metadata_tags"})
    outcome = process(make_clip(tmp_path / "clip.mov", clip))
    for key, value in tags.items():
        assert outcome.info.metadata[key] == value


def test_data_tracks_are_named_in_one_sentence(tmp_path):
    info = probe(make_clip(tmp_path / "clip.mov"))
    extra = tuple(StreamInfo(index, "data", "") for index in (2, 3, 4))
    plan = plan_output(replace(info, streams=extra), settings())
    assert [s for s in plan.warnings if "Data tracks" in s] == [
        "Data tracks (telemetry, time code) are left out: 2, 3, 4."
    ]


def test_interleaved_not_one_stream_after_the_other(tmp_path):
    source = make_clip(tmp_path / "clip.mkv", Clip(frames=100, audio=[Audio(seconds=4)]))
    with av.open(str(process(source).path)) as container:
        kinds = [packet.stream.type for packet in container.demux() if packet.size]
    longest = max(
        len(run) for run in "".join(k[0] for k in kinds).replace("va", "v a").replace("av", "a v").split()
    )
    assert longest < 40
