"""How many workers there are, and on which device each works."""

from __future__ import annotations

from pathlib import Path

import pytest
from workbench import Bench

from facefusion.automation import staffing
from facefusion.automation.staffing import Staff, Staffing, cuda_devices
from facefusion.config import AutomationConfig, json_schema
from facefusion.system.hardware import Gpu
from facefusion.system.providers import ProviderReport, ProviderVerdict

GIB = 1 << 30


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """A machine with two graphics processors and an installed swap model, unless changed."""
    facts: dict[str, object] = {"neural": True, "devices": ("0", "1"), "memory": 64 * GIB}
    monkeypatch.setattr(staffing, "runs_neural", lambda config, models: facts["neural"])
    monkeypatch.setattr(staffing, "cuda_devices", lambda config, models: facts["devices"])
    monkeypatch.setattr(staffing, "available_memory", lambda: facts["memory"])
    return facts


def staff(workers: int) -> Staffing:
    config = AutomationConfig(workers=workers)
    return Staff(lambda: config, Path("models"))()


def test_automatic_is_one_worker_for_each_graphics_processor(machine: dict[str, object]) -> None:
    assert staff(0) == Staffing(2, ("0", "1"))
    machine["devices"] = ("0", "1", "2", "3")
    machine["memory"] = 5 * GIB
    assert staff(0).workers == 3, "as many as the memory has room for"
    machine["devices"] = ("0",)
    assert staff(0) == Staffing(1)


def test_automatic_is_one_worker_on_the_processor(machine: dict[str, object]) -> None:
    machine["neural"] = False
    assert staff(0) == Staffing(1)
    machine.update(neural=True, devices=())
    assert staff(0) == Staffing(1)


def test_a_number_is_what_was_asked_for(machine: dict[str, object]) -> None:
    assert staff(1) == Staffing(1)
    assert staff(4) == Staffing(4, ("0", "1"))
    machine["neural"] = False
    assert staff(3) == Staffing(3)


def test_devices_are_dealt_out_in_turn() -> None:
    staffing = Staffing(4, ("0", "1"))
    assert [staffing.device(slot) for slot in range(4)] == ["0", "1", "0", "1"]
    assert Staffing(2).device(0) is None


def test_the_settings_are_thought_over_when_they_change(machine: dict[str, object]) -> None:
    config = [AutomationConfig(workers=0)]
    staff = Staff(lambda: config[0], Path("models"))
    assert staff().workers == 2
    config[0] = AutomationConfig(workers=1)
    assert staff().workers == 1


@pytest.mark.parametrize(
    ("visible", "works", "devices"),
    [
        (None, "cuda", ("0", "1")),
        (None, "tensorrt", ("0", "1")),
        (None, "cpu", ()),
        ("1,0", "cuda", ("1", "0")),
        ("1", "cpu", ("1",)),
        ("", "cuda", ()),
    ],
)
def test_only_graphics_processors_that_work_and_may_be_seen_count(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, works: str, devices: tuple[str, ...]
) -> None:
    found = (Gpu("nvidia", "one"), Gpu("nvidia", "two"), Gpu("intel", "three"))
    report = ProviderReport(("auto",), (ProviderVerdict(works, True, "proved"),), "1.0")
    monkeypatch.setattr(staffing, "find_gpus", lambda: found)
    monkeypatch.setattr(staffing, "prove_providers", lambda wanted, state_dir: report)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert cuda_devices(AutomationConfig(), Path("models")) == devices


def test_each_worker_process_sees_its_own_device(tmp_path: Path, machine: dict[str, object]) -> None:
    bench = Bench(tmp_path, workers=0)
    for face in ("alice", "bob"):
        bench.face(face)
        bench.target(f"{face}__clip.mp4", seconds=1.0)
    assert bench.run_once() == 0
    media = [bench.report(f"clip__{face}.json")["swap"]["media"] for face in ("alice", "bob")]
    assert {report["device"] for report in media} == {"0", "1"}
    assert len({report["pid"] for report in media}) == 2


def test_workers_that_die_are_replaced_at_their_own_place_with_their_own_log(
    tmp_path: Path, machine: dict[str, object]
) -> None:
    bench = Bench(tmp_path, workers=0, max_retries=0)
    for face, script in (("alice", "noise"), ("bob", "crash"), ("carol", "noise"), ("dave", "noise")):
        bench.face(face)
        bench.target(f"{face}__clip.mp4", then=script, seconds=0.5)
    assert bench.run_once() == 1
    devices = [bench.report(f"clip__{f}.json")["swap"]["media"]["device"] for f in ("alice", "carol", "dave")]
    assert set(devices) == {"0", "1"}
    words = bench.report("failed/clip__bob.json")["failure"]["detail"]
    assert "SIGSEGV" in words
    assert "a library prints" not in words, "that was the other worker"
    logs = {path.name for path in (bench.root / ".automation" / "log").glob("worker*.log")}
    assert logs == {"worker.log", "worker-2.log"}


def test_the_settings_say_what_automatic_means() -> None:
    text = json_schema()["properties"]["workers"]["description"]
    text = " ".join(text.split())
    assert "one for each graphics processor" in text
    assert "else one" in text
