"""Where there is an NVIDIA driver the launcher installs what its processor needs, or says why it does not."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from small_index import SmallCheckout, make_wheel

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the imagined driver is a shell script")

FULL_DISK = """
import builtins, errno, os
real = builtins.open
def full(file, *arguments, **more):
    if 'torch' in os.fspath(file) and 'site-packages' in os.fspath(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file)
    return real(file, *arguments, **more)
builtins.open = full
"""
"""Of an imagined package that every start of Python inside imports: a disk without room for torch."""

NVIDIA_TOOL = "#!/bin/sh\nexit 0\n"


@pytest.fixture
def with_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallCheckout:
    """A computer with an NVIDIA driver, and packages that share one folder like the real ones."""
    checkout = SmallCheckout(tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "nvidia-smi").write_text(NVIDIA_TOOL)
    (tools / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    for name, kind in (("onnxruntime", "cpu"), ("onnxruntime_gpu", "gpu")):
        make_wheel(checkout.wheels, name, "1.0", {"onnxruntime/__init__.py": f"KIND = '{kind}'\n"})
    checkout.require("alpha==1.0", "onnxruntime==1.0")
    needs(checkout, 1)
    return checkout


def needs(checkout: SmallCheckout, megabytes: int) -> None:
    """Have what NVIDIA's processor needs take so much room."""
    source = checkout.folder / "facefusion" / "launcher" / "environment.py"
    lines = source.read_text().splitlines()
    changed = [
        f"CUDA_MEGABYTES = {megabytes}" if line.startswith("CUDA_MEGABYTES") else line for line in lines
    ]
    assert lines != changed
    source.write_text("\n".join(changed) + "\n")


