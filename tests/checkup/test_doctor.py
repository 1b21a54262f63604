"""The doctor finds what is wrong, says what to do, and never dies of what it finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from facefusion.checkup import doctor
from facefusion.checkup.doctor import Check, run_checks
from facefusion.config import AutomationConfig, LimitSettings, NeuralSettings
from facefusion.models import ModelManager, Samples
from facefusion.system import health
from facefusion.system.hardware import Gpu, HardwareReport
from facefusion.trust import policy


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("inbox", "outbox"):
        (tmp_path / name).mkdir()
    return tmp_path


def examined(root: Path, config: AutomationConfig, **more: Any) -> list[Check]:
    return run_checks(
        config,
        inbox=root / "inbox",
        outbox=root / "outbox",
        state_dir=root / ".automation",
        models_dir=root / "models",
        **more,
    )


def by_name(findings: list[Check]) -> dict[str, Check]:
    return {finding.name: finding for finding in findings}


def test_a_complete_installation_is_well(root: Path) -> None:
    ModelManager(root / "models").ensure_models_available(["mesh"])
    policy.accept(root / ".automation", policy.CURRENT_VERSION, "test")
    limits = LimitSettings(free_disk_megabytes=1)
    config = AutomationConfig(execution_providers=["cpu"], limits=limits)
    findings = examined(root, config)
    assert [finding for finding in findings if not finding.ok] == []
    assert {"python", "packages", "models", "providers", "codecs", "use policy"} <= by_name(findings).keys()
    assert all(finding.text for finding in findings)


def test_an_empty_folder_is_explained_line_by_line(tmp_path: Path) -> None:
    config = AutomationConfig(execution_providers=["cpu"])
    findings = by_name(examined(tmp_path, config))
    for name in ("models", "use policy"):
        assert not findings[name].ok
        assert findings[name].remedy, name
    assert f"--root {tmp_path} --accept-use-policy 1" in findings["use policy"].remedy, "for this very folder"
    assert "face_landmark_with_attention.tflite" in findings["models"].text
    assert not (tmp_path / "models").exists(), "examining changes nothing"


def test_an_inbox_is_missed_only_where_there_was_one(tmp_path: Path) -> None:
    before = doctor.check_inbox(tmp_path / "inbox", used=False)
    assert before.ok and before.text.endswith("yet; the first start makes it.")
    after = doctor.check_inbox(tmp_path / "inbox", used=True)
    assert not after.ok and "mounted" in after.remedy


def test_a_damaged_model_is_named(root: Path) -> None:
    (root / "models").mkdir()
    (root / "models" / "face_landmark_with_attention.tflite").write_bytes(b"cut off")
    finding = doctor.check_models(root / "models")
    assert not finding.ok
    assert "face_landmark_with_attention.tflite is damaged: it has 7 bytes" in finding.text
    assert "models install" in finding.remedy


def test_packages_that_are_missing_or_of_a_wrong_version_are_named(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(
        "# comment\nnumpy>=999,<1000  # far future\nno-such-package>=1\nrich>=15,<16\n"
        "never-needed>=1; platform_system == 'Nowhere'\n"
    )
    finding = doctor.check_packages(requirements)
    assert not finding.ok
    assert "numpy is " in finding.text and "wanted is" in finding.text
    assert "no-such-package is not installed" in finding.text
    assert "rich" not in finding.text and "never-needed" not in finding.text


def test_a_package_that_does_not_load_is_named() -> None:
    assert doctor._unloadable(["json", "no_such_module"]) == [
        "no_such_module does not load (No module named 'no_such_module')"
    ]


def test_a_provider_that_was_asked_for_and_is_missing_is_a_finding(root: Path) -> None:
    finding = doctor.check_providers(root / ".automation", AutomationConfig(execution_providers=["openvino"]))
    if finding.ok:
        pytest.skip("this ONNX Runtime has OpenVINO, so there is nothing to find")
    assert "`openvino` was asked for and is not used" in finding.text
    assert "execution_providers" in finding.remedy


def test_a_folder_that_cannot_be_written_is_a_finding(root: Path) -> None:
    (root / "file").write_text("in the way")
    finding = doctor.check_writable("outbox", root / "file" / "outbox")
    assert not finding.ok and "cannot be written" in finding.text
    assert doctor.check_writable("outbox", root / "not" / "yet").ok


def test_a_full_disk_is_a_finding(root: Path) -> None:
    config = AutomationConfig(limits=LimitSettings(free_disk_megabytes=1048576))
    finding = doctor.check_resources(root / "outbox", config)
    assert not finding.ok and "disk" in finding.text


def test_an_examination_that_breaks_is_a_finding_and_the_others_go_on(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Check:
        raise RuntimeError("libx264.so is gone")

    monkeypatch.setattr(doctor, "check_codecs", broken)
    findings = by_name(examined(root, AutomationConfig(execution_providers=["cpu"])))
    assert not findings["codecs"].ok
    assert "libx264.so is gone" in findings["codecs"].text
    assert findings["providers"].ok


def test_the_engine_that_will_run_and_what_it_leaves_out_are_told(root: Path) -> None:
    told = doctor.check_engine(root / "models", AutomationConfig())
    assert told.ok
    assert told.text.startswith("mesh: ")
    assert "The profile balanced runs without face_enhancer" in told.text
    named = doctor.check_engine(
        root / "models", AutomationConfig(neural=NeuralSettings(enhancer="codeformer"))
    )
    assert "`neural.enhancer` asks for codeformer" in named.text


def test_the_driver_of_a_graphics_processor_is_told_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cards = (Gpu("nvidia", "H200", 141 << 30, "570.86"), Gpu("nvidia", "H200", 141 << 30, "570.86"))
    report = HardwareReport("Linux", "x86_64", "a processor", 4, 4, 1 << 34, 1 << 33, 1 << 40, cards)
    monkeypatch.setattr(doctor, "detect_hardware", lambda folder: report)
    told = doctor.check_hardware(root).text
    assert told.count("Driver 570.86.") == 1 and "H200, 151 GB" in told


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """320 x 240, 25 frames, one second."""
    path = tmp_path / "clip.avi"
    with av.open(path, "w") as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for shade in range(25):
            picture = np.full((240, 320, 3), shade, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    return path


def checked(root: Path, target: Path, speed: float | None = None, **settings: Any) -> Check:
    asked = []

    def speeds(engine: str, kind: str) -> list[float]:
        asked.append((engine, kind))
        return [] if speed is None else [speed]

    config = AutomationConfig.model_validate({"limits": {"free_disk_megabytes": 1}, **settings})
    finding = doctor.check_target(target, root / "outbox", root / "models", config, speeds)
    assert asked == [("mesh", "photo" if target.suffix == ".png" else "video")]
    return finding


def test_a_target_is_described_with_what_will_differ_and_how_long_it_takes(root: Path, clip: Path) -> None:
    told = checked(root, clip)
    assert told.ok and not told.remedy
    assert told.text.startswith("clip.avi: video, 320x240, mpeg4, 25 frames, 1.0 s. Result: mp4, libx264.")
    assert "AVI cannot hold H.264 with exact timing" in told.text
    assert "known after the first job" in told.text
    assert "in about 8.0 s." in checked(root, clip, speed=320 * 240 * 25 / 8.0).text


def test_a_photo_is_described_too(root: Path) -> None:
    photo = root / "photo.png"
    Image.new("RGB", (640, 480), "grey").save(photo)
    told = checked(root, photo, speed=640 * 480 / 2.0)
    assert told.ok and told.text.startswith("photo.png: photo, 640x480, png. Result: png.")
    assert "in about 2.0 s." in told.text


def test_a_picture_is_judged_as_a_source_too(samples: Samples, models_dir: Path, tmp_path: Path) -> None:
    told = doctor.check_source(samples.astronaut, models_dir)
    assert told.ok
    assert told.text.startswith("astronaut.png: usable, but: small (1")
    wall = tmp_path / "wall.png"
    Image.new("RGB", (640, 480), "grey").save(wall)
    told = doctor.check_source(wall, models_dir)
    assert not told.ok and "wall.png shows no face" in told.text and "sharp" in told.remedy


def test_a_target_that_does_not_fit_is_a_finding(
    root: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "free_disk", lambda folder: 100)
    told = checked(root, clip)
    assert not told.ok and "It cannot be processed here: It needs at least" in told.text
    assert "Free some space" in told.remedy


def test_parts_of_a_long_video_are_counted(root: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = []
    estimate = health.SystemHealthMonitor.estimate_processing_capacity

    def watched(self: Any, info: Any, *, in_parts: bool, **given: Any) -> Any:
        counted.append(in_parts)
        return estimate(self, info, in_parts=in_parts, **given)

    monkeypatch.setattr(health.SystemHealthMonitor, "estimate_processing_capacity", watched)
    checked(root, clip)
    with av.open(long := root / "long.mp4", "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(751):
            output.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        output.mux(stream.encode(None))
    checked(root, long)
    assert counted == [False, True]


def test_targets_that_cannot_be_processed_say_why_and_do_not_end_the_examination(
    root: Path, clip: Path
) -> None:
    damaged = root / "cut.mp4"
    damaged.write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(5000))
    config = AutomationConfig(execution_providers=["cpu"])
    targets = [damaged, root / "nowhere.mp4", root, clip]
    found = [finding for finding in examined(root, config, targets=targets) if finding.name == "target"]
    assert [finding.ok for finding in found] == [False, False, False, True]
    assert all(finding.remedy for finding in found[:3])
    assert "cut.mp4" in found[0].text
    assert found[1].text.endswith("nowhere.mp4 is not there.")
