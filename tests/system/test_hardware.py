"""The machine is described as this process may use it, not as it is printed on the box."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from facefusion.system import hardware
from facefusion.system.cgroups import ProcessLimits, process_limits
from facefusion.system.hardware import Gpu, detect_gpu_capability, detect_hardware, free_disk
from facefusion.system.threads import plan_threads

linux = pytest.mark.skipif(sys.platform != "linux", reason="control groups and affinity are Linux's")


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def limits(tmp_path: Path, membership: str, files: dict[str, str]) -> ProcessLimits:
    write(tmp_path, {"membership": membership, **{f"root/{name}": text for name, text in files.items()}})
    return process_limits(tmp_path / "root", tmp_path / "membership")


def test_this_machine_makes_sense(tmp_path: Path) -> None:
    report = detect_hardware(tmp_path)
    assert 1 <= report.usable_cores <= report.logical_cores
    assert 0 < report.memory_available <= report.memory_total
    assert report.disk_free > 0
    assert report.cpu_name and report.system


@linux
def test_cores_that_may_not_be_used_do_not_count(tmp_path: Path) -> None:
    program = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from facefusion.system.hardware import detect_hardware; print(detect_hardware().usable_cores)"
    )
    root = Path(__file__).parents[2]
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=60, check=True
    )
    assert answer.stdout.strip() == "1"


@linux
def test_the_tightest_limit_of_nested_groups_counts(tmp_path: Path) -> None:
    found = limits(
        tmp_path,
        "0::/outer/inner\n",
        {
            "outer/cpu.max": "150000 100000\n",
            "outer/inner/cpu.max": "max 100000\n",
            "outer/memory.max": "2147483648\n",
            "outer/memory.current": "1073741824\n",
            "outer/memory.stat": "anon 5\ninactive_file 73741824\n",
            "outer/inner/memory.max": "max\n",
        },
    )
    assert found == ProcessLimits(cores=1.5, memory=2147483648, memory_used=1000000000)


@linux
def test_the_older_kind_of_groups_is_read_too(tmp_path: Path) -> None:
    found = limits(
        tmp_path,
        "4:memory:/box\n1:cpu,cpuacct:/box\n0::/\n",
        {
            "cpu/box/cpu.cfs_quota_us": "50000\n",
            "cpu/box/cpu.cfs_period_us": "100000\n",
            "cpu/cpu.cfs_quota_us": "-1\n",
            "cpu/cpu.cfs_period_us": "100000\n",
            "memory/box/memory.limit_in_bytes": "1000\n",
            "memory/box/memory.usage_in_bytes": "900\n",
            "memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    assert found == ProcessLimits(cores=0.5, memory=1000, memory_used=900)


@linux
@pytest.mark.parametrize("membership", ["", "nonsense\n", "0::/../../somewhere\n"])
def test_without_readable_groups_there_is_no_limit(tmp_path: Path, membership: str) -> None:
    assert limits(tmp_path, membership, {}) == ProcessLimits()


def test_half_a_core_is_still_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "process_limits", lambda: ProcessLimits(cores=0.5, memory=1 << 28))
    report = detect_hardware()
    assert report.usable_cores == 1
    assert report.memory_total == 1 << 28
    assert report.memory_available <= 1 << 28
    assert "The container allows 268 MB of memory." in report.notes


def test_free_space_is_found_for_a_folder_that_does_not_exist_yet(tmp_path: Path) -> None:
    assert free_disk(tmp_path / "not" / "yet") > 0


@pytest.mark.skipif(sys.platform == "win32", reason="the folder a process stands in cannot be removed there")
def test_free_space_where_no_folder_is_any_more_is_none_and_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert free_disk(Path("models")) == 0
    assert detect_hardware().disk_free == 0


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in tool is a shell script")
@pytest.mark.parametrize(
    ("says", "status", "found"),
    [
        (
            "NVIDIA H200, 143771, 570.124.06\nNVIDIA A10, 23028, 570.124.06\n",
            0,
            (
                Gpu("nvidia", "NVIDIA H200", 143771 << 20, "570.124.06"),
                Gpu("nvidia", "NVIDIA A10", 23028 << 20, "570.124.06"),
            ),
        ),
        ("NVIDIA GB10, [N/A], 580.1\n", 0, (Gpu("nvidia", "NVIDIA GB10", None, "580.1"),)),
        ("NVIDIA L4\udcae, 1, 580\n", 0, (Gpu("nvidia", "NVIDIA L4\ufffd", 1 << 20, "580"),)),  # no UTF-8
        ("NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.\n", 9, ()),
        ("No devices were found\n", 0, ()),
    ],
)
def test_graphics_processors_are_what_the_driver_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, status: int, found: tuple[Gpu, ...]
) -> None:
    tool = tmp_path / "nvidia-smi"
    (tmp_path / "answer").write_bytes(says.encode(errors="surrogateescape"))
    tool.write_text(f"#!/bin/sh\n/bin/cat '{tmp_path}/answer'\nexit {status}\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + os.environ["PATH"])
    assert hardware._nvidia_by_tool() == found


def test_a_device_without_tools_is_found_through_the_kernel(tmp_path: Path) -> None:
    write(tmp_path, {"gpus/0000:01:00.0/information": "Model: \t\t NVIDIA L4\nIRQ:   35\n"})
    assert hardware._nvidia_by_kernel(tmp_path) == (Gpu("nvidia", "NVIDIA L4"),)


def test_other_vendors_are_named(tmp_path: Path) -> None:
    write(tmp_path, {"card0/device/vendor": "0x8086\n", "card1/device/vendor": "0x1002\n"})
    assert [gpu.vendor for gpu in hardware._pci_gpus(tmp_path)] == ["intel", "amd"]


@pytest.mark.parametrize(
    ("gpus", "kind"),
    [
        ((), "cpu"),
        ((Gpu("nvidia", "NVIDIA L4", 24 << 30),), "cuda"),
        ((Gpu("apple", "Apple M4"),), "coreml"),
    ],
)
def test_the_capability_follows_from_what_was_found(gpus: tuple[Gpu, ...], kind: str) -> None:
    capability = detect_gpu_capability(gpus)
    assert capability.kind == kind
    assert capability.reason.endswith(".")


@pytest.mark.parametrize("cores", [1, 2, 3, 4, 6, 8, 16, 64])
@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("heavy", [False, True])
def test_every_part_has_a_thread_and_the_sum_stays_within_the_share(
    cores: int, workers: int, heavy: bool
) -> None:
    plan = plan_threads(cores, workers, heavy_inference=heavy)
    share = max(1, cores // workers)
    parts = (plan.decode, plan.encode, plan.opencv, plan.inference, plan.swap)
    assert all(1 <= part <= share for part in parts)
    if not heavy and share >= 4:
        assert plan.decode + plan.encode + plan.swap * plan.inference <= share
