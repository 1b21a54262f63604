"""Video encoders of the graphics processor: used where they are proved to work here, else the software's.

A driver that lists an encoder may refuse it, crash, or write a black picture. So a few pictures of the very
size and pixel format are encoded and read back first, in a process of their own; the answer is remembered for
as long as this process lives. `auto` takes an encoder only if it was also the faster one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from facefusion.config import AutomationConfig
from facefusion.errors import EngineError
from facefusion.media.encoders import HARDWARE, EncodeSettings, quality_to_crf
from facefusion.media.hardware_probe import RESULT_MARK
from facefusion.media.plan import OutputPlan
from facefusion.media.probe import MediaInfo
from facefusion.media.trial import Alive, answer_of

_PACKED = {"yuv420p": "nv12", "yuv420p10le": "p010le"}


@dataclass(frozen=True)
class Proof:
    """Whether an encoder works here.

    Attributes:
        works: pictures came back, in the right number, and look right.
        reason: what was found, in a sentence.
        seconds: per picture.
        software_seconds: of the software encoder that it would replace, per picture.
        in_a_job: it was in a job that it failed, after it had been proved.
    """

    works: bool
    reason: str
    seconds: float = 0.0
    software_seconds: float = 0.0
    in_a_job: bool = False

    @property
    def faster(self) -> bool:
        """It works, and takes less time than the software."""
        return self.works and self.seconds < self.software_seconds


@dataclass(frozen=True)
class Trial:
    """What is to be proved: an encoder with its settings, against the software's."""

    hardware: EncodeSettings
    software: EncodeSettings
    width: int
    height: int
    threads: int


Prove = Callable[[Trial], Proof]
_known: dict[tuple[str, str, int, int], Proof] = {}
_lock = threading.Lock()


def accelerated(
    plan: OutputPlan,
    info: MediaInfo,
    config: AutomationConfig,
    *,
    threads: int = 1,
    again: bool = False,
    prove: Prove | None = None,
    alive: Alive = lambda: None,
) -> OutputPlan:
    """The plan with the graphics processor's encoder, where the settings ask for one and it works.

    Args:
        plan: made for a software encoder.
        info: the target.
        config: the settings in force.
        threads: that the software encoder would have.
        again: an earlier attempt has failed; the software is used, and that is said where a device would be.
        prove: another way to prove an encoder (tests).
        alive: called again and again while an encoder is proved; may raise to stop.

    Returns:
        `plan` itself where nothing is to be gained; with a sentence in `warnings` where a device was asked
        for by name and is not used.
    """
    wanted = config.output.hardware_encoder
    if plan.encode is None or wanted == "off":
        return plan
    named = wanted != "auto"
    reasons: list[str] = []
    for device in HARDWARE.values():
        if (named and device.name != wanted) or not (named or device.present()):
            continue
        settings = _settings(plan.encode, device.encoders.get(plan.encode.encoder, ""), plan, info, config)
        if isinstance(settings, str):
            reasons.append(settings)
            continue
        trial = Trial(settings, plan.encode, plan.width, plan.height, threads)
        proof = prove(trial) if prove else proved(trial, alive)
        usable = proof.works if named else proof.faster
        if again and (usable or proof.in_a_job):
            software = plan.encode.encoder
            note = f"An earlier attempt failed; so {software} writes the video, not {settings.encoder}."
            return replace(plan, warnings=(*plan.warnings, note))
        if usable:
            return replace(plan, encode=settings)
        reasons.append(f"{settings.encoder} {proof.reason}")
    if not named:
        return plan
    why = "; ".join(reasons)
    note = f"{HARDWARE[wanted].title} is not used ({why}); {plan.encode.encoder} writes the video."
    return replace(plan, warnings=(*plan.warnings, note))


