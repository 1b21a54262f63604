"""What a network takes, for every order and layout, against the formula of the contract."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facefusion.faces.five_points import denormalised, to_tensor
from facefusion.models.contracts import Pixels

UNEVEN = Pixels("rgb", 255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    "pixels",
    [
        UNEVEN,
        replace(UNEVEN, order="bgr", layout="nhwc"),
        Pixels("bgr", 1.0, (127.5, 100.0, 90.0), (128.0, 128.0, 64.0)),
        Pixels("rgb", 255.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    ],
)
def test_a_network_takes_what_its_contract_says_and_gives_it_back(pixels: Pixels) -> None:
    crops = np.random.default_rng(3).integers(0, 256, (2, 5, 4, 3), np.uint8)
    values = crops[..., ::-1] if pixels.order == "rgb" else crops
    expected = (values.astype(np.float64) / pixels.scale - pixels.mean) / pixels.deviation
    tensor = to_tensor(crops, pixels)
    planes = tensor.transpose(0, 3, 1, 2) if pixels.layout == "nhwc" else tensor
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    assert np.allclose(planes.transpose(0, 2, 3, 1), expected, atol=2e-5)
    back = denormalised(planes, pixels)
    assert np.allclose(back.transpose(0, 2, 3, 1), values / 255.0, atol=2e-6)
