"""The chain of execution providers: what was asked for, what really works here, and why not something better.

A provider counts only after it has run a small network in a process of its own and given the right numbers.
The answer is remembered for this machine, and asked again when software, driver or hardware change.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facefusion.errors import ConfigError, ProviderError
from facefusion.system.hardware import Gpu, find_gpus
from facefusion.system.onnx_runtime import AUTO_ORDER, PROVIDERS, provider_options
from facefusion.system.provider_probe import RESULT_MARK

MEMORY_FILE = "providers.json"
"""For a process that may see every graphics processor; see `memory_file`."""
_PROBE_SECONDS = 180.0
_REFUSAL_HOLDS_SECONDS = 24 * 3600.0
_RELEVANT_PACKAGES = ("onnxruntime", "nvidia-", "tensorrt", "openvino", "torch")


@dataclass(frozen=True)
class ProviderVerdict:
    """What became of one candidate.

    Attributes:
        name: the word in the settings.
        works: it ran the probe network and gave the right numbers.
        reason: one sentence: how that was proved, or why it does not work here.
        deviation: of the probe's result, relative to its largest value.
        seconds: of one run of the probe.
        proved_at: seconds since the epoch.
    """

    name: str
    works: bool
    reason: str
    deviation: float | None = None
    seconds: float | None = None
    proved_at: float = 0.0


@dataclass(frozen=True)
class ProviderReport:
    """The chain as it is on this machine.

    Attributes:
        wanted: as in the settings.
        verdicts: every candidate in order, up to and including the first that works.
        runtime: version of ONNX Runtime.
    """

    wanted: tuple[str, ...]
    verdicts: tuple[ProviderVerdict, ...]
    runtime: str

    @property
    def chosen(self) -> ProviderVerdict:
        """The one that is used."""
        return next(verdict for verdict in self.verdicts if verdict.works)

    @property
    def refused(self) -> tuple[ProviderVerdict, ...]:
        """Better ones that do not work here, with their reasons."""
        return tuple(verdict for verdict in self.verdicts if not verdict.works)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was asked for by name and is not done, in sentences; nothing where `auto` simply chose."""
        return tuple(
            f"Execution provider `{verdict.name}` was asked for and is not used: {verdict.reason} "
            f"`{self.chosen.name}` is used instead."
            for verdict in self.refused
            if verdict.name in self.wanted
        )

    def ort_providers(
        self, *, memory_limit: int | None = None, cache_dir: Path | None = None
    ) -> list[tuple[str, dict[str, str]]]:
        """What to give an `InferenceSession`: the chosen provider with its options, then the CPU."""
        names = [self.chosen.name] + ["cuda"] * (self.chosen.name == "tensorrt") + ["cpu"]
        return [
            (
                PROVIDERS[name].ort_name,
                provider_options(name, memory_limit=memory_limit, cache_dir=cache_dir),
            )
            for name in dict.fromkeys(names)
        ]


def prove_providers(
    wanted: Sequence[str],
    *,
    state_dir: Path | None = None,
    gpus: tuple[Gpu, ...] | None = None,
    afresh: bool = False,
) -> ProviderReport:
    """Find the first of the wanted providers that really works; the CPU is always the last resort.

    Args:
        wanted: words of the settings, best first; `auto` stands for all that are worth trying.
        state_dir: where answers are remembered; None remembers nothing.
        gpus: found before; looked for if None.
        afresh: prove again whatever is remembered.

    Raises:
        ConfigError: a word is not known.
        ProviderError: not even the CPU works (ONNX Runtime is missing or broken).
    """
    memory = _Memory(state_dir, machine_key(find_gpus() if gpus is None else gpus))
    verdicts: list[ProviderVerdict] = []
    for name in candidates(wanted):
        verdict = None if afresh else memory.get(name)
        if verdict is None:
            verdict = prove(name)
            memory.put(verdict)
        verdicts.append(verdict)
        if verdict.works:
            memory.save()
            return ProviderReport(tuple(wanted), tuple(verdicts), _runtime_version())
    raise ProviderError(
        f"No execution provider works here, not even the CPU: {verdicts[-1].reason}",
        remedy="Run `python3 launch_automation.py` again; it repairs the installation.",
    )


def candidates(wanted: Iterable[str]) -> tuple[str, ...]:
    """Names to try in order: `auto` unfolded, each once, the CPU at the end.

    Raises:
        ConfigError: a word is not known.
    """
    names: list[str] = []
    for word in wanted:
        if word != "auto" and word not in PROVIDERS:
            allowed = ", ".join(["auto", *PROVIDERS])
            raise ConfigError(f"`execution_providers`: {word!r} is not known; allowed: {allowed}.")
        names += AUTO_ORDER if word == "auto" else [word]
    ordered = list(dict.fromkeys([*names, "cpu"]))
    # Whatever stands behind the CPU would never be tried.
    return tuple(ordered[: ordered.index("cpu") + 1])


