"""Examine the installation and say, for every part, whether it is well and what to do if not.

Rooms are imported when they are examined, so that one that is broken is a finding and not the end of the
examination.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from facefusion.config import AutomationConfig
from facefusion.errors import FaceFusionError, FaceNotFoundError
from facefusion.media.sniff import PICTURE_SUFFIXES
from facefusion.system.device import device_for
from facefusion.system.hardware import detect_gpu_capability, detect_hardware, find_gpus
from facefusion.system.health import SystemHealthMonitor
from facefusion.system.providers import prove_providers
from facefusion.wording import count, duration, size, source_verdict

if TYPE_CHECKING:
    from facefusion.media.probe import MediaInfo

Speeds = Callable[[str, str], Sequence[float]]
"""Pixels per second of earlier jobs, by engine and kind of target (`video`, `photo`, `animation`)."""

_PROGRAM = Path(__file__).resolve().parents[2]
_REINSTALL = "Run `python3 launch_automation.py`; it repairs the installation."
_MODULES = {
    "opencv-python-headless": "cv2",
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "pillow": "PIL.Image",
    "c2pa-python": "c2pa",
}
_ENCODERS = ("libx264", "libx265", "libvpx-vp9", "libsvtav1", "aac", "libopus", "mjpeg", "png")
_DECODERS = ("h264", "hevc", "vp9", "av1", "mpeg4", "prores", "aac", "mp3", "opus")


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: what was examined.
        ok: it is well.
        text: what was found, in a sentence.
        remedy: what to do; empty where nothing needs to be done.
    """

    name: str
    ok: bool
    text: str
    remedy: str = ""


def run_checks(
    config: AutomationConfig,
    *,
    inbox: Path,
    outbox: Path,
    state_dir: Path,
    models_dir: Path,
    used: bool = True,
    targets: Sequence[Path] = (),
    speeds: Speeds = lambda engine, kind: (),
    settings_problem: str | None = None,
    check_folders: Callable[[], object] = lambda: None,
) -> list[Check]:
    """Examine everything that a job needs.

    Args:
        config: the settings in force.
        inbox, outbox: folders of one root.
        state_dir: its private folder.
        models_dir: installed model files.
        used: the program has worked on this root before, so its folders are to be there.
        targets: videos and photos that may be processed; a picture may be meant as a source, too.
        speeds: measured on this root.
        settings_problem: why `config` is not what the settings file says.
        check_folders: raises `ConfigError` where inbox and outbox cannot be what the settings say.

    Returns:
        Findings in an order that puts causes before effects. A check that breaks is a finding itself.
    """
    examinations: list[tuple[str, Callable[[], Check]]] = [
        ("python", check_python),
        ("settings", lambda: check_settings(settings_problem)),
        ("packages", lambda: check_packages(_PROGRAM / "requirements.txt")),
        ("hardware", lambda: check_hardware(outbox)),
        ("folders", lambda: check_places(check_folders, inbox, outbox)),
        ("inbox", lambda: check_inbox(inbox, used=used)),
        ("outbox", lambda: check_writable("outbox", outbox)),
        ("state", lambda: check_writable("state", state_dir)),
        ("disk and memory", lambda: check_resources(outbox, config)),
        ("codecs", check_codecs),
        ("models", lambda: check_models(models_dir)),
        ("engine", lambda: check_engine(models_dir, config)),
        ("providers", lambda: check_providers(state_dir, config)),
        ("hardware encoders", lambda: check_hardware_encoders(config)),
        ("use policy", lambda: check_policy(state_dir, config)),
    ]
    for target in targets:
        examine_target = partial(check_target, target, outbox, models_dir, config, speeds)
        examinations.append(("target", examine_target))
        if target.suffix.lower() in PICTURE_SUFFIXES and target.exists():
            examinations.append(("as a source", partial(check_source, target, models_dir)))
    return [_examine(name, examination) for name, examination in examinations]


