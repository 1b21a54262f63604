"""Age: a face as old as wished (FRAN), or younger and older by degrees (StyleGANEX)."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facefusion.faces.five_points import Affine, Floats, align, crop_corners
from facefusion.models.contracts import AgerContract, ClassifierContract, Template
from facefusion.swap.bench import Layer, Region
from facefusion.swap.layers import FaceView
from facefusion.swap.neural.masks import box_mask
from facefusion.system.networks import Network

_UNKNOWN_AGE = 35.0
# Middles of FairFace's buckets: 0-2, 3-9, 10-19 ... 60-69, 70 and more.
_BUCKETS = (1.0, 6.0, 15.0, 25.0, 35.0, 45.0, 55.0, 65.0, 75.0)


class AgeGuess(Protocol):
    """Estimates how old a face looks."""

    def years(self, region: Region, five: Floats) -> float:
        """0 to 100."""
        ...


class FairFace:
    """Age out of nine buckets."""

    def __init__(self, network: Network, contract: ClassifierContract, template: Template) -> None:
        self._input = network.require(network.inputs[0].name, 1, 3, contract.size, contract.size).name
        names = [port.name for port in network.outputs]
        # The three answers are race, gender and age, in this order; newer files say so in their names.
        self._age = next((i for i, name in enumerate(names) if "age" in name.casefold()), len(names) - 1)
        self._network = network
        self._contract = contract
        self._template = template

    def years(self, region: Region, five: Floats) -> float:
        """See `AgeGuess.years`."""
        size = self._contract.size
        crop = region.cut(align(five, self._template, size), size)
        feeds = {self._input: region.bench.tensor(crop[None], self._contract.pixels)}
        answer = region.bench.fetch(self._network.run(feeds)[self._age])
        bucket = int(answer.argmax()) if answer.size > 1 else int(answer.ravel()[0])
        return _BUCKETS[min(max(bucket, 0), len(_BUCKETS) - 1)]


class AssumedAge:
    """Where no classifier is installed: grown up."""

    def years(self, region: Region, five: Floats) -> float:
        """See `AgeGuess.years`."""
        return _UNKNOWN_AGE


class AgeModifier:
    """See `Processor`.

    Args:
        template, background_template: alignments of the contract (the second for `styleganex` only).
        wanted: age in years, 0 to 100.
        guess: how old the face looks now.
        blend: 0 to 1, share of the changed face.

    Raises:
        ModelMissingError: the network takes something else.
    """

    name = "age_modifier"

    def __init__(
        self,
        network: Network,
        contract: AgerContract,
        template: Template,
        background_template: Template | None,
        *,
        wanted: float,
        guess: AgeGuess,
        blend: float = 1.0,
    ) -> None:
        network.require("target", 1, 3, contract.size, contract.size)
        network.input("direction")
        if contract.family == "styleganex":
            network.require(
                "target_with_background", 1, 3, contract.background_size, contract.background_size
            )
        self._network = network
        self._contract = contract
        self._template = template
        self._background = background_template
        self._wanted = wanted
        self._guess = guess
        self._blend = blend

    def reach(self, five: Floats) -> NDArray[np.float64]:
        """See `Processor.reach`."""
        affine, size = self._placing(five)
        return crop_corners(affine, size)

    def apply(self, region: Region, view: FaceView) -> Layer | None:
        """See `Processor.apply`."""
        contract, bench = self._contract, region.bench
        now = self._guess.years(region, view.five)
        crop = region.cut(align(view.five, self._template, contract.size), contract.size)
        feeds = {"target": bench.tensor(crop[None], contract.pixels)}
        affine, size = self._placing(view.five)
        if contract.family == "fran":
            feeds["direction"] = np.clip(np.array([now, self._wanted]) / 100.0, 0.0, 1.0).astype(np.float32)
            output = self._network.run(feeds)[0]
        else:
            wide = region.cut(affine, size)
            feeds["target_with_background"] = bench.tensor(wide[None], contract.pixels)
            years = np.clip(self._wanted - now, -100.0, 100.0)
            ends = (contract.direction_young, contract.direction_old)
            direction = np.interp(years, (-100.0, 100.0), ends)
            shape = tuple(n or 1 for n in self._network.input("direction").shape)
            feeds["direction"] = np.full(shape, direction, np.float32)
            output = bench.denormalised(self._network.run(feeds)[0], contract.pixels)
        bench.require_finite(output, self._network.title)
        after = bench.pictures(output)[0]
        # The picture that comes out may be larger than the one that went in; it shows the same.
        factor = len(after) / size
        large = affine * factor
        large[:, 2] += (factor - 1) / 2
        face = bench.mixed(region.cut(large, len(after)), after, self._blend)
        return region.stamp(face, bench.put(box_mask(len(after)), constant=True), large)

    def _placing(self, five: Floats) -> tuple[Affine, int]:
        """Where the output belongs: the wide crop of `styleganex`, else the crop itself."""
        contract = self._contract
        if contract.family == "fran" or self._background is None:
            return align(five, self._template, contract.size), contract.size
        smaller = (five - five[2]) * np.float32(contract.background_scale) + five[2]
        return align(smaller, self._background, contract.background_size), contract.background_size