def onnxruntimes(checkout: SmallCheckout) -> tuple[str, list[str]]:
    """Which one is imported, and which are installed."""
    script = (
        "import onnxruntime, importlib.metadata as m;"
        "print(onnxruntime.KIND, *sorted(d.name for d in m.distributions() if 'onnx' in d.name))"
    )
    python = checkout.folder / ".venv" / "bin" / "python"
    kind, *names = subprocess.run(
        [str(python), "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    return kind, names


def test_where_there_is_an_nvidia_driver_exactly_one_onnxruntime_is_left(
    with_driver: SmallCheckout,
) -> None:
    (with_driver.folder / "requirements-cuda.txt").write_text("# Two\nonnxruntime-gpu==1.0\nalpha\n")
    done = with_driver.start()
    assert done.returncode == 7, done.stderr
    assert onnxruntimes(with_driver) == ("gpu", ["onnxruntime_gpu"])
    # Other requirements bring the other one back for a moment; nothing of that is left.
    with_driver.require("alpha==2.0", "onnxruntime==1.0")
    assert "inside alpha-2" in with_driver.start().stdout
    assert onnxruntimes(with_driver) == ("gpu", ["onnxruntime_gpu"])
    assert "NVIDIA" not in with_driver.start(without=("PIP_FIND_LINKS",)).stdout


def test_packages_for_nvidia_that_cannot_be_had_are_said_and_not_tried_at_every_start(
    with_driver: SmallCheckout,
) -> None:
    (with_driver.folder / "requirements-cuda.txt").write_text("onnxruntime-gpu==9.0\n")
    done = with_driver.start()
    assert done.returncode == 7, done.stderr
    assert "the processor does all the work" in done.stdout
    assert onnxruntimes(with_driver) == ("cpu", ["onnxruntime"])
    assert "NVIDIA" not in with_driver.start().stdout


def test_what_is_missing_beside_onnxruntime_does_not_keep_it_from_the_graphics_processor(
    with_driver: SmallCheckout,
) -> None:
    (with_driver.folder / "requirements-cuda.txt").write_text("onnxruntime-gpu==1.0\nalpha==9.0\n")
    done = with_driver.start()
    assert done.returncode == 7, done.stderr
    assert "Only onnxruntime-gpu could be installed" in done.stdout
    assert onnxruntimes(with_driver) == ("gpu", ["onnxruntime_gpu"])
    assert "NVIDIA" not in with_driver.start().stdout


def installed(checkout: SmallCheckout) -> set[str]:
    stamp = json.loads((checkout.folder / ".venv" / "facefusion-setup.json").read_text())
    assert stamp["working"] is False
    return set(stamp["installed"])


def test_too_little_room_for_them_is_said_at_every_start_and_made_good_once_there_is_some(
    with_driver: SmallCheckout,
) -> None:
    (with_driver.folder / "requirements-cuda.txt").write_text("onnxruntime-gpu==1.0\n")
    needs(with_driver, 10**9)
    first, second = with_driver.start(), with_driver.start()
    assert [first.returncode, second.returncode] == [7, 7], first.stderr
    for said in (first.stdout, second.stdout):
        assert said.count("takes about 1000000 GB, and") == 1
        assert said.count("so the processor does all the work") == 1
    assert "Installing" not in second.stdout
    assert onnxruntimes(with_driver) == ("cpu", ["onnxruntime"])
    assert installed(with_driver) == {"requirements.txt"}
    needs(with_driver, 1)
    third = with_driver.start()
    assert third.returncode == 7, third.stderr
    assert onnxruntimes(with_driver) == ("gpu", ["onnxruntime_gpu"])
    assert installed(with_driver) == {"requirements.txt", "requirements-cuda.txt"}


def test_a_disk_that_becomes_full_meanwhile_leaves_an_environment_that_works_without(
    with_driver: SmallCheckout,
) -> None:
    wheels = with_driver.wheels
    make_wheel(wheels, "full_disk", "1.0", {"full_disk.py": FULL_DISK, "full_disk.pth": "import full_disk\n"})
    make_wheel(wheels, "libraries", "1.0", {"libraries.py": ""})
    make_wheel(wheels, "torch", "1.0", {"torch/__init__.py": "", "torch/large.py": ""})
    with_driver.require("alpha==1.0", "onnxruntime==1.0", "full_disk==1.0")
    (with_driver.folder / "requirements-cuda.txt").write_text(
        "libraries==1.0\nonnxruntime-gpu==1.0\ntorch==1.0\n"
    )
    done = with_driver.start()
    assert done.returncode == 7, done.stderr
    assert "so the processor does all the work. The disk became full during set-up." in done.stdout
    assert onnxruntimes(with_driver) == ("cpu", ["onnxruntime"])
    site = next((with_driver.folder / ".venv").glob("lib/*/site-packages"))
    assert [path.name for path in site.iterdir() if path.name.startswith(("torch", "libraries"))] == []
    assert installed(with_driver) == {"requirements.txt"}
    again = with_driver.start(without=("PIP_FIND_LINKS",))  # pip would find nothing
    assert again.returncode == 7, again.stderr
    assert "did not work when it was tried" in again.stdout, "there is no more room than before"
    assert "Installing" not in again.stdout
    with_driver.require("alpha==2.0", "onnxruntime==1.0", "full_disk==1.0")
    other = with_driver.start()
    assert "inside alpha-2" in other.stdout
    assert "There is an NVIDIA driver: installing" not in other.stdout, "other requirements leave it at that"


def test_trouble_with_the_second_onnxruntime_leaves_the_first(with_driver: SmallCheckout) -> None:
    refuses = "import sys\nif 'uninstall' in sys.orig_argv: sys.exit('ERROR: it is in use')\n"
    make_wheel(with_driver.wheels, "in_use", "1.0", {"in_use.py": refuses, "in_use.pth": "import in_use\n"})
    with_driver.require("alpha==1.0", "onnxruntime==1.0", "in_use==1.0")
    (with_driver.folder / "requirements-cuda.txt").write_text("onnxruntime-gpu==1.0\n")
    done = with_driver.start()
    assert done.returncode == 7, done.stderr
    assert "so the processor does all the work" in done.stdout
    assert onnxruntimes(with_driver) == ("cpu", ["onnxruntime"])
    assert installed(with_driver) == {"requirements.txt"}