def check_python() -> Check:
    """Version of Python, and whether it is the program's own environment."""
    version = platform.python_version()
    if sys.version_info < (3, 11):  # noqa: UP036 - the doctor is asked exactly when this may be so
        return Check("python", False, f"Python {version} is too old.", "Install Python 3.11 or newer.")
    where = "in its own environment" if sys.prefix != sys.base_prefix else "without an environment of its own"
    return Check("python", True, f"Python {version}, {where} ({sys.executable}).")


def check_packages(requirements: Path) -> Check:
    """Whether every required package is there, in an allowed version, and loads."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        lines = requirements.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        return Check("packages", False, f"{requirements.name} cannot be read ({error.strerror}).", _REINSTALL)
    problems, modules = [], []
    for line in lines:
        text = line.split("#")[0].strip()
        if not text or text.startswith("-"):
            continue
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            problems.append(f"{requirements.name}: {text!r} is not understood")
            continue
        if wanted.marker and not wanted.marker.evaluate():
            continue
        installed = _installed_version(wanted.name)
        if installed is None:
            problems.append(f"{wanted.name} is not installed")
        elif not wanted.specifier.contains(installed, prereleases=True):
            problems.append(f"{wanted.name} is {installed}, wanted is {wanted.specifier}")
        else:
            modules.append(_MODULES.get(wanted.name, wanted.name.replace("-", "_")))
    problems += _unloadable(modules)
    if problems:
        return Check("packages", False, "; ".join(problems) + ".", _REINSTALL)
    return Check("packages", True, f"All {len(modules)} required packages are there and load.")


def check_settings(problem: str | None) -> Check:
    """Whether the settings in force are those of the file."""
    if problem is None:
        return Check("settings", True, "The settings are understood.")
    remedy = "Correct it; everything else here was examined with the default settings."
    return Check("settings", False, problem, remedy)


def check_places(check: Callable[[], object], inbox: Path, outbox: Path) -> Check:
    """Whether inbox and outbox can be where the settings put them, by the rule that a start goes by."""
    check()
    return Check("folders", True, f"{inbox} and {outbox} are two separate folders.")


def check_hardware(folder: Path) -> Check:
    """What the machine has; a finding that is always well."""
    report = detect_hardware(folder)
    capability = detect_gpu_capability(report.gpus)
    text = (
        f"{report.cpu_name}, {report.usable_cores} usable cores, "
        f"{size(report.memory_total)} of memory. {capability.reason}"
    )
    drivers = dict.fromkeys(f"Driver {gpu.driver}." for gpu in report.gpus if gpu.driver)
    return Check("hardware", True, " ".join([text, *drivers, *report.notes]))


def check_inbox(folder: Path, *, used: bool = True) -> Check:
    """Whether the inbox can be read; before the first start it need not be there."""
    try:
        with os.scandir(folder) as entries:
            next(entries, None)
    except FileNotFoundError:
        if not used:
            return Check("inbox", True, f"There is no inbox at {folder} yet; the first start makes it.")
        remedy = "Bring it back (is its disk mounted?), or set `inbox` in automation_config.json."
        return Check("inbox", False, f"{folder} does not exist any more.", remedy)
    except OSError as error:
        return Check("inbox", False, f"{folder} cannot be read ({error.strerror}).", "Make it readable.")
    return Check("inbox", True, f"{folder} can be read.")


def check_writable(name: str, folder: Path) -> Check:
    """Whether files can be made in a folder (or the folder itself, where it does not exist yet)."""
    existing = folder.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    try:
        with tempfile.NamedTemporaryFile(dir=existing, prefix=".doctor-"):
            pass
    except OSError as error:
        return Check(
            name,
            False,
            f"{folder} cannot be written ({error.strerror}).",
            "Make it writable, or choose another folder in automation_config.json.",
        )
    return Check(name, True, f"{folder} can be written.")


def check_resources(outbox: Path, config: AutomationConfig) -> Check:
    """Free disk and memory."""
    resources = SystemHealthMonitor(outbox, limits=config.limits).check_system_resources()
    text = f"{size(resources.disk_free)} of disk and {size(resources.memory_available)} of memory are free."
    if resources.healthy:
        return Check("disk and memory", True, text)
    remedy = "Free some space, close other programs, or change `limits` in automation_config.json."
    return Check("disk and memory", False, " ".join(resources.problems), remedy)


def check_codecs() -> Check:
    """Whether the codecs are there, proved by encoding and decoding a few pictures."""
    import av
    import av.codec
    import numpy as np

    missing = [f"encoder {name}" for name in _ENCODERS if not _has_codec(name, "w")]
    missing += [f"decoder {name}" for name in _DECODERS if not _has_codec(name, "r")]
    if missing:
        return Check("codecs", False, f"Missing: {', '.join(missing)}.", _REINSTALL)
    buffer = io.BytesIO()
    with av.open(buffer, mode="w", format="mp4") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for shade in (0, 128, 255):
            picture = np.full((48, 64, 3), shade, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer, mode="r") as written:
        count = len(list(written.decode(video=0)))
    if count != 3:
        return Check("codecs", False, f"Of 3 encoded pictures {count} came back.", _REINSTALL)
    return Check("codecs", True, f"Codecs encode and decode (PyAV {av.__version__}).")


def check_models(folder: Path) -> Check:
    """Whether the embedded engine's models are there, and no installed model is damaged."""
    from facefusion.models import ModelManager

    statuses = ModelManager(folder).check()
    bad = [status.text for status in statuses if status.state == "damaged"]
    missing = [
        status.text for status in statuses if status.state == "missing" and "mesh" in status.model.needed_by
    ]
    if bad or missing:
        return Check(
            "models",
            False,
            " ".join([*bad, *missing]),
            "Run `python3 simple_auto_processor.py models install`.",
        )
    installed = [status.model.name for status in statuses if status.state == "ok"]
    return Check("models", True, f"{len(installed)} models are installed and intact: {', '.join(installed)}.")


