"""A provider counts after it has computed something right, and every other one has a reason."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from facefusion.errors import ConfigError, ProviderError
from facefusion.system import providers
from facefusion.system.hardware import Gpu
from facefusion.system.onnx_bytes import INPUT_SHAPE, probe_input, probe_model, probe_result
from facefusion.system.onnx_runtime import PROVIDERS, import_onnxruntime, provider_options, session_options
from facefusion.system.provider_probe import RESULT_MARK
from facefusion.system.providers import ProviderVerdict, candidates, prove, prove_providers, read_probe

ROOT = Path(__file__).parents[2]


def test_the_handwritten_network_is_a_valid_onnx_file() -> None:
    model = onnx.load_from_string(probe_model())
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Conv", "Relu", "Flatten", "MatMul"]


def test_the_handwritten_network_computes_what_numpy_computes() -> None:
    runtime = import_onnxruntime()
    session = runtime.InferenceSession(
        probe_model(), session_options(runtime, "cpu", 1), providers=["CPUExecutionProvider"]
    )
    output = session.run(None, {"input": probe_input()})[0]
    assert probe_input().shape == INPUT_SHAPE
    np.testing.assert_allclose(output, probe_result(), atol=1e-5)
    assert np.abs(output).max() > 0.5


def test_the_processor_is_proved(tmp_path: Path) -> None:
    report = prove_providers(["cpu"], state_dir=tmp_path, gpus=())
    assert report.chosen.name == "cpu"
    assert report.chosen.deviation is not None and report.chosen.deviation < 1e-5
    assert "proved" in report.chosen.reason
    assert report.ort_providers() == [("CPUExecutionProvider", {})]
    assert report.warnings == ()
    assert report.runtime.startswith("onnxruntime")


def test_cuda_without_cuda_falls_back_with_its_reason(tmp_path: Path) -> None:
    if "CUDAExecutionProvider" in import_onnxruntime().get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA, so there is nothing to refuse")
    report = prove_providers(["cuda"], state_dir=tmp_path, gpus=())
    assert report.chosen.name == "cpu"
    (warning,) = report.warnings
    assert "`cuda` was asked for and is not used" in warning
    assert "onnxruntime-gpu" in warning
    assert "`cpu` is used instead" in warning


def test_auto_chooses_without_complaining_but_keeps_the_reasons(tmp_path: Path) -> None:
    report = prove_providers(["auto"], state_dir=tmp_path, gpus=())
    assert report.chosen.works
    assert report.warnings == ()
    assert {"cuda", "coreml"} <= {verdict.name for verdict in report.refused}
    assert all(verdict.reason for verdict in report.refused)


def test_the_answer_is_remembered_until_the_machine_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def fake(name: str) -> ProviderVerdict:
        tried.append(name)
        return ProviderVerdict(name, name == "cpu", "because", proved_at=providers.time.time())

    monkeypatch.setattr(providers, "prove", fake)
    first = prove_providers(["cuda"], state_dir=tmp_path, gpus=())
    again = prove_providers(["cuda"], state_dir=tmp_path, gpus=())
    assert tried == ["cuda", "cpu"]
    assert again == first
    prove_providers(["cuda"], state_dir=tmp_path, gpus=(), afresh=True)
    assert tried == ["cuda", "cpu"] * 2
    prove_providers(["cuda"], state_dir=tmp_path, gpus=(Gpu("nvidia", "new card", None, "570"),))
    assert tried == ["cuda", "cpu"] * 3


def test_workers_with_a_device_each_remember_beside_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def fake(name: str) -> ProviderVerdict:
        tried.append(name)
        return ProviderVerdict(name, True, "because", proved_at=providers.time.time())

    monkeypatch.setattr(providers, "prove", fake)
    for _ in range(2):
        for device in ("", "0", "1", "GPU-5a/1,GPU-5b"):
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", device)
            prove_providers(["cuda"], state_dir=tmp_path, gpus=())
    assert tried == ["cuda"] * 4, "each proves once"


def test_a_refusal_is_asked_again_after_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def fake(name: str) -> ProviderVerdict:
        tried.append(name)
        return ProviderVerdict(name, name == "cpu", "because", proved_at=providers.time.time())

    monkeypatch.setattr(providers, "prove", fake)
    prove_providers(["cuda"], state_dir=tmp_path, gpus=())
    later = providers.time.time() + 25 * 3600
    monkeypatch.setattr(providers.time, "time", lambda: later)
    prove_providers(["cuda"], state_dir=tmp_path, gpus=())
    assert tried == ["cuda", "cpu", "cuda"]


@pytest.mark.parametrize("damage", ["", "[]", '{"machine": 1}', '{"machine": "KEY", "verdicts": {"cpu": 1}}'])
def test_a_damaged_memory_costs_a_proof_and_nothing_else(tmp_path: Path, damage: str) -> None:
    (tmp_path / providers.MEMORY_FILE).write_text(damage.replace("KEY", providers.machine_key(())))
    assert prove_providers(["cpu"], state_dir=tmp_path, gpus=()).chosen.name == "cpu"
    assert "verdicts" in json.loads((tmp_path / providers.MEMORY_FILE).read_text())


def test_without_any_working_provider_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "prove", lambda name: ProviderVerdict(name, False, "broken."))
    with pytest.raises(ProviderError, match="not even the CPU: broken"):
        prove_providers(["auto"], gpus=())


def test_the_order_is_kept_and_the_processor_is_last() -> None:
    assert candidates(["openvino", "auto"])[:2] == ("openvino", "cuda")
    assert candidates(["auto"])[-1] == "cpu"
    assert candidates(["cuda", "cuda"]) == ("cuda", "cpu")
    assert candidates(["cpu", "cuda"]) == ("cpu",), "what stands behind the processor is never reached"
    with pytest.raises(ConfigError, match="'quantum' is not known; allowed: auto, tensorrt"):
        candidates(["quantum"])


@pytest.mark.parametrize(
    ("status", "stdout", "stderr", "says"),
    [
        (-11, "", "", "CUDA crashed while it was tried (signal 11)."),
        (1, "", "Traceback\nProviderError: no such thing", "exit status 1). It said: ProviderError"),
        (
            0,
            RESULT_MARK + json.dumps({"works": False, "reason": "Gave up.", "deviation": None, "seconds": 0}),
            "\x1b[1;31m[E] Failed to load library: libcublas.so.12: cannot open\x1b[m\n",
            "Gave up. It said: [E] Failed to load library: libcublas.so.12: cannot open",
        ),
    ],
)
def test_what_a_failing_provider_leaves_behind_becomes_a_reason(
    status: int, stdout: str, stderr: str, says: str
) -> None:
    verdict = read_probe("cuda", status, stdout, stderr, 0.0)
    assert not verdict.works
    assert says in verdict.reason


def test_a_provider_that_hangs_is_given_up() -> None:
    verdict = prove("cpu", timeout=0.01)
    assert not verdict.works
    assert "gave no answer" in verdict.reason


@pytest.mark.parametrize("fault", ["wrong", "elsewhere", "gave up"])
def test_a_provider_that_lies_is_found_out(fault: str, tmp_path: Path) -> None:
    """A stand-in for ONNX Runtime that computes nonsense, or runs on something else than it says."""
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text(
        f"""
