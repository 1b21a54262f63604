"""Sorts failures into categories and says what to do about each."""

from __future__ import annotations

import errno
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from facefusion.errors import ErrorCategory, FaceFusionError
from facefusion.reports.documents import readable
from facefusion.reports.records import JobRecord

WORST_FILES = 10
MOST_REMEDIES = 4


@dataclass(frozen=True)
class CategoryCount:
    """How often one category occurred, and what helps against it.

    Attributes:
        remedies: of its failures, most frequent first, at most `MOST_REMEDIES`; where none has one, the
            general advice for the category.
    """

    category: str
    label: str
    count: int
    share: float
    remedies: tuple[str, ...]


@dataclass(frozen=True)
class WorstFile:
    """A target that failed, how often, and why the last time."""

    name: str
    failures: int
    category: str
    message: str


@dataclass(frozen=True)
class ErrorReport:
    """Failures of some period.

    Attributes:
        total: jobs that failed or are held back.
        categories: most frequent first.
        recommendations: the remedies of all categories in their order, each text once.
        worst_files: at most ten, most failures first.
    """

    total: int
    categories: tuple[CategoryCount, ...]
    recommendations: tuple[str, ...]
    worst_files: tuple[WorstFile, ...]

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data for JSON."""
        return asdict(self)


LABELS: Mapping[ErrorCategory, str] = {
    ErrorCategory.MODEL_MISSING: "Model missing",
    ErrorCategory.MEMORY: "Out of memory",
    ErrorCategory.FORMAT: "File damaged or not supported",
    ErrorCategory.FACE_DETECTION: "No usable face in the source",
    ErrorCategory.TIMEOUT: "Took too long",
    ErrorCategory.INPUT: "Unusable file in the inbox",
    ErrorCategory.VANISHED: "File disappeared",
    ErrorCategory.STORAGE: "Disk full or not writable",
    ErrorCategory.CONFIG: "Wrong setting",
    ErrorCategory.POLICY: "Use policy not accepted",
    ErrorCategory.CONTENT: "Refused by the content gate",
    ErrorCategory.CONSENT: "No valid consent of the face",
    ErrorCategory.ENGINE: "Engine failed",
    ErrorCategory.PROVIDER: "Execution provider failed",
    ErrorCategory.WORKER_CRASH: "Worker crashed",
    ErrorCategory.VERIFICATION: "Result failed its check",
    ErrorCategory.SEALING: "Result could not be signed",
    ErrorCategory.NETWORK: "Download failed",
    ErrorCategory.CANCELLED: "Cancelled",
    ErrorCategory.INTERNAL: "Fault of the program",
}


def label_of(category: str) -> str:
    """The words a person reads for a category."""
    try:
        return LABELS[ErrorCategory(category)]
    except ValueError:
        return category.replace("_", " ").capitalize()


def remedy_of(category: str) -> str:
    """The general advice for a category: that of the error class which stands for it."""
    for error_class in FaceFusionError.__subclasses__():
        if error_class.category == category:
            return error_class.default_remedy
    return FaceFusionError.default_remedy


def build_error_report(
    counts: Mapping[tuple[str, str], int], worst_files: Iterable[WorstFile]
) -> ErrorReport:
    """Put counted failures into the form people and programs read.

    Args:
        counts: failures by category and remedy; the remedy may be empty.
        worst_files: as the report names them.
    """
    total = sum(counts.values())
    by_category: Counter[str] = Counter()
    remedies: defaultdict[str, list[str]] = defaultdict(list)
    for (category, remedy), count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        by_category[category] += count
        if remedy:
            remedies[category].append(remedy)
    categories = tuple(
        CategoryCount(
            category,
            label_of(category),
            count,
            round(count / total, 4),
            tuple(remedies[category][:MOST_REMEDIES]) or (remedy_of(category),),
        )
        for category, count in sorted(by_category.items(), key=lambda item: (-item[1], item[0]))
    )
    return ErrorReport(
        total=total,
        categories=categories,
        recommendations=tuple(dict.fromkeys(text for entry in categories for text in entry.remedies)),
        worst_files=tuple(worst_files),
    )


class ErrorAnalyzer:
    """Categories for errors and texts from anywhere, and the report over many failed jobs."""

    def categorize_error(self, error: BaseException | str) -> ErrorCategory:
        """Find the category of an exception or of a message.

        The program's own exceptions carry theirs. Of others first the class is asked, then what caused
        them, then their text; what nobody recognises is `internal_error`.
        """
        if isinstance(error, str):
            return _category_of_text(error) or ErrorCategory.INTERNAL
        seen: set[int] = set()
        current: BaseException | None = error
        while current is not None and id(current) not in seen:
            seen.add(id(current))
            category = _category_of_exception(current) or _category_of_text(str(current))
            if category is not None:
                return category
            current = current.__cause__ or current.__context__
        return ErrorCategory.INTERNAL

    def generate_error_report(self, failed_jobs: Iterable[JobRecord]) -> ErrorReport:
        """Count failures by category and by file; jobs that did not fail are passed over."""
        counts: Counter[tuple[str, str]] = Counter()
        failures: Counter[str] = Counter()
        latest: dict[str, tuple[float, str, str]] = {}
        for job in failed_jobs:
            if job.outcome not in ("failed", "blocked"):
                continue
            category, message = failure_of(job)
            name = readable(job.target.name)
            counts[category, job.failure.remedy if job.failure else ""] += 1
            failures[name] += 1
            if name not in latest or job.finished_at >= latest[name][0]:
                latest[name] = (job.finished_at, category, message)
        worst = (
            WorstFile(name, count, latest[name][1], latest[name][2])
            for name, count in sorted(failures.items(), key=lambda item: (-item[1], item[0]))[:WORST_FILES]
        )
        return build_error_report(counts, worst)


def failure_of(job: JobRecord) -> tuple[str, str]:
    """Category and message of a job that failed."""
    if job.failure is None:
        return str(ErrorCategory.INTERNAL), "No reason was recorded."
    return str(job.failure.category), job.failure.message


_ERRNO: Mapping[int, ErrorCategory] = {
    errno.ENOSPC: ErrorCategory.STORAGE,
    errno.EDQUOT: ErrorCategory.STORAGE,
    errno.EROFS: ErrorCategory.STORAGE,
    errno.EACCES: ErrorCategory.STORAGE,
    errno.EPERM: ErrorCategory.STORAGE,
    errno.EIO: ErrorCategory.STORAGE,
    errno.EFBIG: ErrorCategory.STORAGE,
    errno.ENOMEM: ErrorCategory.MEMORY,
    errno.ENOENT: ErrorCategory.VANISHED,
    errno.ESTALE: ErrorCategory.VANISHED,
    errno.ETIMEDOUT: ErrorCategory.NETWORK,
    errno.ECONNREFUSED: ErrorCategory.NETWORK,
    errno.ECONNRESET: ErrorCategory.NETWORK,
    errno.ENETUNREACH: ErrorCategory.NETWORK,
    errno.EHOSTUNREACH: ErrorCategory.NETWORK,
    errno.ENAMETOOLONG: ErrorCategory.INPUT,
    errno.ELOOP: ErrorCategory.INPUT,
    errno.EISDIR: ErrorCategory.INPUT,
}

_CLASSES: Mapping[str, ErrorCategory] = {
    "builtins.MemoryError": ErrorCategory.MEMORY,
    "builtins.TimeoutError": ErrorCategory.TIMEOUT,
    "builtins.KeyboardInterrupt": ErrorCategory.CANCELLED,
    "concurrent.futures.process.BrokenProcessPool": ErrorCategory.WORKER_CRASH,
    "urllib.error.URLError": ErrorCategory.NETWORK,
    "http.client.HTTPException": ErrorCategory.NETWORK,
    "ssl.SSLError": ErrorCategory.NETWORK,
    "socket.gaierror": ErrorCategory.NETWORK,
    "builtins.ConnectionError": ErrorCategory.NETWORK,
    "pydantic_core._pydantic_core.ValidationError": ErrorCategory.CONFIG,
    "PIL.UnidentifiedImageError": ErrorCategory.FORMAT,
    "PIL.Image.DecompressionBombError": ErrorCategory.FORMAT,
    "av.error.FFmpegError": ErrorCategory.FORMAT,
    "sqlite3.Error": ErrorCategory.STORAGE,
}
"""By qualified name, so that no library has to be imported to recognise its errors."""

_TEXTS: tuple[tuple[ErrorCategory, re.Pattern[str]], ...] = tuple(
    (category, re.compile(pattern, re.IGNORECASE))
    for category, pattern in (
        # Storage comes first: a full disk makes every later step complain in its own words.
        (
            ErrorCategory.STORAGE,
            r"no space left|disk (is )?full|disk quota|read-only file system|\bENOSPC\b"
            r"|database or disk is full|permission denied|not writable",
        ),
        (
            ErrorCategory.MEMORY,
            r"out of memory|(cannot|unable to|failed to) allocate|bad_?alloc|memoryerror|insufficient memory"
            r"|allocate memory for requested buffer|oom[- ]kill|\bOOM\b|cudaErrorMemoryAllocation"
            r"|CUBLAS_STATUS_ALLOC_FAILED|available memory of \d+ is smaller",
        ),
        (
            ErrorCategory.WORKER_CRASH,
            r"segmentation fault|segfault|SIGSEGV|SIGABRT|SIGBUS|SIGILL|core dumped|broken ?process ?pool"
            r"|worker (process )?(died|crashed|was killed|ended)"
            r"|exit(ed)? (code|status|with) (-11|-6|-9|13[49])\b",
        ),
        (
            ErrorCategory.PROVIDER,
            r"execution ?provider|\bCUDA\b.{0,80}\b(error|fail|driver|not (available|found))"
            r"|libcud(art|nn|a)|cudnn|cublas|tensorrt|coreml|openvino|directml|onnxruntime_providers",
        ),
        (
            ErrorCategory.MODEL_MISSING,
            r"\bmodel\b.{0,120}\b(missing|not (found|installed)|does(n't| not) exist|failed to load|checksum)"
            r"|load model from .{0,200} failed|NO_SUCHFILE|INVALID_PROTOBUF|protobuf parsing failed"
            r"|\.(onnx|tflite)\b.{0,80}(no such file|not found|doesn't exist)",
        ),
        (
            ErrorCategory.NETWORK,
            r"connection (refused|reset|aborted|error|timed out)|name or service not known"
            r"|temporary failure in name|network is unreachable|getaddrinfo|certificate verify failed"
            r"|could not (connect|resolve)"
            r"|max retries exceeded|HTTP error [45]\d\d|failed to download|download failed|read timed out",
        ),
        (
            ErrorCategory.TIMEOUT,
            r"timed? ?-?out|deadline exceeded|no progress|took too long|\bstalled\b",
        ),
        (
            ErrorCategory.FACE_DETECTION,
            r"no (usable )?faces?\b|faces? (was |were |is )?not (found|detected)"
            r"|could not (find|detect) (a |any )?faces?|faces? detection failed"
            r"|more than one face|(two|several|multiple|\d+) faces",
        ),
        (
            ErrorCategory.FORMAT,
            r"invalid data found|moov atom not found|could not find codec|unsupported (codec|format|pixel)"
            r"|decoder .{0,40}not found|error while decoding|invalid nal|end of file|truncated|corrupt"
            r"|damaged|cannot identify image|unknown format|not a (video|picture|image)"
            r"|(unable to|could not) open (the )?(file|video|input)|invalid argument"
            r"|no (decodable )?(video|audio) stream",
        ),
        (
            ErrorCategory.VANISHED,
            r"no such file or directory|vanished|was removed|file not found|disappeared",
        ),
        (ErrorCategory.CONFIG, r"validation error for|unknown setting|not valid JSON|automation_config"),
        (ErrorCategory.POLICY, r"use policy"),
        (ErrorCategory.CONTENT, r"content gate|explicit content|nsfw"),
        (ErrorCategory.CANCELLED, r"cancell?ed|keyboardinterrupt|interrupted by (the )?user"),
        (
            ErrorCategory.ENGINE,
            r"onnxruntime|\bONNX\b|tflite|interpreter|non-zero status code|invalid (graph|rank|dimension)"
            r"|shape mismatch|opencv|cv2\.error",
        ),
    )
)


def _category_of_exception(error: BaseException) -> ErrorCategory | None:
    if isinstance(error, FaceFusionError):
        return error.category
    if isinstance(error, OSError) and error.errno is not None and error.errno in _ERRNO:
        return _ERRNO[error.errno]
    for base in type(error).__mro__:
        category = _CLASSES.get(f"{base.__module__}.{base.__qualname__}")
        if category is not None:
            # A library's word for "format" may hide a full disk or missing memory in its text.
            return (_category_of_text(str(error)) if category is ErrorCategory.FORMAT else None) or category
    if type(error).__module__.startswith("onnxruntime"):
        return _category_of_text(f"{type(error).__name__}: {error}") or ErrorCategory.ENGINE
    return None


def _category_of_text(text: str) -> ErrorCategory | None:
    own = re.search(r"\b(" + "|".join(ErrorCategory) + r")\b", text)
    if own:
        return ErrorCategory(own.group(1))
    for category, pattern in _TEXTS:
        if pattern.search(text):
            return category
    return None
