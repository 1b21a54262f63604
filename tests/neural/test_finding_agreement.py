"""Boxes, landmarks, aligned crops and embeddings are those of InsightFace's own classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import synthetic

from facefusion.errors import ModelMissingError
from facefusion.faces.finders import face_finder
from facefusion.faces.five_points import align, cut_aligned, five_from_mesh, similarity, transform
from facefusion.faces.landmarks68 import Landmarker68, five_from_68
from facefusion.faces.recognise import Recogniser, ReferencePeople, cosine_distance, mean_embedding
from facefusion.media.frame import PackedFrame
from facefusion.models.registry import Registry
from facefusion.system.networks import NetworkFactory

if TYPE_CHECKING:
    from face_material import Portrait

FIVE = np.array([[210, 190], [300, 185], [258, 250], [222, 300], [296, 297]], np.float32)


def noisy_picture(width: int, height: int, seed: int = 3) -> Any:
    small = synthetic.rng(seed).integers(0, 256, (height // 8, width // 8, 3)).astype(np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("size", [(640, 480), (333, 777), (1280, 720)])
def test_scrfd_finds_what_insightface_finds(
    tmp_path: Path, networks: NetworkFactory, registry: Registry, size: tuple[int, int]
) -> None:
    from insightface.model_zoo.scrfd import SCRFD

    path = synthetic.scrfd(tmp_path / "det_10g.onnx")
    reference = SCRFD(str(path))
    reference.prepare(-1, det_thresh=0.5, nms_thresh=0.4, input_size=(640, 640))
    picture = noisy_picture(*size)
    boxes, fives = reference.detect(picture)
    found = face_finder(networks.open(path), registry.find("scrfd_10g").contract).find(picture)
    assert len(found) == len(boxes) > 10
    np.testing.assert_allclose([face.box for face in found], boxes[:, :4], atol=1e-2)
    np.testing.assert_allclose([face.score for face in found], boxes[:, 4], atol=1e-5)
    np.testing.assert_allclose([face.five for face in found], fives, atol=1e-2)


@pytest.mark.parametrize("size", [112, 128, 256])
def test_aligned_crops_are_insightfaces(registry: Registry, size: int) -> None:
    from insightface.utils.face_align import norm_crop2

    picture = noisy_picture(640, 480)
    template = registry.templates["arcface_112_v2" if size == 112 else "arcface_128"]
    # Faces more than twice as large as the crop are averaged first, which InsightFace does not do.
    five = FIVE / 2 if size < 256 else FIVE
    theirs, affine = norm_crop2(picture, five, size)
    ours = align(five, template, size)
    np.testing.assert_allclose(ours, affine, atol=2e-3)
    crop = cut_aligned(PackedFrame(picture), ours, size)
    difference = np.abs(crop.astype(int) - theirs)
    assert difference.mean() < 0.3 and np.percentile(difference, 99) <= 3


def test_embeddings_are_insightfaces(tmp_path: Path, networks: NetworkFactory, registry: Registry) -> None:
    from insightface.app.common import Face
    from insightface.model_zoo.arcface_onnx import ArcFaceONNX

    path = synthetic.recogniser(tmp_path / "w600k_r50.onnx")
    picture = noisy_picture(640, 480)
    face = Face(kps=FIVE)
    theirs = ArcFaceONNX(str(path)).get(picture, face)
    model = registry.find("w600k_r50")
    recogniser = Recogniser(networks.open(path), model.contract, registry.templates["arcface_112_v2"])
    ours = recogniser.embed([(PackedFrame(picture), FIVE)])
    assert ours.shape == (1, 512)
    assert cosine_distance(ours, theirs[None])[0, 0] < 1e-4
    np.testing.assert_allclose(np.linalg.norm(ours), np.linalg.norm(theirs), rtol=1e-2)


@pytest.mark.parametrize("batch", [1, "n"])
def test_several_crops_embed_as_each_alone(
    tmp_path: Path, networks: NetworkFactory, registry: Registry, batch: Any
) -> None:
    path = synthetic.recogniser(tmp_path / "r.onnx", batch=batch)
    recogniser = Recogniser(
        networks.open(path), registry.find("w600k_r50").contract, registry.templates["arcface_112_v2"]
    )
    crops = synthetic.rng(5).integers(0, 256, (5, 112, 112, 3)).astype(np.uint8)
    together = recogniser.embed_crops(crops)
    alone = np.concatenate([recogniser.embed_crops(crop[None]) for crop in crops])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-4)


def test_yoloface_reads_centres_sizes_and_landmarks(
    tmp_path: Path, networks: NetworkFactory, registry: Registry
) -> None:
    rows = np.zeros((1, 20, 50), np.float32)
    marks = [[300, 290, 0.9], [340, 290, 0.9], [320, 310, 0.9], [305, 330, 0.9], [335, 330, 0.9]]
    rows[0, :, 7] = [320, 310, 80, 100, 0.9, *np.ravel(marks)]
    rows[0, :, 8] = [322, 311, 80, 100, 0.8, *np.ravel(marks)]  # the same face, less sure
    rows[0, :, 9] = [100, 100, 40, 40, 0.7, *np.zeros(15)]
    rows[0, :, 10] = [500, 100, 40, 40, 0.3, *np.zeros(15)]
    path = synthetic.constant_outputs(tmp_path / "yoloface_8n.onnx", [rows])
    finder = face_finder(networks.open(path), registry.find("yoloface_8n").contract)
    picture = np.zeros((720, 1280, 3), np.uint8)  # shrunk by two
    first, second = finder.find(picture)
    assert first.box == pytest.approx((560, 520, 720, 720))
    np.testing.assert_allclose(first.five, np.array(marks)[:, :2] * 2, atol=1e-3)
    assert first.score == pytest.approx(0.9) and second.score == pytest.approx(0.7)


def test_yunet_multiplies_scores_and_unfolds_boxes(
    tmp_path: Path, networks: NetworkFactory, registry: Registry
) -> None:
    kinds = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
    outputs = {
        f"{kind}_{stride}": np.zeros((1, (640 // stride) ** 2, width), np.float32)
        for kind, width in kinds.items()
        for stride in (8, 16, 32)
    }
    cell = 3 * 40 + 5  # third row, fifth column of the middle grid
    outputs["cls_16"][0, cell], outputs["obj_16"][0, cell] = 0.9, 0.8
    outputs["bbox_16"][0, cell] = [0.5, 0.25, np.log(4), np.log(5)]
    outputs["kps_16"][0, cell] = np.arange(10) / 10
    path = synthetic.constant_outputs(tmp_path / "yunet.onnx", list(outputs.values()), names=list(outputs))
    finder = face_finder(networks.open(path), registry.find("yunet_2023_mar").contract)
    (face,) = finder.find(np.zeros((640, 640, 3), np.uint8))
    assert face.score == pytest.approx(0.72)
    centre = (5 * 16 + 8, 3 * 16 + 4)
    assert face.box == pytest.approx((centre[0] - 32, centre[1] - 40, centre[0] + 32, centre[1] + 40))
    expected = np.array([80, 48]) + np.arange(10).reshape(5, 2) / 10 * 16
    np.testing.assert_allclose(face.five, expected, atol=1e-3)


def test_a_file_that_is_no_detector_is_named(
    tmp_path: Path, networks: NetworkFactory, registry: Registry
) -> None:
    path = synthetic.recogniser(tmp_path / "wrong.onnx")
    with pytest.raises(ModelMissingError, match=r"wrong\.onnx"):
        face_finder(networks.open(path), registry.find("scrfd_10g").contract)


def test_a_file_that_is_no_model_is_named(tmp_path: Path, networks: NetworkFactory) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a model" * 100)
    with pytest.raises(ModelMissingError, match=r"broken\.onnx"):
        networks.open(path)


def test_68_landmarks_come_back_to_the_picture(
    tmp_path: Path, networks: NetworkFactory, registry: Registry
) -> None:
    marks = np.ones((1, 68, 3), np.float32)
    marks[0, :, 0] = np.linspace(10, 50, 68)
    marks[0, :, 1] = np.linspace(50, 10, 68)
    path = synthetic.constant_outputs(tmp_path / "2dfan4.onnx", [marks], size=256)
    landmarker = Landmarker68(networks.open(path), registry.find("2dfan4").contract)
    points, certainty = landmarker.locate(
        PackedFrame(np.zeros((600, 800, 3), np.uint8)), (300, 200, 400, 330)
    )
    # 32 of 64 is the middle of the crop, which is the middle of the box; 195 pixels are its height.
    middle = (points[33] + points[34]) / 2
    expected = np.array([350, 265]) + (np.array([30, 30]) - 32) * 4 * 130 / 195
    np.testing.assert_allclose(middle, expected, atol=0.5)
    assert certainty == pytest.approx(1.0)
    assert five_from_68(points).shape == (5, 2)


def test_similarity_undoes_what_made_the_points() -> None:
    points = synthetic.rng(8).random((5, 2)) * 100
    angle, scale = 0.7, 1.9
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    affine = similarity(points, points @ turn.T + (5, -3))
    np.testing.assert_allclose(affine[:, :2], turn, atol=1e-9)
    np.testing.assert_allclose(transform(affine, points), points @ turn.T + (5, -3), atol=1e-9)


def test_mirrored_points_are_not_mirrored_back() -> None:
    affine = similarity(FIVE, FIVE * (-1, 1))
    assert np.linalg.det(affine[:, :2]) > 0


def test_five_points_of_the_mesh_lie_where_the_template_has_them(
    astronaut: Portrait, group: list[Portrait], registry: Registry
) -> None:
    template = np.array(registry.templates["arcface_112_v2"])
    differences = []
    for portrait in [astronaut, *group]:
        five = five_from_mesh(portrait.face)
        aligned = transform(align(five, registry.templates["arcface_112_v2"], 112), five) / 112
        # Heads are turned and mouths smile; but nothing is swapped, nothing far off.
        difference = np.abs(aligned - template)
        differences.append(difference)
        assert difference.max() < 0.13
        assert five[0, 0] < five[1, 0] and five[3, 0] < five[4, 0] and five[2, 1] < five[3, 1]
    assert np.median(differences) < 0.02


def test_one_picture_is_its_own_mean_and_several_count_equally() -> None:
    people = synthetic.rng(9).standard_normal((3, 512)).astype(np.float32)
    np.testing.assert_array_equal(mean_embedding(people[:1]), people[:1])
    louder = people * np.array([[1], [1], [7]], np.float32)
    assert cosine_distance(mean_embedding(people), mean_embedding(louder))[0, 0] < 1e-6


def test_a_person_is_picked_by_face_and_not_by_position() -> None:
    people = synthetic.rng(9).standard_normal((4, 512)).astype(np.float32)
    wanted = people[2:3] + synthetic.rng(10).standard_normal((2, 512)).astype(np.float32) * 0.3
    reference = ReferencePeople(wanted)
    for order in ([0, 1, 2, 3], [2, 0, 3, 1], [3, 1, 0, 2]):
        assert reference.pick(people[order]) == order.index(2)
    assert reference.pick(people[[0, 1]]) is None
    assert reference.pick(np.concatenate([people[2:3], people[2:3]])) is None  # no telling twins apart
    assert reference.pick(people[:0]) is None