def prove(name: str, *, timeout: float = _PROBE_SECONDS) -> ProviderVerdict:
    """Run the probe network on one provider in a process of its own and tell the outcome; never raises."""
    title = PROVIDERS[name].title
    root = Path(__file__).resolve().parents[2]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
    environment = os.environ | {"ORT_DISABLE_TELEMETRY": "1", "PYTHONPATH": path}
    now = time.time()
    try:
        answer = subprocess.run(
            [sys.executable, "-m", "facefusion.system.provider_probe", name],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return ProviderVerdict(name, False, f"{title} gave no answer within {timeout:.0f} s.", proved_at=now)
    except OSError as error:
        return ProviderVerdict(name, False, f"{title} could not be tried ({error}).", proved_at=now)
    return read_probe(name, answer.returncode, answer.stdout, answer.stderr, now)


def read_probe(name: str, status: int, stdout: str, stderr: str, now: float) -> ProviderVerdict:
    """Turn what the probe's process left behind into a verdict."""
    title = PROVIDERS[name].title
    complaint = _complaint(stderr)
    for line in stdout.splitlines():
        if line.startswith(RESULT_MARK) and status == 0:
            found = json.loads(line.removeprefix(RESULT_MARK))
            reason = str(found["reason"])
            if not found["works"] and complaint:
                reason += f" It said: {complaint}"
            return ProviderVerdict(
                name, bool(found["works"]), reason, found["deviation"], found["seconds"], now
            )
    if status < 0:
        reason = f"{title} crashed while it was tried (signal {-status})."
    else:
        reason = f"{title} failed while it was tried (exit status {status})."
    return ProviderVerdict(name, False, f"{reason} It said: {complaint or 'nothing'}", proved_at=now)


def machine_key(gpus: tuple[Gpu, ...]) -> str:
    """Changes whenever an earlier proof may no longer hold."""
    packages = sorted(
        f"{distribution.name}=={distribution.version}"
        for distribution in importlib.metadata.distributions()
        if (distribution.name or "").casefold().startswith(_RELEVANT_PACKAGES)
    )
    facts: list[Any] = [
        *(sys.executable, sys.version, platform.platform(), packages),
        *([asdict(gpu) for gpu in gpus], os.environ.get("LD_LIBRARY_PATH", "")),
        os.environ.get("CUDA_VISIBLE_DEVICES", ""),
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def memory_file() -> str:
    """Name of the file with what was proved; one for each choice of devices.

    The workers among which the graphics processors are shared out, and the daemon that sees them all, would
    otherwise overwrite each other's answers, and each would prove anew at every start.
    """
    visible = re.sub(r"[^\w.-]+", "_", os.environ.get("CUDA_VISIBLE_DEVICES", ""))[:100]
    return f"{Path(MEMORY_FILE).stem}-{visible}.json" if visible else MEMORY_FILE


class _Memory:
    """Answers of earlier proofs. One that cannot be read or written costs a proof, nothing else."""

    def __init__(self, state_dir: Path | None, key: str) -> None:
        self._path = state_dir / memory_file() if state_dir else None
        self._key = key
        self._verdicts: dict[str, ProviderVerdict] = {}
        self._changed = False
        if self._path is None:
            return
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            raw = json.loads(self._path.read_text(encoding="utf-8"))
            if raw["machine"] == key:
                self._verdicts = {
                    name: ProviderVerdict(**verdict) for name, verdict in raw["verdicts"].items()
                }

    def get(self, name: str) -> ProviderVerdict | None:
        """A remembered answer. A refusal is asked again after a day: its cause may lie outside the key."""
        verdict = self._verdicts.get(name)
        if verdict is None:
            return None
        if not verdict.works and not 0 <= time.time() - verdict.proved_at < _REFUSAL_HOLDS_SECONDS:
            return None
        return verdict

    def put(self, verdict: ProviderVerdict) -> None:
        self._verdicts[verdict.name] = verdict
        self._changed = True

    def save(self) -> None:
        if self._path is None or not self._changed:
            return
        verdicts = {name: asdict(verdict) for name, verdict in self._verdicts.items()}
        text = json.dumps({"machine": self._key, "verdicts": verdicts}, indent=2)
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.part")
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary.write_text(text + "\n", encoding="utf-8")
            temporary.replace(self._path)


def _runtime_version() -> str:
    for package in ("onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino", "onnxruntime"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return f"{package} {importlib.metadata.version(package)}"
    return "onnxruntime"


def _complaint(stderr: str) -> str:
    """The most telling line of what a library wrote while it failed."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", stderr)
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"error|fail|not found|cannot", line, re.IGNORECASE)]
    return (telling or lines or [""])[-1][:400]