def check_engine(folder: Path, config: AutomationConfig) -> Check:
    """Which engine will run with these settings, and what of them it does without."""
    from facefusion.models import ModelManager
    from facefusion.swap.plan import plan_engine

    planned = plan_engine(config, ModelManager(folder))
    return Check("engine", True, " ".join([f"{planned.engine}: {planned.why}.", *planned.remarks]))


def check_hardware_encoders(config: AutomationConfig) -> Check:
    """Which encoders of the graphics processor really work; a finding that is always well."""
    from facefusion.media.hardware import survey

    return Check("hardware encoders", True, survey(config))


def check_providers(state_dir: Path, config: AutomationConfig) -> Check:
    """Which execution provider really works, proved afresh."""
    report = prove_providers(config.execution_providers, state_dir=state_dir, gpus=find_gpus(), afresh=True)
    reasons = [f"`{verdict.name}`: {verdict.reason}" for verdict in report.refused]
    _, lacking = device_for(report.chosen.name)
    said = [report.chosen.reason, *([lacking] if lacking else [])]
    text = " ".join([*said, *(["Not used:"] if reasons else []), *reasons])
    if report.warnings:
        return Check("providers", False, " ".join(report.warnings), 'Set `execution_providers` to ["auto"].')
    return Check("providers", True, text)


def check_policy(state_dir: Path, config: AutomationConfig) -> Check:
    """Whether the use policy is accepted."""
    from facefusion.trust import policy

    if policy.is_accepted(state_dir, config):
        return Check("use policy", True, f"Version {policy.CURRENT_VERSION} is accepted.")
    remedy = policy.not_accepted(state_dir).remedy
    return Check("use policy", False, "Not accepted; every job waits for it.", remedy)


