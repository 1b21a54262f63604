"""An installed swap model is used without being told to; and the report says what really ran."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
import pytest

from facefusion.config import AutomationConfig, parse_config
from facefusion.errors import ConfigError, ModelMissingError
from facefusion.pipeline import SwapProgress, SwapRequest, SwapResult, SwapSession

if TYPE_CHECKING:
    from facefusion.models.samples import Samples

REPOSITORY = Path(__file__).resolve().parents[2]
Install = Callable[..., Path]


def config(**settings: Any) -> AutomationConfig:
    return parse_config(json.dumps({"quality_preset": "fast", "execution_providers": ["cpu"], **settings}))


def unexpected(result: SwapResult) -> list[str]:
    """Warnings that are not about the quality of the sample pictures."""
    about_samples = ("look soft", "larger faces get soft ones", "faces; the largest", "several faces")
    return [w for w in result.warnings if not any(words in w for words in about_samples)]


def no_progress(_: SwapProgress) -> None:
    pass


def swap(
    session: SwapSession, folder: Path, target: Path, faces: list[Path], settings: AutomationConfig
) -> tuple[SwapResult, Path]:
    output = folder / f"result{len(list(folder.glob('result*')))}{target.suffix}"
    request = SwapRequest(target, tuple(faces), "digest", output, settings)
    return session.swap(request, no_progress, lambda: False), output


@pytest.fixture
def session(install: Install) -> SwapSession:
    return SwapSession(install("inswapper_128", "arcface_w600k_r50"), threads=2)


@pytest.fixture(scope="module")
def clip(samples: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from facefusion.checkup.benchmark_media import make_clip

    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    make_clip(samples.astronaut, path, width=320, height=240, frames=8)
    return path


def test_a_photo_is_swapped_by_the_installed_model(
    session: SwapSession, samples: Samples, tmp_path: Path
) -> None:
    result, output = swap(session, tmp_path, samples.group, [samples.astronaut], config())
    assert result.engine == "neural"
    assert result.provider == "ONNX Runtime (CPU)"
    assert {"inswapper_128.onnx", "arcface_w600k_r50.onnx", "face_landmark_with_attention.tflite"} <= set(
        result.models
    )
    assert all(len(digest) == 64 for digest in result.models.values())
    assert result.outcome == "done" and unexpected(result) == []
    before, after = (cv2.imread(str(path)).astype(int) for path in (samples.group, output))
    changed = np.abs(after - before).max(axis=2) > 12
    assert 0.001 < changed.mean() < 0.05  # one face of six, and nothing else


@pytest.mark.parametrize(("certainty", "moved"), [(0.9, True), (0.1, False)])
def test_an_installed_landmark_model_places_the_crops_where_it_is_sure(
    certainty: float, moved: bool, install: Install, samples: Samples, tmp_path: Path
) -> None:
    """The marks say that the face stands a quarter of the crop farther to the right."""
    marks = np.full((1, 68, 3), certainty, np.float32)
    marks[0, 36:42, :2], marks[0, 42:48, :2], marks[0, 30, :2] = (40, 26), (56, 26), (48, 33)
    marks[0, 48, :2], marks[0, 54, :2] = (42, 42), (54, 42)
    places = []
    for further in ((), ("2dfan4",)):
        changes = {"marks": marks} if further else None
        folder = install(*(further or ("inswapper_128", "arcface_w600k_r50")), changes=changes)
        session = SwapSession(folder, threads=2)
        result, output = swap(session, tmp_path, samples.astronaut, [samples.astronaut], config())
        assert ("2dfan4.onnx" in result.models) == bool(further)
        before, after = (cv2.imread(str(path)).astype(int) for path in (samples.astronaut, output))
        places.append(float(np.argwhere(np.abs(after - before).max(axis=2) > 12)[:, 1].mean()))
    plain, with_marks = places
    assert (with_marks - plain > 20) if moved else (abs(with_marks - plain) < 1)


def test_every_frame_of_a_video_is_swapped(
    session: SwapSession, samples: Samples, tmp_path: Path, clip: Path
) -> None:
    result, output = swap(session, tmp_path, clip, [samples.astronaut], config())
    assert (result.engine, result.frames) == ("neural", 8)
    assert result.frames_swapped >= 6
    with av.open(str(output)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 8


def test_without_a_swap_model_the_mesh_engine_runs_without_a_word(
    install: Install, samples: Samples, tmp_path: Path
) -> None:
    session = SwapSession(install(), threads=2)
    result, _ = swap(session, tmp_path, samples.group, [samples.astronaut], config())
    assert (result.engine, unexpected(result)) == ("mesh", [])


def test_a_swapper_without_a_recogniser_is_said(install: Install, samples: Samples, tmp_path: Path) -> None:
    session = SwapSession(install("inswapper_128"), threads=2)
    result, _ = swap(session, tmp_path, samples.group, [samples.astronaut], config())
    assert result.engine == "mesh"
    assert "needs a recogniser" in result.warnings[0] and "mesh engine" in result.warnings[0]


def test_a_damaged_swapper_is_not_used(install: Install, samples: Samples, tmp_path: Path) -> None:
    folder = install("inswapper_128", "arcface_w600k_r50")
    with (folder / "inswapper_128.onnx").open("r+b") as file:
        file.seek(1000)
        file.write(b"\0\0\0\0damage")
    result, _ = swap(SwapSession(folder, threads=2), tmp_path, samples.group, [samples.astronaut], config())
    assert result.engine == "mesh"


def test_a_model_that_breaks_its_contract_is_named_and_the_mesh_engine_runs(
    install: Install, samples: Samples, tmp_path: Path
) -> None:
    folder = install("inswapper_128", "arcface_w600k_r50")
    table = folder / "own_models.toml"
    table.write_text(table.read_text().replace("size = 128", "size = 256"))
    session = SwapSession(folder, threads=2)
    result, _ = swap(session, tmp_path, samples.group, [samples.astronaut], config())
    assert result.engine == "mesh"
    assert "inswapper_128.onnx" in result.warnings[0]
    with pytest.raises(ModelMissingError, match=r"asked for.*inswapper_128\.onnx"):
        swap(session, tmp_path, samples.group, [samples.astronaut], config(engine="neural"))


def test_neural_without_models_is_an_error_with_a_remedy(
    install: Install, samples: Samples, tmp_path: Path
) -> None:
    session = SwapSession(install(), threads=2)
    with pytest.raises(ModelMissingError, match="No swap model is installed") as caught:
        swap(session, tmp_path, samples.group, [samples.astronaut], config(engine="neural"))
    assert "models install" in caught.value.remedy


def test_an_unknown_swapper_is_a_mistake_in_the_settings(
    session: SwapSession, samples: Samples, tmp_path: Path
) -> None:
    settings = config(neural={"swapper": "inswapper_9000"})
    with pytest.raises(ConfigError, match="inswapper_9000"):
        swap(session, tmp_path, samples.group, [samples.astronaut], settings)


def test_mesh_can_be_asked_for(session: SwapSession, samples: Samples, tmp_path: Path) -> None:
    result, _ = swap(session, tmp_path, samples.group, [samples.astronaut], config(engine="mesh"))
    assert result.engine == "mesh"


def test_cuda_without_cuda_is_said_with_its_reason(
    session: SwapSession, samples: Samples, tmp_path: Path
) -> None:
    from facefusion.system.onnx_runtime import import_onnxruntime

    if "CUDAExecutionProvider" in import_onnxruntime().get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA, so there is nothing to refuse")
    settings = config(execution_providers=["cuda", "cpu"])
    result, _ = swap(session, tmp_path, samples.group, [samples.astronaut], settings)
    assert result.provider == "ONNX Runtime (CPU)"
    (warning,) = unexpected(result)
    assert "`cuda` was asked for and is not used" in warning
    assert "onnxruntime-gpu" in warning and "`cpu` is used instead" in warning


@pytest.mark.parametrize("name", ["uniface_256", "blendswap_256"])
def test_swappers_that_take_a_picture_need_no_recogniser(
    install: Install, samples: Samples, tmp_path: Path, name: str
) -> None:
    session = SwapSession(install(name), threads=2)
    faces = [samples.astronaut, samples.group]
    result, _ = swap(session, tmp_path, samples.group, faces, config())
    assert result.engine == "neural" and f"{name}.onnx" in result.models
    assert any("takes one picture" in warning for warning in result.warnings)


def test_a_swapper_brings_its_converter_or_is_passed_over(
    install: Install, samples: Samples, tmp_path: Path
) -> None:
    folder = install("ghost_1_256", "arcface_w600k_r50")
    result, _ = swap(SwapSession(folder, threads=2), tmp_path, samples.group, [samples.astronaut], config())
    assert result.engine == "mesh" and "ghost_1_256 needs crossface_ghost" in result.warnings[0]
    install("crossface_ghost")
    result, _ = swap(SwapSession(folder, threads=2), tmp_path, samples.group, [samples.astronaut], config())
    assert result.engine == "neural" and "crossface_ghost.onnx" in result.models


def test_processors_run_where_their_model_is_installed(
    install: Install, samples: Samples, tmp_path: Path
) -> None:
    folder = install("inswapper_128", "arcface_w600k_r50")
    settings = config(quality_preset="best")
    plain, first = swap(
        SwapSession(folder, threads=2), tmp_path, samples.astronaut, [samples.group], settings
    )
    assert plain.left_out == ("face_enhancer", "frame_enhancer")
    install("gpen_bfr_256", "span_kendata_x4", "xseg_1")
    full, second = swap(
        SwapSession(folder, threads=2), tmp_path, samples.astronaut, [samples.group], settings
    )
    assert full.left_out == ()
    assert {"gpen_bfr_256.onnx", "span_kendata_x4.onnx", "xseg_1.onnx"} <= set(full.models)
    one, two = (cv2.imread(str(path)).astype(int) for path in (first, second))
    assert (two - one).max() > 30  # the synthetic enhancer brightens


def test_enhancer_age_and_frame_enhancer_run_on_the_mesh_engines_faces(
    install: Install, samples: Samples, tmp_path: Path
) -> None:
    folder = install("gpen_bfr_256", "span_kendata_x4", "fran")
    settings = config(quality_preset="best", engine="mesh", neural={"age": 60})
    plain = config(quality_preset="best", engine="mesh")
    bare, first = swap(
        SwapSession(install(), threads=2),
        tmp_path,
        samples.astronaut,
        [samples.group],
        plain.model_copy(update={"quality_preset": "fast"}),
    )
    full, second = swap(
        SwapSession(folder, threads=2), tmp_path, samples.astronaut, [samples.group], settings
    )
    assert (bare.engine, full.engine, full.left_out) == ("mesh", "mesh", ())
    assert {"gpen_bfr_256.onnx", "span_kendata_x4.onnx", "fran.onnx"} <= set(full.models)
    assert full.provider.endswith("ONNX Runtime (CPU)") and full.provider != bare.provider
    one, two = (cv2.imread(str(path)).astype(int) for path in (first, second))
    assert (two - one).max() > 30  # the synthetic enhancer brightens
    assert 0 < (np.abs(two - one).max(axis=2) > 30).mean() < 0.25  # the face, not the picture


def test_an_enhancer_named_and_not_installed_is_said_by_the_mesh_engine(
    install: Install, samples: Samples, tmp_path: Path
) -> None:
    settings = config(quality_preset="balanced", engine="mesh", neural={"enhancer": "gfpgan_1.4"})
    result, _ = swap(
        SwapSession(install("gpen_bfr_256"), threads=2),
        tmp_path,
        samples.group,
        [samples.astronaut],
        settings,
    )
    assert result.left_out == ("face_enhancer",)
    assert any("asks for gfpgan_1.4, which is not installed" in warning for warning in result.warnings)


def test_an_age_without_a_model_for_it_is_said(
    session: SwapSession, samples: Samples, tmp_path: Path
) -> None:
    settings = config(neural={"age": 70})
    result, _ = swap(session, tmp_path, samples.group, [samples.astronaut], settings)
    assert any("age of 70 was asked for" in warning for warning in result.warnings)


def test_engine_and_source_are_prepared_once(session: SwapSession, samples: Samples, tmp_path: Path) -> None:
    settings = config()
    swap(session, tmp_path, samples.group, [samples.astronaut], settings)
    engine = session.engine(settings)
    swap(session, tmp_path, samples.group, [samples.astronaut], settings)
    assert session.engine(config()) is engine


DAEMON = """
import sys
from pathlib import Path
from facefusion.automation.processor import SimpleAutoProcessor
raise SystemExit(SimpleAutoProcessor(Path(sys.argv[1]), models_dir=Path(sys.argv[2])).run_once())
"""


def run_daemon(root: Path, models: Path, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", DAEMON, str(root), str(models)],
        cwd=REPOSITORY,
        env=os.environ | {"HOME": str(home), "PYTHONPATH": str(REPOSITORY), "XDG_CACHE_HOME": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
def test_a_swap_model_renamed_into_place_is_used_by_the_daemon(
    install: Install, samples: Samples, tmp_path: Path
) -> None:
    folder = install("inswapper_128", "arcface_w600k_r50")
    hidden = folder / "inswapper_128.onnx.part"
    (folder / "inswapper_128.onnx").rename(hidden)
    root, home = tmp_path / "root", tmp_path / "home"
    home.mkdir()
    for kind in ("faces", "photos", "videos"):
        (root / "inbox" / kind).mkdir(parents=True)
    settings = {
        "accept_use_policy": 1,
        "quality_preset": "fast",
        "execution_providers": ["cuda", "auto"],
        "limits": {"settle_seconds": 0.2, "free_disk_megabytes": 0},
    }
    (root / "automation_config.json").write_text(json.dumps(settings))
    (root / "inbox" / "faces" / "ann.png").write_bytes(samples.astronaut.read_bytes())
    (root / "inbox" / "photos" / "first.jpg").write_bytes(samples.group.read_bytes())
    done = run_daemon(root, folder, home)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((root / "outbox" / "first__ann.json").read_text())
    assert report["swap"]["engine"] == "mesh"

    hidden.rename(folder / "inswapper_128.onnx")
    picture = cv2.flip(cv2.imread(str(samples.group)), 1)
    cv2.imwrite(str(root / "inbox" / "photos" / "second.png"), picture)
    done = run_daemon(root, folder, home)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((root / "outbox" / "second__ann.json").read_text())
    assert report["swap"]["engine"] == "neural"
    assert "inswapper_128.onnx" in report["swap"]["models"]
    assert report["swap"]["provider"].startswith("ONNX Runtime (")
    if "CPU" in report["swap"]["provider"]:
        assert any("`cuda` was asked for" in warning for warning in report["swap"]["warnings"])
    result = cv2.imread(str(root / "outbox" / "second__ann.png")).astype(int)
    assert np.abs(result - picture).max() > 40
    # Neither ONNX Runtime's telemetry nor anything else of ours lies in the person's home.
    assert [path for path in home.rglob("*") if path.is_file()] == []