def _settings(
    software: EncodeSettings, name: str, plan: OutputPlan, info: MediaInfo, config: AutomationConfig
) -> EncodeSettings | str:
    """The device's settings for what `software` would write; or why it cannot write that."""
    if not name:
        return f"it has no encoder in the place of {software.encoder}"
    if software.pix_fmt not in _PACKED or (software.pix_fmt != "yuv420p" and name.startswith("h264")):
        return f"{name} does not write {software.pix_fmt}"
    if info.interlaced:
        return f"{name} does not write interlaced video"
    if software.hdr:
        return f"{name} cannot store the HDR mastering data"
    if plan.width % 2 or plan.height % 2:
        return f"{name} does not write odd sizes"
    crf = quality_to_crf(config.profile.video_quality, software.encoder)
    return replace(software, encoder=name, pix_fmt=_PACKED[software.pix_fmt], crf=crf)


def proved(trial: Trial, alive: Alive = lambda: None) -> Proof:
    """Prove an encoder in a process of its own, once for each size and format.

    One that failed twice and never worked is not asked again. `alive` is called meanwhile and may raise.
    """
    name = trial.hardware.encoder
    key = (name, trial.hardware.pix_fmt, trial.width, trial.height)
    with _lock:
        if key not in _known:
            before = [proof for (known, *_), proof in _known.items() if known == name]
            hopeless = len(before) > 1 and not any(proof.works for proof in before)
            _known[key] = before[-1] if hopeless else _ask(trial, alive)
        return _known[key]


def survey(config: AutomationConfig) -> str:
    """What the devices of this machine can do at 1280x720 and 8 bit, proved, in sentences (for `doctor`)."""
    wanted = config.output.hardware_encoder
    if wanted == "off":
        return "Encoders of graphics processors are switched off in the settings."
    sentences = []
    for device in HARDWARE.values():
        if not (device.name == wanted or (wanted == "auto" and device.present())):
            continue
        for software, name in device.encoders.items():
            quality = quality_to_crf(config.profile.video_quality, software)
            rival = EncodeSettings(software, "yuv420p", quality, config.profile.encoder_preset, 250)
            trial = Trial(replace(rival, encoder=name, pix_fmt="nv12"), rival, 1280, 720, 1)
            proof = proved(trial)
            own, other = 1e3 * proof.seconds, 1e3 * proof.software_seconds
            speed = f": {own:.1f} ms a picture ({software}: {other:.1f} ms)" if proof.works else ""
            sentences.append(f"{name} {proof.reason}{speed}.")
    return " ".join(sentences) or "No encoder of a graphics processor is in sight."


def known() -> dict[str, Proof]:
    """What was proved in this process, by encoder, format and size in words."""
    with _lock:
        return {
            f"{name} {pix_fmt} {width}x{height}": p for (name, pix_fmt, width, height), p in _known.items()
        }


def refused(settings: EncodeSettings, width: int, height: int, cause: Exception) -> EngineError:
    """The error of an encoder that was proved and fails in a job; from here on it does not work."""
    key = (settings.encoder, settings.pix_fmt, width, height)
    with _lock:
        _known[key] = Proof(False, f"failed in a job ({cause})", in_a_job=True)
    return EngineError(
        f"{settings.encoder} failed ({cause}).",
        remedy='The next attempt uses the software. Set `output.hardware_encoder` to "off" to stay there.',
    )


def _ask(trial: Trial, alive: Alive) -> Proof:
    questions = {
        "hardware": _question(trial.hardware, trial),
        "software": _question(trial.software, trial),
        "width": trial.width,
        "height": trial.height,
        "threads": trial.threads,
    }
    answer = answer_of("facefusion.media.hardware_probe", RESULT_MARK, questions, alive)
    return Proof(False, answer) if isinstance(answer, str) else Proof(**answer)


def _question(settings: EncodeSettings, trial: Trial) -> dict[str, Any]:
    return {
        "encoder": settings.encoder,
        "pix_fmt": settings.pix_fmt,
        "options": settings.options(trial.threads, trial.width * trial.height),
    }
