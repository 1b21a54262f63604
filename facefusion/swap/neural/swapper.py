"""Swappers: a crop of the target and what identifies the source in, the swapped crop out.

One class serves all of them; what differs is data of the model table (`models.contracts.SwapperContract`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facefusion.errors import EngineError
from facefusion.faces.five_points import Floats, Image, denormalised, to_pictures, to_tensor
from facefusion.faces.recognise import EMBEDDING_WIDTH, unit
from facefusion.models.contracts import SwapperContract, Template
from facefusion.system.batching import BatchRunner
from facefusion.system.networks import Network


@dataclass(frozen=True)
class Conditioning:
    """What goes into a swapper's input `source`: (1, 512) or (1, 3, s, s) float32. Made once per face."""

    values: Floats


class Swapper:
    """Any swapper of the table.

    Args:
        network: inputs `target` and `source`.
        contract: its numbers.
        template: alignment of the target crop.
        matrix: (512, 512), for contracts whose source is `projected`.
        converter: network that converts embeddings, for `converted`.
        runner: runs the network for many threads; the network itself if None.

    Raises:
        ModelMissingError: the network's inputs are not those of the contract.
    """

    def __init__(
        self,
        network: Network,
        contract: SwapperContract,
        template: Template,
        *,
        matrix: NDArray[np.float32] | None = None,
        converter: Network | None = None,
        runner: BatchRunner | None = None,
    ) -> None:
        network.require("target", 1, 3, contract.size, contract.size)
        if contract.source == "face":
            network.require("source", 1, 3, contract.source_size, contract.source_size)
        else:
            network.require("source", 1, EMBEDDING_WIDTH)
        self.contract = contract
        self.template = template
        self._network = network
        self._runner = runner or network
        self._matrix = matrix
        self._converter = converter

    @property
    def provider(self) -> str:
        """Word of the provider that runs it now."""
        return self._network.provider

    def from_embedding(self, embedding: Floats) -> Conditioning:
        """What a raw embedding (1, 512) becomes."""
        kind = self.contract.source
        if kind == "projected":
            assert self._matrix is not None
            # InsightFace's arithmetic: the normalised embedding through the matrix, normalised again.
            return Conditioning(unit(unit(embedding) @ self._matrix))
        if kind == "normalised":
            return Conditioning(unit(embedding))
        assert kind == "converted" and self._converter is not None
        converted = self._converter.run({self._converter.inputs[0].name: embedding})[0]
        converted = converted.reshape(1, -1).astype(np.float32)
        return Conditioning(unit(converted) if self.contract.converter_normalised else converted)

    def from_face(self, crop: Image) -> Conditioning:
        """What an aligned picture of the source (s, s, 3) uint8 BGR becomes."""
        assert self.contract.source_pixels is not None
        return Conditioning(to_tensor(crop[None], self.contract.source_pixels))

    def swap(self, crops: Image, source: Conditioning) -> Image:
        """Swapped crops.

        Args:
            crops: (n, p, p, 3) uint8 BGR aligned to the template; p is a multiple of the contract's size.

        Returns:
            The same shape, uint8 BGR.

        Raises:
            EngineError, OutOfMemoryError: the network failed, or gave numbers that are none.
        """
        factor = crops.shape[1] // self.contract.size
        tiles = interleaved(crops, factor)
        tensor = to_tensor(tiles, self.contract.pixels)
        output = self._runner.run_batch({"target": tensor}, {"source": source.values})
        if not np.isfinite(output).all():
            raise EngineError(f"{self._network.title} computed numbers that are not finite.")
        if self.contract.denormalise:
            output = denormalised(output, self.contract.pixels)
        return woven(to_pictures(output), factor)


def interleaved(crops: Image, factor: int) -> Image:
    """Crops (n, p, p, 3) as (n * factor^2, p / factor, p / factor, 3): every factor-th pixel in each.

    Each part shows the whole face, so a network of a small input size works on it as it was trained to
    ("pixel boost").
    """
    if factor == 1:
        return crops
    count, side = len(crops), crops.shape[1] // factor
    split = crops.reshape(count, side, factor, side, factor, 3).transpose(0, 2, 4, 1, 3, 5)
    return np.ascontiguousarray(split).reshape(count * factor * factor, side, side, 3)


def woven(parts: Image, factor: int) -> Image:
    """The way back of `interleaved`."""
    if factor == 1:
        return parts
    count, side = len(parts) // (factor * factor), parts.shape[1]
    split = parts.reshape(count, factor, factor, side, side, 3).transpose(0, 3, 1, 4, 2, 5)
    return np.ascontiguousarray(split).reshape(count, side * factor, side * factor, 3)


def boosted_size(size: int, wanted: int) -> int:
    """Side of the crop for a wish in pixels: the next multiple of the network's size, at most eight times."""
    return size * min(8, max(1, -(-wanted // size)))
