"""Processors that change a face in a region of a frame, one after another, before the region is written back.

The region is a copy of the frame's pixels round one face. A processor reads an aligned crop of it, and
answers with a layer for it; so an enhancer sees what the swapper painted, and the frame is touched once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from facefusion.errors import EngineError, OutOfMemoryError
from facefusion.faces.five_points import Floats, Image
from facefusion.faces.landmarks import Face
from facefusion.swap.bench import Bench, Layer, Region
from facefusion.swap.contract import Canvas, Patch
from facefusion.swap.cpu_bench import CPU
from facefusion.swap.device_bench import DeviceBench
from facefusion.system.networks import NetworkFactory
from facefusion.system.onnx_runtime import first_line

T = TypeVar("T")


@dataclass(frozen=True)
class FaceView:
    """A face in the coordinates of a picture: five landmarks (5, 2), and the mesh."""

    five: Floats
    mesh: Face

    def shifted(self, dx: float, dy: float) -> FaceView:
        """The same face in a picture whose origin lies elsewhere."""
        return FaceView(self.five + np.array([dx, dy], np.float32), self.mesh.shifted(dx, dy))


class Processor(Protocol):
    """Changes one face. Safe to use from several threads."""

    @property
    def name(self) -> str:
        """As the quality profiles call it."""
        ...

    def reach(self, five: Floats) -> NDArray[np.float64]:
        """(n, 2) corners of what it may change."""
        ...

    def apply(self, region: Region, view: FaceView) -> Layer | None:
        """What is to be laid over the region (which stays as it is), or None."""
        ...


class Benches:
    """Chooses where faces are worked on: the device of the networks while there is one, else the processor.

    Args:
        networks: that the processors run; None where everything is to be done on the processor.
    """

    def __init__(self, networks: NetworkFactory | None = None) -> None:
        self._networks = networks

    def work(self, job: Callable[[Bench], T]) -> T:
        """Do one job on the best bench. What fails on a device is done again on the processor, and said."""
        networks = self._networks
        if networks is None or (device := networks.device) is None:
            return job(CPU)
        try:
            with device.work():
                return job(DeviceBench(device))
        except (RuntimeError, EngineError, OutOfMemoryError) as error:  # torch's are RuntimeErrors
            logging.getLogger(__name__).info("The device failed.", exc_info=True)
            networks.leave_device(f"it failed ({first_line(str(error))})")
        return job(CPU)


def process(
    frame: Canvas,
    view: FaceView,
    processors: Sequence[Processor],
    *,
    first: Patch | None = None,
    benches: Benches | None = None,
) -> Patch | None:
    """Run processors on one face of a frame; the frame stays as it is.

    Args:
        first: what was drawn for the frame before; the processors see it, and it is part of the answer.
        benches: where that is done; the processor if None.
    """
    reached = [processor.reach(view.five) for processor in processors]
    if first is not None:
        reached.append(np.array(first.box, np.float64).reshape(2, 2) - (0, 1))
    corners = np.concatenate(reached)
    x0, y0 = (int(v) for v in np.maximum(np.floor(corners.min(0)).astype(int), 0))
    high = np.ceil(corners.max(0)).astype(int) + 1
    x1, y1 = min(int(high[0]), frame.width), min(int(high[1]), frame.height)
    if x1 - x0 < 8 or y1 - y0 < 8:
        return None
    pixels, local = frame.read((x0, y0, x1, y1)), view.shifted(-x0, -y0)
    drawn = None if first is None else Patch(_moved(first.box, -x0, -y0), first.colour, first.alpha)
    benches = benches or Benches()
    patch = benches.work(lambda bench: _processed(bench, pixels, local, processors, drawn))
    return None if patch is None else Patch(_moved(patch.box, x0, y0), patch.colour, patch.alpha)


def _processed(
    bench: Bench, pixels: Image, view: FaceView, processors: Sequence[Processor], first: Patch | None
) -> Patch | None:
    """See `process`; in coordinates of the region."""
    region = bench.region(pixels)
    if len(processors) == 1 and first is None:
        layer = processors[0].apply(region, view)
        return None if layer is None else bench.patch(layer)
    if first is not None:
        region.lay(bench.layer(first))
    for processor in processors:
        layer = processor.apply(region, view)
        if layer is not None:
            region.lay(layer)
    # What the layers mixed is final; where none of them was, the frame's own samples stay.
    patch = bench.patch(region.changed())
    return patch if patch.alpha.any() else None


def _moved(box: tuple[int, int, int, int], dx: int, dy: int) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = box
    return x0 + dx, y0 + dy, x1 + dx, y1 + dy
