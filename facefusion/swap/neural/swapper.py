"""Swappers: a crop of the target and what identifies the source in, the swapped crop out.

One class serves all of them; what differs is data of the model table (`models.contracts.SwapperContract`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facefusion.faces.five_points import Floats, Image, to_tensor
from facefusion.faces.recognise import EMBEDDING_WIDTH, unit
from facefusion.models.contracts import SwapperContract, Template
from facefusion.swap.bench import Array, Bench
from facefusion.swap.cpu_bench import CPU
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

    def swap(self, crops: Array, source: Conditioning, bench: Bench = CPU) -> Array:
        """Swapped crops.

        Args:
            crops: (n, p, p, 3) uint8 BGR aligned to the template; p is a multiple of the contract's size.
            bench: where they lie.

        Returns:
            The same shape, uint8 BGR, on the same bench.

        Raises:
            EngineError, OutOfMemoryError: the network failed, or gave numbers that are none.
        """
        factor = crops.shape[1] // self.contract.size
        tiles = interleaved(crops, factor)
        tensor = bench.tensor(tiles, self.contract.pixels)
        output = self._runner.run_batch({"target": tensor}, {"source": source.values})
        bench.require_finite(output, self._network.title)
        if self.contract.denormalise:
            output = bench.denormalised(output, self.contract.pixels)
        return woven(bench.pictures(output), factor)


def interleaved(crops: Array, factor: int) -> Array:
    """Crops (n, p, p, 3) as (n * factor^2, p / factor, p / factor, 3): every factor-th pixel in each.

    Each part shows the whole face, so a network of a small input size works on it as it was trained to
    ("pixel boost").
    """
    if factor == 1:
        return crops
    count, side = len(crops), crops.shape[1] // factor
    # Rows, their part, columns, their part become part of row, of column, rows, columns.
    split = crops.reshape(count, side, factor, side, factor, 3).swapaxes(1, 2).swapaxes(2, 4).swapaxes(3, 4)
    return split.reshape(count * factor * factor, side, side, 3)


def woven(parts: Array, factor: int) -> Array:
    """The way back of `interleaved`."""
    if factor == 1:
        return parts
    count, side = len(parts) // (factor * factor), parts.shape[1]
    split = parts.reshape(count, factor, factor, side, side, 3).swapaxes(3, 4).swapaxes(2, 4).swapaxes(1, 2)
    return split.reshape(count, side * factor, side * factor, 3)


def boosted_size(size: int, wanted: int) -> int:
    """Side of the crop for a wish in pixels: the next multiple of the network's size, at most eight times."""
    return size * min(8, max(1, -(-wanted // size)))
