"""A package index of small wheels, and small checkouts that install from it."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

LAUNCHER_STUB = """
import sys
class FaceFusionAutomationLauncher:
    def __init__(self, arguments):
        self.arguments = arguments
    def run(self):
        import alpha
        print("inside", alpha.VERSION, sys.prefix, self.arguments.profile)
        return 7
"""


def make_wheel(folder: Path, name: str, version: str, files: Mapping[str, str]) -> None:
    """A wheel as pip accepts it, of pure Python files."""
    information = f"{name}-{version}.dist-info"
    content = {
        **files,
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, text in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text.encode())}\n"
    content[f"{information}/RECORD"] = record + f"{information}/RECORD,,\n"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in content.items():
            wheel.writestr(path, text)


class SmallCheckout:
    """The launcher's own files with requirements that a folder of small wheels satisfies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        self.wheels = folder / "wheels"
        package = self.folder / "facefusion" / "launcher"
        package.mkdir(parents=True)
        shutil.copy(REPOSITORY / "launch_automation.py", self.folder)
        for name in ("__init__.py", "errors.py"):
            shutil.copy(REPOSITORY / "facefusion" / name, self.folder / "facefusion")
        for name in ("__init__", "start", "arguments", "environment", "pip_runs", "selfcheck"):
            shutil.copy(REPOSITORY / "facefusion" / "launcher" / f"{name}.py", package)
        (package / "launcher.py").write_text(LAUNCHER_STUB)
        make_wheel(self.wheels, "alpha", "1.0", {"alpha.py": "VERSION = 'alpha-1'\n"})
        make_wheel(self.wheels, "alpha", "2.0", {"alpha.py": "VERSION = 'alpha-2'\n"})
        self.require("alpha==1.0")
        (self.folder / "requirements-test.txt").write_text("-r requirements.txt\n")

    def copy_to(self, folder: Path) -> SmallCheckout:
        """The same with everything that is set up in it."""
        copied = SmallCheckout.__new__(SmallCheckout)
        copied.folder, copied.wheels = folder / "checkout", folder / "wheels"
        shutil.copytree(self.folder, copied.folder, symlinks=True)
        shutil.copytree(self.wheels, copied.wheels)
        return copied

    def require(self, *lines: str) -> None:
        (self.folder / "requirements.txt").write_text("\n".join(lines) + "\n")

    def environment(self, **changes: str) -> dict[str, str]:
        """Only our wheels, no index, nothing of this computer's pip settings."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PYTHON"))}
        return {
            **clean,
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            **changes,
        }

    def command(self, *words: str) -> list[str]:
        return [sys.executable, str(self.folder / "launch_automation.py"), *words]

    def start(
        self, *words: str, without: tuple[str, ...] = (), **changes: str
    ) -> subprocess.CompletedProcess[str]:
        """Start the launcher as a person does."""
        environment = self.environment(**changes)
        for key in without:
            environment.pop(key)
        return subprocess.run(
            self.command(*words),
            env=environment,
            cwd=self.folder.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
