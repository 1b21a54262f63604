"""Odd combinations of size, rate, rotation, sound, pixel format and time stamps, judged by ffprobe.

ffprobe is another program with another version of the libraries: it reads source and result independently.
"""

import json
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, note, reject, settings
from hypothesis import strategies as st
from media_clips import Audio, Clip, make_clip
from media_job import process
from media_job import settings as config

FFPROBE = shutil.which("ffprobe")
EXAMPLES = 220

CODECS = {
    "mp4": ["libx264", "libx265", "mpeg4", "libsvtav1"],
    "mov": ["libx264", "prores_ks", "mjpeg", "qtrle"],
    "mkv": ["libx264", "libx265", "libvpx-vp9", "ffv1", "mpeg4"],
    "webm": ["libvpx-vp9", "libvpx", "libsvtav1"],
    "ts": ["libx264", "mpeg2video"],
    "avi": ["mpeg4", "mjpeg", "rawvideo"],
}
FORMATS = {
    "libx264": ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuvj420p", "gray"],
    "libx265": ["yuv420p", "yuv420p10le", "yuv444p"],
    "libvpx-vp9": ["yuv420p", "yuv444p", "yuva420p"],
    "libvpx": ["yuv420p"],
    "libsvtav1": ["yuv420p", "yuv420p10le"],
    "mpeg4": ["yuv420p"],
    "mpeg2video": ["yuv420p", "yuv422p"],
    "prores_ks": ["yuv422p10le", "yuva444p10le"],
    "mjpeg": ["yuvj420p", "yuvj444p"],
    "qtrle": ["rgb24", "argb"],
    "ffv1": ["yuv420p", "yuv411p", "yuv422p16le", "bgr0", "gray10le"],
    "rawvideo": ["yuv420p", "bgr24", "yuyv422"],
}
SOUND = {
    "mp4": ["aac", "ac3"],
    "mov": ["aac", "pcm_s16le"],
    "mkv": ["aac", "flac", "libopus"],
    "webm": ["libopus"],
    "ts": ["aac", "mp2"],
    "avi": ["pcm_s16le", "ac3"],
}
TICKS = {"mkv": Fraction(1, 1000), "webm": Fraction(1, 1000), "ts": Fraction(1, 90000)}
RATES = [Fraction(rate) for rate in ("25", "30000/1001", "24000/1001", "60", "15/2", "120")]
EVEN = {"libx264", "libx265"}
FAST = {
    "libx264": {"preset": "ultrafast"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libsvtav1": {"preset": "10"},
}


@st.composite
def combinations(draw):
    suffix = draw(st.sampled_from(sorted(CODECS)))
    codec = draw(st.sampled_from(CODECS[suffix]))
    name = draw(st.sampled_from(FORMATS[codec]))
    smallest = 64 if codec in ("libsvtav1", "libx265") else 20
    width, height = draw(st.integers(smallest, 140)), draw(st.integers(smallest, 140))
    if codec in EVEN:
        width, height = width + width % 2, height + height % 2
    if name in ("yuyv422", "bgr24") or codec in ("prores_ks", "qtrle", "ffv1", "mpeg2video"):
        width, height = width + -width % 4, height + height % 2
    rate = draw(st.sampled_from(RATES if codec not in ("mpeg2video", "mpeg4") else RATES[:4]))
    count = draw(st.integers(1, 9))
    steps = [1] * count
    if suffix in ("mp4", "mov", "mkv", "webm") and codec != "mpeg4":
        steps = draw(st.lists(st.integers(1, 5), min_size=count, max_size=count))
    start = draw(st.sampled_from([0, 0, 3, 12])) if suffix not in ("avi",) else 0
    base = 1 / rate if codec == "mpeg2video" else TICKS.get(suffix, 1 / rate)
    stamps = [round(sum(steps[:i], start) / rate / base) for i in range(count)]
    sounds = []
    for _ in range(draw(st.integers(0, 2))):
        sound = draw(st.sampled_from(SOUND[suffix]))
        channels = draw(
            st.sampled_from(["mono", "stereo", "5.1"] if sound not in ("mp2",) else ["mono", "stereo"])
        )
        sounds.append(Audio(sound, draw(st.sampled_from([0.1, 0.5, 1.0])), channels=channels))
    turn = draw(st.sampled_from([None, 90, 180, 270])) if suffix in ("mp4", "mov", "mkv") else None
    clip = Clip(
        width,
        height,
        count,
        rate,
        codec,
        name,
        options={**FAST.get(codec, {}), **({"auto-alt-ref": "0"} if name == "yuva420p" else {})},
        time_base=base,
        stamps=stamps,
        rotation=turn,
        audio=sounds,
    )
    preset = draw(st.sampled_from(["ultrafast", "fast"]))
    return suffix, clip, preset


def look(path):
    """Streams, packets of all, as ffprobe sees them."""
    command = [FFPROBE, "-v", "error", "-of", "json", "-show_streams", "-show_packets"]
    entries = "stream=index,codec_type,width,height:stream_side_data=rotation"
    entries += ":packet=stream_index,pts_time,flags"
    done = subprocess.run(
        [*command, "-show_entries", entries, str(path)], capture_output=True, timeout=30, check=True
    )
    seen = json.loads(done.stdout)
    video = next(s for s in seen["streams"] if s["codec_type"] == "video")
    turn = next((d["rotation"] for d in video.get("side_data_list", []) if "rotation" in d), 0)
    size = (video["width"], video["height"])
    times = {s["index"]: [] for s in seen["streams"]}
    for packet in seen["packets"]:
        if "pts_time" in packet and "D" not in packet["flags"]:
            times[packet["stream_index"]].append(float(packet["pts_time"]))
    sounds = [times[s["index"]] for s in seen["streams"] if s["codec_type"] == "audio"]
    return {
        "size": size if turn % 180 == 0 else size[::-1],
        "turn": turn,
        "pictures": sorted(times[video["index"]]),
        "sounds": [(min(t), max(t)) if t else None for t in sounds],
    }


@pytest.mark.slow
@pytest.mark.skipif(FFPROBE is None, reason="ffprobe is not installed; it is the independent judge here")
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
@given(combination=combinations())
def test_time_line_and_dimensions_are_the_sources(tmp_path_factory, combination):
    suffix, clip, preset = combination
    folder = tmp_path_factory.mktemp("odd", numbered=True)
    try:
        judge(folder, suffix, clip, preset)
    finally:
        shutil.rmtree(folder)


def judge(folder: Path, suffix, clip, preset):
    source = make_clip(folder / f"clip.{suffix}", clip)
    try:
        before = look(source)
    except subprocess.CalledProcessError:
        # ffprobe does not recognise tiny transport streams.
        reject()
    assume(len(before["pictures"]) == clip.frames)
    outcome = process(source, config(encoder_preset=preset))
    note(str(outcome.warnings))
    assume(suffix != "ts" or outcome.info.size_bytes > 5000)
    after = look(outcome.path)
    assert after["turn"] == 0
    for old, new in zip(before["size"], after["size"], strict=True):
        assert new in (old, old + old % 2)
    assert len(after["pictures"]) == len(before["pictures"]) == clip.frames
    # Formats that do not count from zero are shifted as a whole when the container changes.
    shift = before["pictures"][0] - after["pictures"][0]
    if outcome.plan.container == outcome.source.container != "ts":
        assert abs(shift) < 0.002
    tick = 0.0011 if outcome.plan.container in ("mkv", "webm") else 0.0002
    for old, new in zip(before["pictures"], after["pictures"], strict=True):
        assert abs(old - shift - new) <= tick
    assert len(after["sounds"]) == len(before["sounds"]) == len(clip.audio)
    frame = float(1 / clip.rate)
    for old, new in zip(before["sounds"], after["sounds"], strict=True):
        if old and new:
            assert abs((old[0] - shift) - new[0]) <= max(frame, 0.045)
            assert abs((old[1] - shift) - new[1]) <= max(frame, 0.06)
