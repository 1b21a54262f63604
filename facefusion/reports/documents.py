"""The report beside every result, and the one for every failure.

Both are one JSON object with `"schema": 1`. Keys are only ever added; a change of meaning raises the number.

    schema          1
    kind            "result" | "failure"
    job_id          identifies the job in the queue
    outcome         "done" | "no_face" | "failed" | "blocked" | "cancelled"
    target          {"name", "path", "kind", "sha256", "bytes"}
    face            {"name", "files", "sha256"}
    output          {"name", "path"}, or null when nothing was published
    quality_preset  "fast" | "balanced" | "best"
    attempts        how often the job was tried
    queued_at, started_at, finished_at    ISO 8601 in UTC, to the millisecond; started_at may be null
    seconds         the work itself, without waiting in the queue
    frames_per_second   frames written by `seconds`; null where nothing was written
    provenance      {"result_id", "manifest_id", "signer", "layers": {"content_credentials": "embedded" or
                    "sidecar", "metadata_label", "invisible_mark"}, "sidecar": name of the file beside the
                    output, or null}; null where there is no output
    consent         {"basis", "scope", "expires"} as the operator states it for the face, or null
    gate            what the content gate looked at and found; null where the job never came that far
    swap            what was really done (`facefusion.pipeline.SwapResult`): engine, provider, models by
                    SHA-256, frames, frames_swapped, tracks, timings in seconds by stage, media, left_out
                    (processors of the quality preset that no installed model serves: information),
                    resumed ({"frame", "seconds_before"} where the work went on after an interruption, else
                    null); null where the job never came that far
    warnings        everything else done differently from what was asked, in sentences
    failure         {"category", "message", "remedy", "detail"}, or null

Names that are no valid Unicode are written with `\\xNN` for each byte that cannot be decoded.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from facefusion.errors import StorageError
from facefusion.reports.records import JobRecord
from facefusion.trust.privacy import share
from facefusion.trust.sidecars import has_sidecar, sidecar_of

SCHEMA = 1
TEMPORARY_PREFIX = ".report-"
"""Unfinished report files begin like this (and end in `.part`); whoever tidies a folder may delete them."""


def write_result_report(record: JobRecord, path: Path) -> None:
    """Write the report of a job that ended as it should (`done` or `no_face`), replacing `path` atomically.

    Raises:
        StorageError: the folder is full, read-only or gone.
    """
    write_json(_document("result", record), path)


def write_failure_report(record: JobRecord, path: Path) -> None:
    """Write the report of a job that ended without a result, replacing `path` atomically.

    Raises:
        StorageError: the folder is full, read-only or gone.
    """
    write_json(_document("failure", record), path)


def write_json(document: Mapping[str, Any], path: Path) -> None:
    """Write one JSON object, indented, so that `path` is at every moment the old or the new whole.

    Raises:
        StorageError: the folder is full, read-only or gone.
    """
    write_text(json.dumps(document, indent=2, ensure_ascii=False, default=_plain) + "\n", path)


def write_text(text: str, path: Path) -> None:
    """Write UTF-8 text so that `path` is at every moment the old or the new whole, also after a power cut.

    Raises:
        StorageError: the folder is full, read-only or gone.
    """
    # A name of its own, because a result's name may already use all 255 bytes a name can have.
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("x", encoding="utf-8", errors="backslashreplace", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        share(temporary)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # the folder itself may be gone
            temporary.unlink(missing_ok=True)
        raise StorageError(f"{readable(path)} cannot be written: {error.strerror or error}.") from error


def iso_time(seconds: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC, to the millisecond: `2025-03-01T09:30:00.250Z`."""
    if seconds is None:
        return None
    moment = datetime.fromtimestamp(round(seconds, 3), UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def readable(path: Path | str) -> str:
    """A file name as valid Unicode; each byte that is none is written as `\\xNN`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def all_warnings(record: JobRecord) -> tuple[str, ...]:
    """The warnings of the queue and of the pipeline, each once, in order."""
    swapped: Iterable[str] = (record.swap or {}).get("warnings", ())
    return tuple(dict.fromkeys((*record.warnings, *swapped)))


def frames_per_second(record: JobRecord) -> float | None:
    """Frames written by seconds of work, over the whole job; None where nothing was written."""
    frames = int((record.swap or {}).get("frames", 0) or 0)
    return round(frames / record.seconds, 2) if frames and record.seconds > 0 else None


def _document(kind: Literal["result", "failure"], record: JobRecord) -> dict[str, Any]:
    failure = record.failure
    swap = dict(record.swap or {})
    provenance, gate, consent = (swap.pop(key, None) for key in ("provenance", "gate", "consent"))
    return {
        "schema": SCHEMA,
        "kind": kind,
        "job_id": record.job_id,
        "outcome": record.outcome,
        "target": {
            "name": readable(record.target.name),
            "path": readable(record.target),
            "kind": record.target_kind,
            "sha256": record.target_sha256,
            "bytes": record.target_bytes,
        },
        "face": {
            "name": readable(record.face_name),
            "files": [readable(file) for file in record.face_files],
            "sha256": record.face_sha256,
        },
        "output": None
        if record.output is None
        else {"name": readable(record.output.name), "path": readable(record.output)},
        "quality_preset": record.quality_preset,
        "attempts": record.attempts,
        "queued_at": iso_time(record.queued_at),
        "started_at": iso_time(record.started_at),
        "finished_at": iso_time(record.finished_at),
        "seconds": round(record.seconds, 3),
        "frames_per_second": frames_per_second(record),
        "provenance": _provenance(provenance, record.output),
        "gate": gate,
        "consent": consent,
        "swap": swap or None,
        "warnings": list(all_warnings(record)),
        "failure": None
        if failure is None
        else {
            "category": str(failure.category),
            "message": failure.message,
            "remedy": failure.remedy,
            "detail": failure.detail,
        },
    }


def _provenance(provenance: Mapping[str, Any] | None, output: Path | None) -> dict[str, Any] | None:
    if provenance is None or output is None:
        return None
    sidecar = readable(sidecar_of(output).name) if has_sidecar(provenance) else None
    return {**provenance, "sidecar": sidecar}


def _plain(value: object) -> Any:
    """What JSON has no word for: paths, tuples in mappings, NumPy scalars."""
    if isinstance(value, os.PathLike):
        return readable(os.fspath(value))
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable):
        return list(value)
    if hasattr(value, "item"):
        return value.item()
    return str(value)