import json, numpy
fault = {fault!r}
__version__ = "0"
def get_available_providers(): return ["CUDAExecutionProvider", "CPUExecutionProvider"]
class SessionOptions:
    def add_session_config_entry(self, *_): pass
class InferenceSession:
    def __init__(self, model, options, providers):
        self.file = options.profile_file_prefix + ".json"
    def get_providers(self):
        return ["CPUExecutionProvider"] if fault == "gave up" else get_available_providers()
    def run(self, *_): return [numpy.full((1, 16), numpy.nan, numpy.float32)]
    def end_profiling(self):
        ran = "CPUExecutionProvider" if fault == "elsewhere" else "CUDAExecutionProvider"
        open(self.file, "w").write(json.dumps([{{"cat": "Node", "args": {{"provider": ran}}}}]))
        return self.file
"""
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    answer = subprocess.run(
        [sys.executable, "-m", "facefusion.system.provider_probe", "cuda"],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    verdict = read_probe("cuda", 0, answer.stdout, answer.stderr, 0.0)
    assert not verdict.works
    expected = {"wrong": "wrong results", "elsewhere": "everything ran on CPU", "gave up": "gave up CUDA"}
    assert expected[fault] in verdict.reason


def test_home_stays_clean(tmp_path: Path) -> None:
    program = (
        "from facefusion.system.providers import prove_providers\n"
        "from facefusion.system.onnx_runtime import import_onnxruntime\n"
        "prove_providers(['auto'], gpus=()); import_onnxruntime().get_available_providers()"
    )
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / ".cache")}
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"} | home
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, timeout=120, check=True)
    assert list(tmp_path.rglob("*")) == []


def test_every_word_of_the_settings_has_a_provider_and_options() -> None:
    from typing import get_args

    from facefusion.config import Provider

    assert {"auto", *PROVIDERS} == set(get_args(Provider))
    assert provider_options("cuda", memory_limit=1 << 30)["cudnn_conv_algo_search"] == "HEURISTIC"
    for name in PROVIDERS:
        options = provider_options(name, memory_limit=1 << 30, cache_dir=Path("cache"))
        assert all(isinstance(value, str) for value in options.values())
