"""Runs the probe network on one execution provider, in a process of its own.

A driver that does not fit its library does not raise, it crashes; and a provider that fails to load is
replaced by the CPU without a word. So each is tried where a crash harms nobody, and what ran is read from
ONNX Runtime's own profile. Used by `facefusion.system.providers`; prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from facefusion.system.onnx_bytes import probe_input, probe_model, probe_result
from facefusion.system.onnx_runtime import (
    PROVIDERS,
    import_onnxruntime,
    prepare_libraries,
    provider_options,
    session_options,
)

RESULT_MARK = "provider-probe:"

TOLERANCE = 2e-2
"""Largest deviation from the true result, relative to its largest value. Graphics processors multiply with
mantissas of 10 bits (TF32, half precision); a provider that is wrong is wrong by far more."""


def probe(name: str) -> dict[str, Any]:
    """Build a session, look at what it uses, run it, compare.

    Returns:
        `works`, `reason`, `available` (ONNX Runtime's names), `version`, `deviation`, `seconds` (of a second
        run) as JSON types.
    """
    kind = PROVIDERS[name]
    runtime = import_onnxruntime()
    found: dict[str, Any] = {
        "works": False,
        "reason": "",
        "available": list(runtime.get_available_providers()),
        "version": str(runtime.__version__),
        "deviation": None,
        "seconds": None,
    }
    if kind.ort_name not in found["available"]:
        found["reason"] = f"The installed ONNX Runtime has no {kind.title}; it needs {kind.needs}."
        return found
    prepare_libraries(runtime, name)
    with tempfile.TemporaryDirectory() as folder:
        options = session_options(runtime, name, threads=1)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        wanted: list[Any] = [(kind.ort_name, provider_options(name))]
        if name != "cpu":
            wanted.append(PROVIDERS["cpu"].ort_name)
        session = runtime.InferenceSession(probe_model(), options, providers=wanted)
        used = list(session.get_providers())
        if used[:1] != [kind.ort_name]:
            found["reason"] = f"ONNX Runtime gave up {kind.title} and used {', '.join(used)} instead."
            return found
        output = session.run(None, {"input": probe_input()})[0]
        started = time.perf_counter()
        session.run(None, {"input": probe_input()})
        found["seconds"] = time.perf_counter() - started
        ran_on = _providers_in_profile(Path(session.end_profiling()))
    if kind.ort_name not in ran_on:
        found["reason"] = f"{kind.title} was accepted, but everything ran on {', '.join(sorted(ran_on))}."
        return found
    true = probe_result()
    found["deviation"] = float(np.abs(output - true).max() / np.abs(true).max())
    if not found["deviation"] <= TOLERANCE:  # written so that "not a number" fails
        found["reason"] = f"{kind.title} computes wrong results (off by {found['deviation']:.2g})."
        return found
    found["works"] = True
    found["reason"] = (
        f"{kind.title} was proved: its result is within {found['deviation']:.1g} of the true one."
    )
    return found


def _providers_in_profile(file: Path) -> set[str]:
    events = json.loads(file.read_text(encoding="utf-8"))
    return {
        event["args"]["provider"]
        for event in events
        if event.get("cat") == "Node" and event.get("args", {}).get("provider")
    }


if __name__ == "__main__":
    print(RESULT_MARK + json.dumps(probe(sys.argv[1])), flush=True)