def check_target(
    file: Path, outbox: Path, models_dir: Path, config: AutomationConfig, speeds: Speeds
) -> Check:
    """What a video or photo is, how its result is written, and whether and how fast that can be done here."""
    from facefusion.media.plan import plan_output
    from facefusion.media.probe import probe
    from facefusion.models import ModelManager
    from facefusion.resuming import worth_keeping
    from facefusion.swap.plan import plan_engine

    if not file.exists():
        return Check("target", False, f"{file} is not there.", "Check its name and folder.")
    info = probe(file)
    plan = plan_output(info, config)
    engine = plan_engine(config, ModelManager(models_dir)).engine
    capacity = SystemHealthMonitor(outbox, limits=config.limits).estimate_processing_capacity(
        info,
        in_parts=plan.encode is not None and worth_keeping(info, plan.encode.gop),
        pixels_per_second=speeds(engine, info.kind),
    )
    written = f"Result: {plan.container}" + (f", {plan.encode.encoder}." if plan.encode else ".")
    text = " ".join([f"{file.name}: {_told(info)}. {written}", *plan.warnings, capacity.text])
    if capacity.possible:
        return Check("target", True, text)
    remedy = "Free some space, or close other programs."
    return Check("target", False, text, remedy)


def check_source(picture: Path, models_dir: Path) -> Check:
    """Whether a face can be taken from a picture, and what a better one would have."""
    from facefusion.faces.detect import FaceDetector
    from facefusion.faces.landmarks import Landmarker
    from facefusion.faces.portrait import read_portraits

    found = read_portraits([picture], FaceDetector(models_dir), Landmarker(models_dir))
    if not found.usable:
        told = " ".join([f"{picture.name} cannot be the picture of a face.", *found.warnings])
        return Check("as a source", False, told, FaceNotFoundError.default_remedy)
    flaws = "; ".join(flaw.short for flaw in found.flaws[0])
    return Check("as a source", True, f"{picture.name}: {source_verdict(flaws)}.")


def _told(info: MediaInfo) -> str:
    facts = [info.kind, f"{info.width}x{info.height}", info.codec or info.container]
    if info.kind != "photo":
        facts += [count(info.frames, "frame")] if info.frames else []
        facts += [duration(info.duration)] if info.duration else []
    return ", ".join(facts)


def _examine(name: str, examination: Callable[[], Check]) -> Check:
    try:
        return examination()
    except FaceFusionError as error:
        return Check(name, False, error.message, error.remedy)
    except Exception as error:  # an examination that breaks is what the person needs to hear about
        return Check(name, False, f"The check failed: {type(error).__name__}: {error}", _REINSTALL)


def _installed_version(name: str) -> str | None:
    # The accelerated builds of ONNX Runtime take the place of the plain one under names of their own.
    alternatives = {"onnxruntime": ["onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino"]}
    for candidate in [name, *alternatives.get(name, [])]:
        try:
            return importlib.metadata.version(candidate)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _unloadable(modules: list[str]) -> list[str]:
    """Import each module in a process of its own (a library may crash, and leaves its threads behind)."""
    program = (
        "import importlib, json, sys\n"
        "problems = []\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n"
        "        importlib.import_module(name)\n"
        "    except Exception as error:\n"
        "        problems.append(f'{name} does not load ({error})')\n"
        "print('\\n' + json.dumps(problems))\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program, *modules],
        env=os.environ | {"ORT_DISABLE_TELEMETRY": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if answer.returncode != 0:
        return [f"a package crashes while it loads (status {answer.returncode})"]
    problems: list[str] = json.loads(answer.stdout.splitlines()[-1])
    return problems


def _has_codec(name: str, mode: str) -> bool:
    import av.codec

    try:
        av.codec.Codec(name, mode)  # type: ignore[arg-type]
    except ValueError:  # PyAV's UnknownCodecError
        return False
    return True
