"""The launcher makes `.venv` by itself, repairs it, and says clearly what stands in the way."""

import ast
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_index import REPOSITORY, SmallCheckout, make_wheel

from facefusion.errors import FaceFusionError, NetworkError, StorageError
from facefusion.launcher import environment as environment_module
from facefusion.launcher.environment import Environment
from facefusion.launcher.pip_runs import explain_pip, pip_step
from facefusion.launcher.selfcheck import SIDE_BY_SIDE


@pytest.fixture
def checkout(tmp_path: Path) -> SmallCheckout:
    return SmallCheckout(tmp_path)


@pytest.fixture(scope="module")
def once_set_up(tmp_path_factory: pytest.TempPathFactory) -> SmallCheckout:
    checkout = SmallCheckout(tmp_path_factory.mktemp("ready"))
    assert checkout.start().returncode == 7
    return checkout


@pytest.fixture
def ready(once_set_up: SmallCheckout, tmp_path: Path) -> SmallCheckout:
    return once_set_up.copy_to(tmp_path)


def stamp(checkout: SmallCheckout) -> Path:
    return checkout.folder / ".venv" / "facefusion-setup.json"


def test_a_bare_checkout_sets_itself_up_and_goes_on_inside(checkout: SmallCheckout) -> None:
    first = checkout.start("--profile", "fast")
    assert first.returncode == 7, first.stderr
    assert first.stdout.splitlines()[-1] == f"inside alpha-1 {checkout.folder / '.venv'} fast"
    assert "Set-up finished" in first.stdout
    # The second start has nothing to install from: it would fail if it asked pip for anything.
    second = checkout.start(without=("PIP_FIND_LINKS",))
    assert second.returncode == 7
    assert second.stdout.splitlines() == [f"inside alpha-1 {checkout.folder / '.venv'} None"]


def test_settings_that_lead_pip_and_python_astray_do_no_harm(ready: SmallCheckout, tmp_path: Path) -> None:
    ready.require("alpha==2.0")
    done = ready.start(PIP_USER="1", PIP_TARGET=str(tmp_path / "elsewhere"), PYTHONPATH=str(tmp_path))
    assert done.returncode == 7, done.stderr
    assert not (tmp_path / "elsewhere").exists()


def test_changed_requirements_are_installed_at_the_next_start(ready: SmallCheckout) -> None:
    ready.require("alpha==2.0")
    assert "inside alpha-2" in ready.start().stdout


def test_a_set_up_that_was_killed_is_begun_afresh(checkout: SmallCheckout) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent_index:
        address = f"http://127.0.0.1:{silent_index.getsockname()[1]}/simple"
        environment = checkout.environment(PIP_INDEX_URL=address)
        del environment["PIP_NO_INDEX"], environment["PIP_FIND_LINKS"]
        process = subprocess.Popen(
            checkout.command(), env=environment, stdout=subprocess.DEVNULL, start_new_session=True
        )
        silent_index.settimeout(60)
        connection, _ = silent_index.accept()  # pip is at work now
        _kill_all(process)
        connection.close()
    assert json.loads(stamp(checkout).read_text())["working"] is True
    again = checkout.start()
    assert again.returncode == 7, again.stderr
    assert "interrupted" in again.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_during_the_set_up_ends_with_a_sentence(checkout: SmallCheckout) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent_index:
        address = f"http://127.0.0.1:{silent_index.getsockname()[1]}/simple"
        environment = checkout.environment(PIP_INDEX_URL=address)
        del environment["PIP_NO_INDEX"], environment["PIP_FIND_LINKS"]
        process = subprocess.Popen(
            checkout.command(),
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        silent_index.settimeout(60)
        connection, _ = silent_index.accept()
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=30)
        connection.close()
    assert process.returncode == 130
    assert "Stopped." in said
    assert "Traceback" not in said


def test_two_starts_at_once_set_up_once(checkout: SmallCheckout) -> None:
    environment = checkout.environment()
    both = [
        subprocess.Popen(checkout.command(), env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [7, 7]
    assert sum("Set-up finished" in text for text in said) == 1


def test_a_folder_that_is_not_ours_is_left_alone(checkout: SmallCheckout) -> None:
    theirs = checkout.folder / ".venv" / "work.txt"
    theirs.parent.mkdir()
    theirs.write_text("precious")
    refused = checkout.start()
    assert refused.returncode == 2
    assert "did not make" in refused.stderr
    assert theirs.read_text() == "precious"


@pytest.mark.skipif(sys.platform == "win32", reason="environments have no links there")
def test_an_environment_whose_python_is_gone_is_made_again(ready: SmallCheckout) -> None:
    python = ready.folder / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to(ready.folder / "uninstalled-python")
    again = ready.start()
    assert again.returncode == 7, again.stderr
    assert "made again" in again.stdout


def test_without_a_network_it_says_what_to_do(checkout: SmallCheckout) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    failed = checkout.start(
        without=("PIP_NO_INDEX", "PIP_FIND_LINKS"), PIP_INDEX_URL=f"http://127.0.0.1:{port}/simple"
    )
    assert failed.returncode == 2
    assert "package index could not be reached" in failed.stderr
    assert "HTTPS_PROXY" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_help_and_mistakes_are_answered_before_anything_is_installed(checkout: SmallCheckout) -> None:
    assert "--accept-use-policy" in checkout.start("--help").stdout
    assert checkout.start("--profile", "nice").returncode == 2
    assert not (checkout.folder / ".venv").exists()


def test_before_the_set_up_only_the_standard_library_is_imported() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import launch_automation, facefusion.launcher.start\n"
        "roots = {name.partition('.')[0] for name in sys.modules}\n"
        "ours = {'__main__', 'launch_automation', 'facefusion'}\n"
        "print(sorted(roots - set(sys.stdlib_module_names) - ours))"
    )
    command = [sys.executable, "-I", "-S", "-c", code, str(REPOSITORY)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_an_old_python_can_read_the_script_and_says_that_it_is_too_old(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = (REPOSITORY / "launch_automation.py").read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 6))
    assert "from __future__" not in source  # unknown to 3.6
    import launch_automation

    monkeypatch.setattr(launch_automation, "NEEDED", (3, 99))
    assert launch_automation.main([]) == 2, "as whenever the program cannot start"
    assert "needs Python 3.99 or newer" in capsys.readouterr().err


def test_a_python_without_ensurepip_and_pip_gets_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "requirements.txt").write_text("alpha\n")
    monkeypatch.setattr(environment_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FaceFusionError, match="ensurepip") as caught:
        Environment(tmp_path, lambda text: None).ensure("requirements.txt")
    assert "apt install" in caught.value.remedy


