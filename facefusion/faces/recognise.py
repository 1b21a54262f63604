"""Embeddings: what tells one person from another.

Source: Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition" (2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facefusion.faces.five_points import align, cut_aligned, to_tensor
from facefusion.faces.landmarks import Readable
from facefusion.models.contracts import RecogniserContract, Template
from facefusion.system.networks import Network

Floats = NDArray[np.float32]

EMBEDDING_WIDTH = 512


class Recogniser:
    """ArcFace.

    Args:
        network: aligned crop in, embedding (1, 512) out.
        template: the contract's alignment.

    Raises:
        ModelMissingError: the network takes something else.
    """

    def __init__(self, network: Network, contract: RecogniserContract, template: Template) -> None:
        self._input = network.require(network.inputs[0].name, 1, 3, contract.size, contract.size).name
        self._network = network
        self._contract = contract
        self._template = template

    def embed(self, faces: Sequence[tuple[Readable, Floats]]) -> Floats:
        """Embeddings (n, 512) float32, as the network gives them (not normalised).

        Args:
            faces: pictures, each with the five landmarks of the face in it.
        """
        size = self._contract.size
        crops = [cut_aligned(picture, align(five, self._template, size), size) for picture, five in faces]
        return self.embed_crops(np.stack(crops))

    def embed_crops(self, crops: NDArray[np.uint8]) -> Floats:
        """Embeddings (n, 512) of aligned crops (n, size, size, 3) uint8 BGR."""
        output = self._network.run_batch({self._input: to_tensor(crops, self._contract.pixels)})
        return np.asarray(output, np.float32).reshape(len(crops), -1)


def unit(embedding: NDArray[np.floating]) -> Floats:
    """Divided by its norm (along the last axis)."""
    norm = np.linalg.norm(embedding, axis=-1, keepdims=True)
    return np.asarray(embedding / np.maximum(norm, 1e-12), np.float32)


def mean_embedding(embeddings: Floats) -> Floats:
    """(1, 512): the mean direction of several pictures' embeddings (n, 512) at their mean length.

    One picture's embedding comes out as it is. Pictures count equally, whatever the length of theirs.
    """
    if len(embeddings) == 1:
        return np.asarray(embeddings, np.float32)
    length = np.linalg.norm(embeddings, axis=1).mean()
    return np.asarray(unit(unit(embeddings).mean(0, keepdims=True)) * length, np.float32)


def cosine_distance(a: Floats, b: Floats) -> Floats:
    """(n, m): 0 = same direction, 1 = unrelated, between embeddings (n, 512) and (m, 512)."""
    return np.asarray(1.0 - unit(a) @ unit(b).T, np.float32)


@dataclass(frozen=True)
class ReferencePeople:
    """Embeddings by which one person is picked out of several, never by position.

    Attributes:
        wanted: (n, 512) several pictures of the person.
        threshold: largest cosine distance to the nearest of them.
        margin: by which a face must be nearer than the next candidate of the same frame.
    """

    wanted: Floats
    threshold: float = 0.6
    margin: float = 0.05

    def pick(self, candidates: Floats) -> int | None:
        """Index of the person among the embeddings (m, 512) of a frame's faces, or None."""
        if not len(candidates):
            return None
        nearest = cosine_distance(candidates, self.wanted).min(axis=1)
        order = np.argsort(nearest)
        best = float(nearest[order[0]])
        clear = len(order) == 1 or float(nearest[order[1]]) - best >= self.margin
        return int(order[0]) if best <= self.threshold and clear else None
