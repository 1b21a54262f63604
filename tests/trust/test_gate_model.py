"""A gate whose model is missing, fails or answers nonsense refuses; the embedded one sees what it should."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from gate_material import CLASS, Brightness, gate, shade, write_picture, write_scores

from facefusion.config import HARD_THRESHOLD, AutomationConfig
from facefusion.errors import ContentBlockedError, MediaFormatError, OutOfMemoryError
from facefusion.media.frame import PackedFrame
from facefusion.models.manager import ModelManager
from facefusion.models.samples import Samples
from facefusion.trust.gate import ContentGate
from facefusion.trust.nudenet import CLASSES, INTIMATE, NudeNet, highest, letterbox, load_nudenet
from facefusion.trust.rules import GATE_MODEL

# ---- when it cannot judge ---------------------------------------------------------------------------------


def failing(answer: Callable[[], Any]) -> object:
    class Failing(Brightness):
        def score(self, picture: np.ndarray) -> Mapping[str, float]:
            return answer()

    return Failing()


def test_a_model_that_fails_or_answers_nonsense_refuses(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png", 0.1)
    for answer in (
        *(lambda: 1 / 0, lambda: {CLASS: float("nan")}, lambda: {CLASS: -3.0}),
        *(lambda: None, lambda: {}),
    ):
        with pytest.raises(ContentBlockedError, match="cannot work") as caught:
            gate(failing(answer)).check_target(path)
        assert "models install" in caught.value.remedy


def test_one_answer_that_is_none_is_not_hidden_by_the_next(tmp_path: Path) -> None:
    scores = iter([0.1, float("nan"), *[0.1] * 20])
    path = write_picture(tmp_path / "a.png", 0.1)
    cv2.imwrite(str(path), shade(0.1, width=3000, height=200))
    with pytest.raises(ContentBlockedError, match="cannot work"):
        gate(failing(lambda: {CLASS: next(scores)})).check_target(path)


def test_want_of_memory_says_nothing_about_the_model_and_is_tried_again(tmp_path: Path) -> None:
    def wanting() -> Any:
        raise MemoryError

    with pytest.raises(OutOfMemoryError) as caught:
        gate(failing(wanting)).check_target(write_picture(tmp_path / "a.png", 0.1))
    assert caught.value.retryable


def test_a_model_that_is_missing_damaged_or_another_refuses(models_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    file = ModelManager(models_dir).registry.find(GATE_MODEL).file

    def refused() -> str:
        with pytest.raises(ContentBlockedError, match="cannot work") as caught:
            ContentGate(folder, AutomationConfig())
        assert "models install" in caught.value.remedy
        return caught.value.message

    assert "not installed" in refused()
    whole = (models_dir / file).read_bytes()
    (folder / file).write_bytes(whole[: len(whole) // 2])
    assert "damaged" in refused()
    changed = bytearray(whole)
    changed[len(changed) // 2] ^= 1
    (folder / file).write_bytes(changed)
    assert "damaged" in refused()
    shutil.copy(models_dir / file, folder / file)
    ContentGate(folder, AutomationConfig())
    # A table of one's own cannot put a model in its place that lets everything through.
    (folder / file).write_bytes(changed)
    facts = f'size = {len(changed)}, sha256 = "{hashlib.sha256(changed).hexdigest()}"'
    (folder / "own_models.toml").write_text(
        f'[models.{GATE_MODEL}]\nfile = "{file}"\npurpose = "none"\naccepted = [{{ {facts} }}]\n'
        'licence = "agpl-3"\nwheel = "nudenet"\nmember = "nudenet/320n.onnx"\n'
    )
    assert ModelManager(folder).status(GATE_MODEL).state == "ok"
    assert "nudenet_320n.onnx" in refused()


def test_nothing_to_look_at_is_no_pass(tmp_path: Path) -> None:
    path = write_scores(tmp_path / "a.mp4", lambda t: 0.1, seconds=2)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(MediaFormatError):
        gate().check_target(path)
    with pytest.raises(ContentBlockedError, match="before its target was looked at"):
        gate().inspector()


# ---- the embedded model -----------------------------------------------------------------------------------


def test_clean_pictures_are_not_refused(models_dir: Path, samples: Samples, tmp_path: Path) -> None:
    one = ContentGate(models_dir, AutomationConfig())
    one.check_target(samples.group)
    one.check_sources([samples.astronaut])
    one.inspector().inspect(PackedFrame(cv2.imread(str(samples.group))), 0.0)
    account = one.result
    assert account["verdict"] == "passed"
    assert account["model"]["sha256"] == ModelManager(models_dir).registry.find(GATE_MODEL).sha256
    assert set(account["target"]["highest"]) == set(INTIMATE)
    assert max(account["target"]["highest"].values()) < HARD_THRESHOLD / 2


def test_the_model_is_fed_as_it_was_trained(models_dir: Path, samples: Samples) -> None:
    """Faces, which are no reason to refuse, show that colours, size and place arrive as they should."""
    network: NudeNet = load_nudenet(models_dir)
    picture = cv2.imread(str(samples.astronaut))

    def sees_a_woman(given: np.ndarray) -> float:
        answer = network._session.run(None, {network._input: letterbox(given)})[0]
        return float(answer[0, 4 + CLASSES.index("FACE_FEMALE")].max())

    right = sees_a_woman(picture)
    assert right > 0.75
    assert right > sees_a_woman(np.ascontiguousarray(picture[..., ::-1])) + 0.03
    padded = cv2.copyMakeBorder(picture, 0, 0, 0, 300, cv2.BORDER_CONSTANT)
    assert sees_a_woman(padded) > 0.6


def test_pictures_are_laid_into_a_square() -> None:
    wide = np.zeros((90, 160, 3), np.uint8)
    wide[..., 2] = 255  # red
    square = letterbox(wide)
    assert square.shape == (1, 3, 320, 320)
    assert square.dtype == np.float32
    assert square[0, 0, :180].min() == 1.0
    assert square[0, 1:].max() == 0.0
    assert square[0, :, 180:].max() == 0.0


def test_the_highest_score_of_each_intimate_class_is_taken() -> None:
    answer = np.zeros((1, 22, 50), np.float32)
    answer[0, :4] = 320.0  # boxes are no scores
    answer[0, 4 + CLASSES.index("FACE_FEMALE"), 3] = 0.99
    answer[0, 4 + CLASSES.index("FEMALE_BREAST_COVERED"), 3] = 0.99
    answer[0, 4 + CLASSES.index("ANUS_EXPOSED"), 7] = 0.25
    answer[0, 4 + CLASSES.index("ANUS_EXPOSED"), 8] = 0.75
    assert highest(answer) == {name: 0.75 if name == "ANUS_EXPOSED" else 0.0 for name in INTIMATE}
    for wrong in (answer[0], answer[:, :21], answer[:, :, :0], answer * np.nan, answer + 2):
        with pytest.raises(ValueError, match="the model's output"):
            highest(wrong)
