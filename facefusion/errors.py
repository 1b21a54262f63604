"""The one exception hierarchy.

Every failure that a person can meet has a class here. The class knows its *category* (what analytics
count), its *remedy* (what the person can do) and whether trying again can help (`retryable`). Code raises
the most precise class and says in the message what happened to which file; nobody else has to translate.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class ErrorCategory(StrEnum):
    """What kind of thing went wrong, as counted in reports."""

    MODEL_MISSING = "model_missing"
    MEMORY = "memory_error"
    FORMAT = "format_error"
    FACE_DETECTION = "face_detection"
    TIMEOUT = "timeout"
    INPUT = "input_error"
    VANISHED = "vanished"
    STORAGE = "storage_error"
    CONFIG = "config_error"
    POLICY = "policy_blocked"
    CONTENT = "content_blocked"
    CONSENT = "consent_blocked"
    ENGINE = "engine_error"
    PROVIDER = "provider_error"
    WORKER_CRASH = "worker_crash"
    VERIFICATION = "verification_error"
    SEALING = "sealing_error"
    NETWORK = "network_error"
    CANCELLED = "cancelled"
    INTERNAL = "internal_error"


class FaceFusionError(Exception):
    """Base of everything the program raises on purpose.

    Args:
        message: what happened, to which file or setting, in a sentence a person understands.
        remedy: overrides the class's own advice where the situation allows a better one.
        detail: facts for records, in a few words.
    """

    category: ClassVar[ErrorCategory] = ErrorCategory.INTERNAL
    default_remedy: ClassVar[str] = (
        "This is a fault of the program. Please report it together with the failure report."
    )
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, remedy: str | None = None, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy or self.default_remedy
        self.detail = detail


class ConfigError(FaceFusionError):
    """A setting is wrong; the message names key, value and what is allowed."""

    category = ErrorCategory.CONFIG
    default_remedy = "Correct it in automation_config.json."


class ModelMissingError(FaceFusionError):
    """A model file is not installed, or is not the file it should be."""

    category = ErrorCategory.MODEL_MISSING
    default_remedy = "Run `python3 simple_auto_processor.py models install`, then drop the file again."


class LicenceNotAcceptedError(ModelMissingError):
    """A model would be installed, but its licence has not been accepted."""


class OutOfMemoryError(FaceFusionError):
    """Main or device memory ran out."""

    category = ErrorCategory.MEMORY
    default_remedy = "Close other programs, or choose the profile `fast`, or set `workers` to 1."
    retryable = True


class MediaFormatError(FaceFusionError):
    """The file is damaged, or of a kind that cannot be read or written faithfully."""

    category = ErrorCategory.FORMAT
    default_remedy = "Open the file in a player; if it does not play there either, export or copy it again."


class FaceNotFoundError(FaceFusionError):
    """The source picture shows no usable face."""

    category = ErrorCategory.FACE_DETECTION
    default_remedy = "Use a sharp, well lit picture in which one face looks towards the camera."


class JobTimeoutError(FaceFusionError):
    """A job made no progress, or took longer than allowed."""

    category = ErrorCategory.TIMEOUT
    default_remedy = "Drop the file again; if it happens every time, raise `limits.stall_seconds`."
    retryable = True


class InputFileError(FaceFusionError):
    """Something in the inbox may not be processed (link, device, unreadable, unusable name)."""

    category = ErrorCategory.INPUT
    default_remedy = "Copy the file itself, readable and under an ordinary name, into the inbox."


class VanishedError(FaceFusionError):
    """The file was removed or replaced while it was being used."""

    category = ErrorCategory.VANISHED
    default_remedy = "Put the file back into the inbox."


class StorageError(FaceFusionError):
    """Disk full, folder read-only or gone."""

    category = ErrorCategory.STORAGE
    default_remedy = "Free some space, or make the folder writable; work goes on by itself."
    retryable = True


class PolicyNotAcceptedError(FaceFusionError):
    """The use policy has not been accepted for this installation."""

    category = ErrorCategory.POLICY
    default_remedy = (
        "Run `python3 launch_automation.py` and accept the use policy, or start with --accept-use-policy 1."
    )


class ContentBlockedError(FaceFusionError):
    """The content gate refused the file, or could not examine it."""

    category = ErrorCategory.CONTENT
    default_remedy = "This material is not processed."


class ConsentError(FaceFusionError):
    """The consent file of a face has expired, cannot be understood, or is missing where one is required."""

    category = ErrorCategory.CONSENT
    default_remedy = "Correct the face's .consent.toml; work goes on by itself (docs/trust.md describes it)."


class EngineError(FaceFusionError):
    """The swap engine failed on this input."""

    category = ErrorCategory.ENGINE
    retryable = True


class ProviderError(FaceFusionError):
    """An execution provider was asked for and does not work here."""

    category = ErrorCategory.PROVIDER
    default_remedy = 'Set `execution_providers` to ["auto"], or run `simple_auto_processor.py doctor`.'


class WorkerCrashError(FaceFusionError):
    """The worker process died while it ran the job."""

    category = ErrorCategory.WORKER_CRASH
    default_remedy = (
        "The file made a codec or the engine crash. Convert it to H.264 in mp4 and drop it again; "
        "if memory is short, close other programs."
    )
    retryable = True


class VerificationError(FaceFusionError):
    """The finished file was opened again and is not what it should be; it was not published."""

    category = ErrorCategory.VERIFICATION
    default_remedy = "Drop the file again; if it happens every time, convert it to H.264 in mp4 first."
    retryable = True


class SealingError(FaceFusionError):
    """The result could not be marked and signed, or the signature does not hold; it was not published."""

    category = ErrorCategory.SEALING
    default_remedy = "Drop the file again; if it happens every time, choose another `output.container`."
    retryable = True


class NetworkError(FaceFusionError):
    """A download failed."""

    category = ErrorCategory.NETWORK
    default_remedy = "Check the connection or the proxy settings and start again; downloads are resumed."
    retryable = True


class CancelledError(FaceFusionError):
    """The job was stopped on request (shutdown, `cancel`). Never counted as an attempt."""

    category = ErrorCategory.CANCELLED
    default_remedy = "Drop the file again, or run `simple_auto_processor.py retry` with the job's number."