def test_a_pip_outside_stands_in_for_a_missing_ensurepip(
    checkout: SmallCheckout, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = Path(__import__("ensurepip").__file__).parent / "_bundled"
    if not list(wheels.glob("pip-*.whl")):
        pytest.skip("this Python bundles no wheel of pip")
    real = environment_module.importlib.util.find_spec
    monkeypatch.setattr(
        environment_module.importlib.util,
        "find_spec",
        lambda name: None if name == "ensurepip" else real(name),
    )
    for key, value in checkout.environment(PIP_FIND_LINKS=f"{checkout.wheels} {wheels}").items():
        monkeypatch.setenv(key, value)
    environment = Environment(checkout.folder, lambda text: None)
    environment.ensure("requirements.txt")
    assert environment.is_ready("requirements.txt")


def test_too_little_room_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "requirements.txt").write_text("alpha\n")
    monkeypatch.setattr(environment_module, "NEEDED_MEGABYTES", 10**9)
    with pytest.raises(StorageError, match="needs about"):
        Environment(tmp_path, lambda text: None).ensure("requirements.txt")
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize(
    ("said", "kind", "hint"),
    [
        ("ERROR: Could not find a version that satisfies x (from versions: none)", NetworkError, "proxy"),
        (
            "WARNING: Retrying ... NewConnectionError: Name or service not known\nERROR: no",
            NetworkError,
            "proxy",
        ),
        ("ERROR: Could not install packages: [Errno 28] No space left on device", StorageError, "Free"),
        (
            "ERROR: Could not find a version that satisfies numba (from versions: 0.1, 0.2)\n"
            "ERROR: No matching distribution found for numba",
            FaceFusionError,
            "another Python",
        ),
        ("something unheard of", FaceFusionError, "whole text"),
    ],
)
def test_what_pip_says_becomes_an_error_with_a_remedy(
    said: str, kind: type, hint: str, tmp_path: Path
) -> None:
    error = explain_pip(said, tmp_path / "log")
    assert type(error) is kind
    assert hint in error.remedy


def test_the_steps_of_pip_are_told_in_words() -> None:
    assert pip_step("Collecting numpy<3,>=2.2 (from -r x)") == "looking for numpy"
    step = pip_step("  Downloading https://x/opencv_python_headless-5.0-cp37-abi3-linux.whl (54.0 MB)")
    assert step == "downloading opencv-python-headless (54.0 MB)"
    assert pip_step("Requirement already satisfied: pip") is None


class TestSelfCheck:
    """`launch_automation.py test`."""

    @pytest.fixture
    def tools(self, ready: SmallCheckout) -> SmallCheckout:
        for tool in ("ruff", "mypy", "pytest"):
            source = (
                "import os, sys\n"
                f"print('{tool}', *sys.argv[1:])\n"
                f"sys.exit(int(os.environ.get('STATUS_{tool.upper()}', '0')))\n"
            )
            make_wheel(ready.wheels, tool, "1.0", {f"{tool}/__main__.py": source, f"{tool}/__init__.py": ""})
        (ready.folder / "requirements-test.txt").write_text("-r requirements.txt\nruff\nmypy\npytest\n")
        return ready

    def test_all_checks_run_and_the_first_failure_is_the_exit_status(self, tools: SmallCheckout) -> None:
        well = tools.start("test")
        assert well.returncode == 0, well.stderr
        whole = " ".join(["pytest", *SIDE_BY_SIDE])
        assert [
            line for line in well.stdout.splitlines() if line.split()[0] in ("ruff", "mypy", "pytest")
        ] == [
            "ruff check .",
            "mypy",
            whole,
        ]
        bad = tools.start("test", STATUS_MYPY="3", STATUS_PYTEST="5")
        assert bad.returncode == 3
        assert bad.stdout.splitlines()[-1] == whole
        assert tools.start("test", STATUS_PYTEST="5").returncode == 5
        only = tools.start("test", "-k", "some thing", "--co", STATUS_RUFF="1")
        assert only.returncode == 0
        assert only.stdout.splitlines() == ["pytest -k some thing --co"]

    def test_tests_and_program_share_one_environment(self, tools: SmallCheckout) -> None:
        tools.start("test", "-q")
        installed = json.loads(stamp(tools).read_text())["installed"]
        assert set(installed) == {"requirements.txt", "requirements-test.txt"}
        assert "Installing" not in tools.start().stdout


def _kill_all(process: subprocess.Popen[bytes]) -> None:
    """End a process and everything it started, at once."""
    if sys.platform == "win32":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(0.1)
