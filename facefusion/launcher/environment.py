"""The program's own Python environment (`.venv`), made and kept up to date with the standard library alone.

A stamp inside `.venv` holds the hash of the requirements that are installed, so a start that has nothing to
do reads two small files. The same stamp says `working` while something is being installed: a set-up that was
interrupted is recognised by it and begun afresh, out of pip's cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from facefusion.errors import FaceFusionError, StorageError
from facefusion.launcher.pip_runs import INSTALLING, clean_environment, run_pip

RUNTIME = "requirements.txt"
TESTS = "requirements-test.txt"
REFERENCE = "requirements-reference.txt"
"""Packages that tests compare with; installed without what they ask for themselves."""
CUDA = "requirements-cuda.txt"
"""Packages for NVIDIA's graphics processors; installed in addition where a driver is found."""
STAMP_FILE = "facefusion-setup.json"
LOG_FILE = "facefusion-setup.log"
LOCK_FILE = "setup.lock"
NEEDED_MEGABYTES = 1500
CUDA_MEGABYTES = 9000
"""6 GB stay; while they are installed pip has their files as it got them besides."""
STAMP_VERSION = 1

_RE_EXECUTED = "FACEFUSION_LAUNCHED"
Announce = Callable[[str], None]


class Environment:
    """The `.venv` of one checkout.

    Args:
        repository: folder that holds the requirements and `.venv`.
        announce: told in sentences what takes time, and why an NVIDIA processor is left out.
    """

    def __init__(self, repository: Path, announce: Announce) -> None:
        self.repository = repository
        self.folder = repository / ".venv"
        self._announce = announce
        self._stamp_file = self.folder / STAMP_FILE
        self._log_file = self.folder / LOG_FILE

    @property
    def python(self) -> Path:
        """The interpreter inside."""
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def is_active(self) -> bool:
        """Whether this very process runs inside."""
        return Path(sys.prefix).resolve() == self.folder.resolve()

    def is_ready(self, *requirements: str) -> bool:
        """Whether everything these requirement files ask for is installed; reads a few small files only."""
        stamp = self._read_stamp()
        return (
            stamp is not None
            and not stamp["working"]
            and self._same_interpreter(stamp)
            and all(stamp["installed"].get(name) == self._digest(name) for name in requirements)
        )

    def ensure(self, *requirements: str) -> None:
        """Make `.venv` and install what is missing of these requirement files.

        Raises:
            NetworkError: the package index cannot be reached or has no fitting packages.
            StorageError: no room, or the folder cannot be written.
            FaceFusionError: Python or pip are incomplete; with the way out.
        """
        if RUNTIME in requirements and self._wants_cuda():
            requirements = (*requirements, CUDA)
        if self.is_ready(*requirements):
            return
        try:
            with self._alone():
                # Looked at again: whoever had the lock before may have done the work.
                if not self.is_ready(*requirements):
                    self._set_up(requirements)
        except OSError as error:
            raise StorageError(f"{self.folder} cannot be written ({error.strerror or error}).") from error

    def run_inside(self, script: Path, arguments: Sequence[str]) -> int:
        """Go on as `script` inside `.venv`; comes back only where a process cannot be replaced (Windows).

        Raises:
            FaceFusionError: Python does not accept `.venv` as its environment.
        """
        if os.environ.get(_RE_EXECUTED):
            raise FaceFusionError(
                f"{self.python} does not use {self.folder}.",
                remedy="Delete the folder .venv and start again.",
            )
        environment = clean_environment() | {_RE_EXECUTED: "1"}
        command = [str(self.python), str(script), *arguments]
        sys.stdout.flush()
        if os.name != "nt":
            os.execve(command[0], command, environment)
        # Windows has no exec: the outer process waits, and Ctrl-C is the inner one's business.
        process = subprocess.Popen(command, env=environment)
        while True:
            with contextlib.suppress(KeyboardInterrupt):
                return process.wait()

    def _set_up(self, requirements: Sequence[str]) -> None:
        began = time.monotonic()
        stamp = self._read_stamp()
        if stamp is None or stamp["working"] or not self._same_interpreter(stamp):
            self._make(interrupted=stamp is not None and bool(stamp["working"]))
            stamp = self._read_stamp() or {}
        missing = [name for name in requirements if stamp["installed"].get(name) != self._digest(name)]
        if missing and CUDA in requirements and CUDA not in missing:
            missing.append(CUDA)  # pip puts the other onnxruntime back
        self._announce(f"Installing what the program needs into {self.folder.name} (this happens once) ...")
        kept = {key: value for key, value in stamp["installed"].items() if key not in missing}
        self._write_stamp(kept, working=True)
        self._pip_install([name for name in missing if name != CUDA])
        wanted = stamp.get("cuda_megabytes", 0)
        if CUDA in missing:
            free, wanted = self._free_megabytes(), 0
            if not self._install_cuda():
                # What pip leaves half done nothing can undo: it takes the place of packages that were whole.
                missing, kept, wanted = [name for name in (*kept, *missing) if name != CUDA], {}, 2 * free
                self._make_empty()
                self._pip_install(missing)
        self._write_stamp(
            kept | {name: self._digest(name) for name in missing}, working=False, cuda_megabytes=wanted
        )
        self._announce(f"Set-up finished after {time.monotonic() - began:.0f} s.")

    def _make(self, *, interrupted: bool) -> None:
        """Make the environment, over whatever an earlier attempt of ours left there."""
        if self.folder.is_dir() and any(self.folder.iterdir()):
            if not self._stamp_file.exists():
                raise FaceFusionError(
                    f"There is a folder {self.folder} that this program did not make.",
                    remedy="Move it away or delete it, then start again.",
                )
            self._announce(
                "An earlier set-up was interrupted; it is begun afresh."
                if interrupted
                else "The Python that .venv was made with has changed; it is made again."
            )
            self._clear()
        free = self._free_megabytes()
        if free < NEEDED_MEGABYTES:
            raise StorageError(
                f"The set-up needs about {NEEDED_MEGABYTES} MB; {self.repository} has {free} MB free.",
                remedy="Free some space, then start again.",
            )
        self._make_empty()

    def _make_empty(self) -> None:
        """Make the environment anew, with nothing but pip in it."""
        self.folder.mkdir(exist_ok=True)
        # First of all the stamp: what lies here from now on is ours to clear away.
        self._write_stamp({}, working=True)
        self._clear(leave_stamp=True)
        has_ensurepip = importlib.util.find_spec("ensurepip") is not None
        if not has_ensurepip and importlib.util.find_spec("pip") is None:
            self._clear()
            raise _no_ensurepip()
        self._announce(f"Making a Python environment in {self.folder} ...")
        try:
            venv.EnvBuilder(with_pip=has_ensurepip, symlinks=os.name != "nt").create(self.folder)
            if not has_ensurepip:
                # Debian and Ubuntu cut `ensurepip` out of Python; a pip outside can stand in for it.
                command = [sys.executable, "-I", "-m", "pip", "--python", str(self.python), "install", "pip"]
                run_pip(command, self._log_file)
        except subprocess.CalledProcessError as error:
            raise _no_ensurepip() from error

    def _clear(self, *, leave_stamp: bool = False) -> None:
        """Empty the folder; the stamp goes last, so that an interrupted clearing is still known as ours."""
        for entry in self.folder.iterdir():
            if entry.name == STAMP_FILE:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        if not leave_stamp:
            self._stamp_file.unlink(missing_ok=True)

    def _pip_install(self, requirements: Sequence[str]) -> None:
        command = [str(self.python), "-I", "-m", "pip", "install", "--only-binary", ":all:"]
        complete = [name for name in requirements if name != REFERENCE]
        for names, options in ((complete, []), ([REFERENCE] * (REFERENCE in requirements), ["--no-deps"])):
            files = [part for name in names for part in ("--requirement", str(self.repository / name))]
            if files:
                run_pip([*command, *options, *files], self._log_file)

    def _wants_cuda(self) -> bool:
        """Whether there is an NVIDIA driver, and room for what its processor needs or that is there."""
        if not (self.repository / CUDA).is_file() or not has_nvidia_driver():
            return False
        stamp = self._read_stamp() or {"installed": {}}
        tried = stamp.get("cuda_megabytes", 0)
        free = self._free_megabytes()
        if CUDA in stamp["installed"] or free >= max(CUDA_MEGABYTES, tried):
            return True
        why = (
            "did not work when it was tried. Deleting the folder .venv has it tried again"
            if tried
            else f"takes about {CUDA_MEGABYTES / 1000:.0f} GB, and {free / 1000:.1f} GB are free here"
        )
        if not os.environ.get(_RE_EXECUTED):  # else it was said a moment ago
            self._announce(
                f"There is an NVIDIA driver, but installing what its processor needs {why}; "
                "so the processor does all the work."
            )
        return False

    def _install_cuda(self) -> bool:
        """The packages for NVIDIA, leaving one of the two onnxruntimes; without them all runs on the CPU.

        Returns:
            False if the environment is of no use any more.
        """
        pip = [str(self.python), "-I", "-m", "pip"]
        install = [*pip, "install", "--only-binary", ":all:"]
        file = self.repository / CUDA
        lines = file.read_text(encoding="utf-8").splitlines()
        runtime = [line for line in lines if line.startswith("onnxruntime-gpu")]
        self._announce("There is an NVIDIA driver: installing what its processor needs (about 6 GB) ...")
        untouched = True
        try:
            try:
                run_pip([*install, "--requirement", str(file)], self._log_file)
            except FaceFusionError as error:  # what comes beside it may be missing for this computer
                if untouched := not self._has_begun():
                    run_pip([*install, *runtime], self._log_file)
                    self._announce(f"Only onnxruntime-gpu could be installed of that. {error.message}")
                else:
                    raise
            untouched = False
            # Both lie in one folder: removing the one takes files of the other with it.
            run_pip([*pip, "uninstall", "--yes", "onnxruntime"], self._log_file)
            run_pip([*install, "--force-reinstall", "--no-deps", *runtime], self._log_file)
        except FaceFusionError as error:
            untouched = untouched and not self._has_begun()
            self._announce(f"That did not work, so the processor does all the work. {error.message}")
            return untouched
        return True

    def _has_begun(self) -> bool:
        """Whether the last run of pip got as far as changing what is installed."""
        return INSTALLING in self._log_file.read_text(encoding="utf-8")

    def _free_megabytes(self) -> int:
        return shutil.disk_usage(self.repository).free // 10**6

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Only one process at a time sets up; the others wait, and find the work done."""
        state = self.repository / ".automation"
        state.mkdir(mode=0o700, exist_ok=True)
        with (state / LOCK_FILE).open("a") as lock:
            _lock(lock, lambda: self._announce("Another start is setting up; waiting for it ..."))
            yield  # closing the file gives the lock back

    def _same_interpreter(self, stamp: dict[str, Any]) -> bool:
        try:
            return bool(stamp["python"] == str(self.python.resolve(strict=True)))
        except OSError:
            return False

    def _digest(self, name: str) -> str:
        """Hash of a requirements file and of those it includes."""
        content = (self.repository / name).read_bytes()
        for included in re.findall(rb"^-r\s+(\S+)", content, re.MULTILINE):
            content += self._digest(included.decode()).encode()
        return hashlib.sha256(content).hexdigest()

    def _read_stamp(self) -> dict[str, Any] | None:
        try:
            stamp = json.loads(self._stamp_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:  # torn by a power cut: ours, and unfinished
            stamp = {}
        if not isinstance(stamp, dict) or stamp.get("version") != STAMP_VERSION:
            return {"working": True, "installed": {}, "python": ""}
        return stamp

    def _write_stamp(self, installed: dict[str, str], *, working: bool, cuda_megabytes: int = 0) -> None:
        """Note what is installed, and with how much room CUDA is tried again where that failed."""
        python = str(self.python.resolve()) if self.python.exists() else ""
        stamp = {
            "version": STAMP_VERSION,
            "python": python,
            "working": working,
            "installed": installed,
            "cuda_megabytes": cuda_megabytes,
        }
        temporary = self._stamp_file.with_suffix(".part")
        temporary.write_text(json.dumps(stamp, indent=2) + "\n", encoding="utf-8")
        temporary.replace(self._stamp_file)


def has_nvidia_driver() -> bool:
    """Whether an NVIDIA driver is installed, as far as can be told without its libraries."""
    return shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()


def forget_re_execution() -> None:
    """Once inside, processes that are started from here may make environments of their own."""
    os.environ.pop(_RE_EXECUTED, None)


def _no_ensurepip() -> FaceFusionError:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return FaceFusionError(
        "This Python cannot make environments: its `ensurepip` part is missing or broken.",
        remedy=(
            f"Debian and Ubuntu: `sudo apt install python{version}-venv`, then start again. "
            "Elsewhere: install Python from python.org."
        ),
    )


def _lock(file: IO[str], on_wait: Callable[[], None]) -> None:
    """Lock an open file against other processes until it is closed."""
    if sys.platform == "win32":
        import msvcrt

        waited = False
        while True:
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
                return
            except OSError:
                if not waited:
                    on_wait()
                waited = True
                time.sleep(0.5)
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        on_wait()
        fcntl.flock(file, fcntl.LOCK_EX)
