"""Categories for errors from anywhere, and the report over many."""

import errno
import sqlite3
from dataclasses import replace
from pathlib import Path

import av
import onnxruntime
import pytest
from PIL import Image
from pydantic import TypeAdapter, ValidationError
from records import DONE

from facefusion import errors
from facefusion.errors import ErrorCategory, FaceFusionError
from facefusion.reports import ErrorAnalyzer, Failure, JobRecord
from facefusion.reports.error_analysis import LABELS, remedy_of

categorize = ErrorAnalyzer().categorize_error


def job(
    name: str, category: str, *, outcome: str = "failed", at: float = 0.0, message: str = "m"
) -> JobRecord:
    return replace(
        DONE,
        job_id=f"{name}-{at}",
        outcome=outcome,  # type: ignore[arg-type]
        target=Path("/in/videos") / name,
        finished_at=at,
        swap=None,
        failure=Failure(category, message, "r") if category else None,
    )


@pytest.mark.parametrize("error_class", FaceFusionError.__subclasses__())
def test_the_programs_own_errors_carry_their_category(error_class: type[FaceFusionError]) -> None:
    assert categorize(error_class("no space left on device, timed out")) is error_class.category


@pytest.mark.parametrize(
    ("error", "category"),
    [
        (MemoryError(), "memory_error"),
        (OSError(errno.ENOSPC, "No space left on device"), "storage_error"),
        (OSError(errno.EROFS, "Read-only file system"), "storage_error"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory_error"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "clip.mp4"), "vanished"),
        (TimeoutError("slow"), "timeout"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "network_error"),
        (sqlite3.OperationalError("database or disk is full"), "storage_error"),
        (av.error.InvalidDataError(1094995529, "Invalid data found when processing input"), "format_error"),
        (av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory"), "memory_error"),
        (Image.DecompressionBombError("too large"), "format_error"),
        (KeyboardInterrupt(), "cancelled"),
        (ValueError("never seen before"), "internal_error"),
    ],
)
def test_errors_of_python_and_its_libraries_are_recognised(error: BaseException, category: str) -> None:
    assert categorize(error) == category


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("[mov,mp4,m4a,3gp,3g2,mj2 @ 0x55] moov atom not found", "format_error"),
        ("av_interleaved_write_frame(): No space left on device", "storage_error"),
        ("[h264 @ 0x55] Invalid NAL unit size (1024 > 512).", "format_error"),
        ("Unknown encoder; unsupported codec", "format_error"),
        ("terminate called after throwing an instance of 'std::bad_alloc'", "memory_error"),
        ("CUDA failure 2: out of memory ; GPU=0", "memory_error"),
        ("CUDA error 100: no CUDA-capable device is detected; driver too old", "provider_error"),
        ("Failed to load library libonnxruntime_providers_cuda.so", "provider_error"),
        ("[ONNXRuntimeError] : 3 : NO_SUCHFILE : Load model from x.onnx failed", "model_missing"),
        ("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got invalid dimensions for input", "engine_error"),
        ("the worker died with exit code -11", "worker_crash"),
        ("Segmentation fault (core dumped)", "worker_crash"),
        ("HTTPSConnectionPool: Max retries exceeded with url", "network_error"),
        ("no progress for 120 s", "timeout"),
        ("No faces found in the source image", "face_detection"),
        ("Source image contains multiple faces", "face_detection"),
        ("model_missing: gfpgan", "model_missing"),
        ("", "internal_error"),
    ],
)
def test_messages_of_codecs_runtimes_and_systems_are_recognised(text: str, category: str) -> None:
    assert categorize(text) == category


def test_a_real_codec_error_is_a_format_error(tmp_path: Path) -> None:
    broken = tmp_path / "text.mp4"
    broken.write_text("this is no video" * 100)
    with pytest.raises(av.error.FFmpegError) as caught:
        av.open(str(broken))
    assert categorize(caught.value) is ErrorCategory.FORMAT


def test_a_real_unreadable_picture_is_a_format_error(tmp_path: Path) -> None:
    broken = tmp_path / "text.jpg"
    broken.write_text("this is no picture")
    with pytest.raises(OSError) as caught:
        Image.open(broken)
    assert categorize(caught.value) is ErrorCategory.FORMAT


def test_a_real_missing_model_is_recognised(tmp_path: Path) -> None:
    with pytest.raises(Exception) as caught:
        onnxruntime.InferenceSession(str(tmp_path / "swap.onnx"), providers=["CPUExecutionProvider"])
    assert categorize(caught.value) is ErrorCategory.MODEL_MISSING


def test_a_real_validation_error_is_a_config_error() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(int).validate_python("x")
    assert categorize(caught.value) is ErrorCategory.CONFIG


def test_the_cause_of_an_unknown_error_counts() -> None:
    try:
        try:
            raise errors.ModelMissingError("gone")
        except errors.ModelMissingError as error:
            raise RuntimeError("the job did not work") from error
    except RuntimeError as error:
        assert categorize(error) is ErrorCategory.MODEL_MISSING


def test_every_category_has_words_and_a_remedy() -> None:
    for category in ErrorCategory:
        assert LABELS[category]
        assert remedy_of(category)


def test_a_report_counts_categories_and_names_the_worst_files() -> None:
    jobs = [
        job("bad.mp4", "format_error", at=1, message="first"),
        job("bad.mp4", "format_error", at=3, message="latest"),
        job("bad.mp4", "timeout", at=2, message="middle"),
        job("other.mp4", "format_error"),
        job("blocked.mp4", "content_blocked", outcome="blocked"),
        job("fine.mp4", "", outcome="done"),
    ]
    report = ErrorAnalyzer().generate_error_report(iter(jobs))
    assert report.total == 5
    assert [(entry.category, entry.count) for entry in report.categories] == [
        ("format_error", 3),
        ("content_blocked", 1),
        ("timeout", 1),
    ]
    assert report.categories[0].share == 0.6
    assert report.recommendations == ("r",), "that of the failures themselves"
    nothing_said = replace(jobs[0], failure=Failure("format_error", "first", ""))
    general = ErrorAnalyzer().generate_error_report([nothing_said])
    assert general.recommendations == (errors.MediaFormatError.default_remedy,)
    assert report.worst_files[0].name == "bad.mp4"
    assert report.worst_files[0].failures == 3
    assert report.worst_files[0].message == "latest"


def test_no_failures_make_an_empty_report() -> None:
    report = ErrorAnalyzer().generate_error_report([])
    assert report.total == 0
    assert report.categories == ()
