"""Encoders of graphics processors: used where they are proved, else the software's, and that is said."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import av
import psutil
import pytest
from media_clips import Audio, Clip, make_clip, pictures
from media_job import psnr

from facefusion.config import AutomationConfig
from facefusion.errors import EngineError
from facefusion.media import hardware
from facefusion.media.encoders import HARDWARE, EncodeSettings
from facefusion.media.hardware import Proof, Trial, accelerated, proved
from facefusion.media.plan import plan_output
from facefusion.media.probe import probe
from facefusion.media.reader import VideoReader
from facefusion.media.verify import verify_video
from facefusion.media.writer import VideoWriter

FAST = Proof(True, "works", seconds=0.001, software_seconds=0.01)
SLOW = Proof(True, "works", seconds=0.02, software_seconds=0.01)
BROKEN = Proof(False, "does not work here: no such device")


@pytest.fixture(autouse=True)
def forgetful(monkeypatch):
    monkeypatch.setattr(hardware, "_known", {})


@pytest.fixture
def clip(tmp_path):
    return make_clip(tmp_path / "clip.mp4", Clip(width=160, height=96, frames=10, audio=[Audio()]))


@pytest.fixture
def stand_in(monkeypatch):
    """A device whose encoder is one that this machine has: x265 in the place of x264."""
    device = replace(
        HARDWARE["nvenc"], encoders={"libx264": "libx265"}, traces=(), platforms=("linux", "darwin")
    )
    monkeypatch.setitem(HARDWARE, "nvenc", device)
    return device


def settings(device="auto", **more):
    output = {"hardware_encoder": device, "encoder_preset": "ultrafast", **more}
    return AutomationConfig.model_validate({"quality_preset": "fast", "output": output})


def planned(path, config, prove=None):
    info = probe(path)
    return info, accelerated(plan_output(info, config), info, config, prove=prove)


def write(info, plan, out):
    with VideoReader(info.path, info) as reader, VideoWriter(out, info, plan) as writer:
        for frame in reader:
            writer.write(frame)
        writer.commit()
    verify_video(out, writer.expected())


def test_a_machine_without_the_device_falls_back_and_says_so(clip, tmp_path):
    """NVENC is listed by libav and refuses to open: really tried, in a process of its own."""
    info, plan = planned(clip, settings("nvenc"))
    assert plan.encode.encoder == "libx264"
    assert len(plan.warnings) == 1
    assert plan.warnings[0].startswith("NVIDIA NVENC is not used (h264_nvenc does not work here")
    assert plan.warnings[0].endswith("libx264 writes the video.")
    assert [proof.works for proof in hardware.known().values()] == [False]
    write(info, plan, tmp_path / "out.mp4")


def test_it_is_tried_once_for_each_size_and_format(clip, monkeypatch):
    asked = []
    monkeypatch.setattr(hardware, "_ask", lambda trial, alive: asked.append(trial) or BROKEN)
    for _ in range(3):
        planned(clip, settings("nvenc"))
    assert len(asked) == 1
    assert (asked[0].hardware.encoder, asked[0].software.encoder) == ("h264_nvenc", "libx264")


def test_a_device_that_never_works_is_not_asked_for_every_size(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(hardware, "_ask", lambda trial, alive: asked.append(trial.width) or BROKEN)
    for width in (96, 128, 160, 192):
        clip = make_clip(tmp_path / f"{width}.mp4", Clip(width=width, height=96, frames=2))
        _, plan = planned(clip, settings("nvenc"))
        assert plan.warnings
    assert asked == [96, 128]


class StoppedError(Exception):
    pass


@pytest.fixture
def hanging(tmp_path, monkeypatch):
    """A driver that never answers; holds the number of the process that waits for it."""
    note = tmp_path / "process"
    script = tmp_path / "hang.py"
    script.write_text(
        "import os, pathlib, signal, sys\n"
        "from facefusion.media import hardware_probe\n"
        "def hang(*sizes):\n"
        f"    pathlib.Path({str(note)!r}).write_text(str(os.getpid()))\n"
        "    signal.pause()\n"
        "hardware_probe._made = hang\n"
        "hardware_probe.main()\n"
    )
    real = subprocess.Popen

    def start(command, **more):
        assert command[1:3] == ["-m", "facefusion.media.hardware_probe"]
        run = f"import runpy, sys; sys.path.insert(0, '.'); runpy.run_path({str(script)!r})"
        return real([sys.executable, "-c", run, command[3]], **more)

    monkeypatch.setattr(subprocess, "Popen", start)
    return note


def gone(note):
    """Wait until the process is no more; False if it outlives a minute."""
    process = int(note.read_text())
    for _ in range(600):
        if not psutil.pid_exists(process) or psutil.Process(process).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.1)
    return False


posix = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in waits for a POSIX signal")


@posix
def test_a_driver_that_hangs_can_be_stopped_and_leaves_no_process(clip, hanging):
    looks = []

    def alive():
        looks.append(1)
        if hanging.exists() and hanging.read_text():
            raise StoppedError

    config = settings("nvenc")
    info = probe(clip)
    with pytest.raises(StoppedError):
        accelerated(plan_output(info, config), info, config, alive=alive)
    assert len(looks) > 1
    assert gone(hanging)
    assert hardware.known() == {}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's end")
def test_a_driver_that_hangs_does_not_outlive_a_worker_that_is_killed(clip, hanging):
    worker = os.fork()
    if worker == 0:
        try:
            planned(clip, settings("nvenc"))
        finally:
            os._exit(0)
    while not (hanging.exists() and hanging.read_text()):
        assert os.waitpid(worker, os.WNOHANG) == (0, 0), "the worker waits for the driver"
        time.sleep(0.05)
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)
    assert gone(hanging)


def test_auto_says_nothing_where_there_is_nothing(clip, monkeypatch):
    monkeypatch.setattr(hardware, "HARDWARE", {})
    _, plan = planned(clip, settings("auto"))
    assert plan.encode.encoder == "libx264"
    assert plan.warnings == ()


@pytest.mark.parametrize(
    ("device", "proof", "encoder", "warned"),
    [
        ("auto", FAST, "libx265", 0),
        ("auto", SLOW, "libx264", 0),
        ("auto", BROKEN, "libx264", 0),
        ("nvenc", SLOW, "libx265", 0),
        ("nvenc", BROKEN, "libx264", 1),
        ("off", FAST, "libx264", 0),
    ],
)
def test_auto_takes_what_is_proved_and_faster_a_name_what_is_proved(
    clip, stand_in, device, proof, encoder, warned
):
    _, plan = planned(clip, settings(device), prove=lambda trial: proof)
    assert plan.encode.encoder == encoder
    assert len(plan.warnings) == warned


def test_a_proof_is_made_by_encoding_and_reading_back(clip, stand_in):
    _, plan = planned(clip, settings("off"))
    trial = Trial(replace(plan.encode, encoder="libx265"), plan.encode, 160, 96, 1)
    proof = proved(trial)
    assert proof.works, proof.reason
    assert proof.seconds > 0
    assert proof.software_seconds > 0


def test_the_stand_in_writes_a_whole_video(clip, stand_in, tmp_path):
    info, plan = planned(clip, settings("nvenc"), prove=lambda trial: FAST)
    # A graphics processor takes interleaved chroma; x265 does not.
    plan = replace(plan, encode=replace(plan.encode, pix_fmt="yuv420p"))
    write(info, plan, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "hevc"
    for before, after in zip(pictures(clip), pictures(tmp_path / "out.mp4"), strict=True):
        assert psnr(before.to_ndarray(format="gray"), after.to_ndarray(format="gray")) > 30


@pytest.mark.parametrize(("planar", "packed"), [("yuv420p", "nv12"), ("yuv420p10le", "p010le")])
def test_frames_are_repacked_without_changing_a_sample(tmp_path, planar, packed):
    from facefusion.media.convert import FrameConverter

    codec = "libx264" if planar == "yuv420p" else "libx265"
    path = make_clip(tmp_path / "clip.mp4", Clip(width=128, height=96, frames=4, codec=codec, pix_fmt=planar))
    info = probe(path)
    plan = plan_output(info, settings("off"))
    converter = FrameConverter(info, replace(plan, encode=replace(plan.encode, pix_fmt=packed)))
    with VideoReader(path, info) as reader:
        for frame in reader:
            stored = converter.convert(frame.av_frame)
            assert stored.format.name == packed
            assert stored.pts == frame.pts
            back = stored.reformat(format=planar)
            for a, b in zip(back.to_ndarray(), frame.av_frame.to_ndarray(), strict=True):
                assert (a == b).all()


@pytest.mark.parametrize(
    ("clip", "reason"),
    [
        (Clip(width=160, height=96, pix_fmt="yuv444p"), "does not write yuv444p"),
        (Clip(width=160, height=96, codec="libvpx-vp9"), "it has no encoder in the place of libvpx-vp9"),
        (Clip(width=160, height=96, pix_fmt="yuv420p10le"), "h264_nvenc does not write yuv420p10le"),
    ],
)
def test_what_a_device_cannot_write_stays_with_the_software(tmp_path, clip, reason):
    path = make_clip(tmp_path / "clip.mp4", replace(clip, frames=4))
    _, plan = planned(path, settings("nvenc"), prove=lambda trial: FAST)
    assert reason in plan.warnings[-1]
    assert plan.encode.encoder.startswith("lib")


def test_an_encoder_that_was_proved_and_does_not_start_is_not_tried_again(clip, tmp_path):
    """All sessions of the driver may be taken: the attempt fails, the next one is written by the software."""
    hardware._known[("h264_nvenc", "nv12", 160, 96)] = FAST
    info, plan = planned(clip, settings("nvenc"))
    assert plan.encode.encoder == "h264_nvenc"
    out = tmp_path / "out.mp4"
    with pytest.raises(EngineError, match="h264_nvenc failed"):
        write(info, plan, out)
    assert not out.exists()
    info, plan = planned(clip, settings("nvenc"))
    assert plan.encode.encoder == "libx264"
    write(info, plan, out)


def test_the_survey_names_what_works_and_what_does_not(stand_in, monkeypatch):
    monkeypatch.setattr(hardware, "_ask", lambda trial, alive: FAST)
    said = hardware.survey(settings("auto"))
    assert "libx265 works: 1.0 ms a picture (libx264: 10.0 ms)" in said
    monkeypatch.setattr(hardware, "HARDWARE", {})
    assert hardware.survey(settings("auto")) == "No encoder of a graphics processor is in sight."
    assert "switched off" in hardware.survey(settings("off"))


@pytest.mark.parametrize("name", sorted({e for d in HARDWARE.values() for e in d.encoders.values()}))
def test_every_device_encoder_is_told_quality_and_speed(name):
    options = [
        EncodeSettings(name, "nv12", crf, preset, 250).options(4, 1280 * 720)
        for crf, preset in ((18, "slow"), (30, "ultrafast"))
    ]
    assert options[0] != options[1]
    assert all(isinstance(value, str) for values in options for value in values.values())
    key = next(key for key in ("cq", "qp_p", "global_quality") if key in options[0])
    better, worse = (float(values[key]) for values in options)
    assert (better > worse) == name.endswith("videotoolbox")
    assert "crf" not in options[0]
