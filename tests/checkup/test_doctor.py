"""The doctor finds what is wrong, says what to do, and never dies of what it finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from facefusion.checkup import doctor
from facefusion.checkup.doctor import Check, run_checks
from facefusion.config import AutomationConfig, LimitSettings, NeuralSettings
from facefusion.models import ModelManager
from facefusion.trust import policy


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("inbox", "outbox"):
        (tmp_path / name).mkdir()
    return tmp_path


def examined(root: Path, config: AutomationConfig) -> list[Check]:
    return run_checks(
        config,
        inbox=root / "inbox",
        outbox=root / "outbox",
        state_dir=root / ".automation",
        models_dir=root / "models",
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
    for name in ("inbox", "models", "use policy"):
        assert not findings[name].ok
        assert findings[name].remedy, name
    assert f"--root {tmp_path} --accept-use-policy 1" in findings["use policy"].remedy, "for this very folder"
    assert "face_landmark_with_attention.tflite" in findings["models"].text
    assert not (tmp_path / "models").exists(), "examining changes nothing"


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
