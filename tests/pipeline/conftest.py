"""One warm session, and clips for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from attempts import Attempts
from face_material import Image, Portrait, moving, write_clip, write_face

from facefusion.config import AutomationConfig
from facefusion.pipeline import SwapProgress, SwapRequest, SwapResult, SwapSession

Run = Callable[..., SwapResult]


@pytest.fixture(scope="session")
def face_file(man: Portrait, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of one face, 200 pixels tall at most."""
    return write_face(tmp_path_factory.mktemp("faces") / "man.png", man)


@pytest.fixture(scope="session")
def views(astronaut: Portrait) -> list[Image]:
    """A face that moves through 40 frames of 320 x 240."""
    return moving(astronaut, 40)[0]


@pytest.fixture(scope="session")
def clip(views: Sequence[Image], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", views, sound=True)


@pytest.fixture(scope="session")
def short_clip(views: Sequence[Image], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "short.mp4", views[:10])


@pytest.fixture
def run(session: SwapSession, face_file: Path, tmp_path: Path) -> Run:
    """Run one job: `run(target, face_selector_mode="all")`; settings by name, the rest has defaults."""

    def go(
        target: Path,
        *,
        faces: Sequence[Path] | None = None,
        digest: str | None = None,
        output: Path | None = None,
        on_progress: Callable[[SwapProgress], None] = lambda progress: None,
        should_stop: Callable[[], bool] = lambda: False,
        on: SwapSession | None = None,
        **settings: object,
    ) -> SwapResult:
        chosen = tuple(faces) if faces is not None else (face_file,)
        request = SwapRequest(
            target=target,
            faces=chosen,
            face_digest=digest or " ".join(map(str, chosen)),
            output=output or tmp_path / f"result{target.suffix}",
            config=AutomationConfig.model_validate({"quality_preset": "fast", "engine": "mesh", **settings}),
        )
        return (on or session).swap(request, on_progress, should_stop)

    return go


@pytest.fixture
def attempts(session: SwapSession, clip: Path, face_file: Path, tmp_path: Path) -> Attempts:
    return Attempts(session, clip, face_file, tmp_path)


@pytest.fixture(scope="session")
def left_behind(
    session: SwapSession, clip: Path, face_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What an attempt has left that was interrupted at frame 36."""
    folder = tmp_path_factory.mktemp("left")
    Attempts(session, clip, face_file, folder).interrupt(36)
    return folder / "kept"


@pytest.fixture
def interrupted(attempts: Attempts, left_behind: Path) -> Attempts:
    """Attempts of which the first was interrupted at frame 36."""
    shutil.copytree(left_behind, attempts.folder / "kept")
    return attempts
