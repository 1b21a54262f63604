"""Pictures that stay cut into tiles between one rewritten convolution and the next.

A convolution by tiles ends with pixels ordered by their place in the tile; laying them out as a picture, and
cutting that into windows again, costs a tenth of the convolution. What comes in between (activations, sums,
normalisation by channel) does not mind the order, so it is done in that of the tiles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from facefusion.swap.neural.graph_writer import GraphWriter
from facefusion.swap.neural.schemes import TILE
from facefusion.system.onnx_file import OnnxFile

_ALONE = {"LeakyRelu", "Relu", "Sigmoid", "Tanh", "Sqrt", "Elu", "Clip"}
_TOGETHER = {"Add", "Sub", "Mul", "Div", "Pow", "PRelu"}
# Axes of tiles: row in the tile, column in it, block of channels, sample, tile's row, its column, channel.
_TO_PICTURE = [3, 2, 4, 0, 5, 1, 6]
_NEEDED_OPSET = 11  # from here on, padding takes its widths as an input


@dataclass(frozen=True)
class Grid:
    """What a picture of tiles is made of.

    Attributes:
        channels: in all; `block` of them lie side by side.
        rows, columns: of tiles.
        samples: 1, or -1 if their number is open.
    """

    channels: int
    block: int
    rows: int
    columns: int
    samples: int

    @property
    def shape(self) -> list[int]:
        """Of the array."""
        blocks = self.channels // self.block
        return [TILE, TILE, blocks, self.samples, self.rows, self.columns, self.block]


class Tiles:
    """Knows which values of a graph exist as tiles, and follows them.

    Args:
        writer: where nodes go.
        file: whose graph it is.
        shapes: sizes of its values, 0 where unknown.
    """

    def __init__(self, writer: GraphWriter, file: OnnxFile, shapes: Mapping[str, list[int]]) -> None:
        self._writer = writer
        self._file = file
        self._shapes = shapes
        self._constants = {constant.name: constant for constant in file.model.graph.initializer}
        self._grids: dict[str, Grid] = {}
        self._pictures: set[str] = set()

    def grid(self, value: str) -> Grid | None:
        """How a value is cut into tiles; None if it is not."""
        return self._grids.get(value) if self._writer.opset >= _NEEDED_OPSET else None

    def keep(self, value: str, tiles: str, grid: Grid) -> None:
        """The array `tiles` of the given grid is what the graph calls `value`."""
        self._writer.shaped(tiles, grid.shape, _tiles_of(value))
        self._grids[value] = grid

    def picture(self, value: str) -> None:
        """See to it that a value exists in the order that ONNX gives it."""
        grid = self._grids.get(value)
        if grid is None or value in self._pictures:
            return
        self._pictures.add(value)
        name = f"{value}.picture"
        self._writer.node("Transpose", [_tiles_of(value)], f"{name}.order", perm=_TO_PICTURE)
        size = [-1, grid.channels, grid.rows * TILE, grid.columns * TILE]
        self._writer.shaped(f"{name}.order", size, name)
        self._writer.unblocked(name, grid.channels, grid.block, value)

    def pictures(self, node: Any) -> None:
        """See to it that everything a node takes exists in that order."""
        inner = any(attribute.HasField("g") for attribute in node.attribute)  # which may take anything
        for name in [*self._grids] if inner else node.input:
            self.picture(name)

    def follow(self, node: Any) -> bool:
        """Write a node of the graph so that it works on tiles; False if it cannot."""
        grids = {self._grids[name] for name in node.input if name in self._grids}
        if len(grids) != 1 or len(node.output) != 1:
            return False
        (grid,) = grids
        if node.op_type == "ReduceMean":
            return self._mean(node, grid)
        if node.op_type in _ALONE and all(self._is_single(name) for name in node.input[1:] if name):
            inputs = [_tiles_of(node.input[0]), *node.input[1:]]
        elif node.op_type in _TOGETHER and all(self._fits(name, grid) for name in node.input):
            inputs = [self._matching(name, grid) for name in node.input]
        else:
            return False
        copied = type(node).FromString(node.SerializeToString())
        del copied.input[:]
        copied.input.extend(inputs)
        copied.output[0] = copied.name = _tiles_of(node.output[0])
        self._writer.nodes.append(copied)
        self._grids[node.output[0]] = grid
        return True

    def windows(self, value: str, incoming: Any, prefix: str) -> str:
        """The windows of all tiles, transformed: (points, channels * tiles), with zeros round the picture.

        Args:
            value: that is kept as tiles.
            incoming: (points, window) along one axis; windows reach one further than their tiles.
        """
        writer, tiles = self._writer, _tiles_of(value)
        parts, order = [], []
        for down in (0, -1, 1):
            for right in (0, -1, 1):
                name = f"{prefix}.from{down}{right}".replace("-", "n")
                part = tiles
                if down or right:
                    part = writer.node("Pad", [tiles, self._shift(down, right)], f"{name}.moved")
                count = (1 if down else TILE) * (1 if right else TILE)
                parts.append(writer.shaped(part, [count, -1], name))
                order += [(row, column) for row in _reached(down) for column in _reached(right)]
        cut = writer.node("Concat", parts, f"{prefix}.cut", axis=0)
        size = TILE + 2
        both = np.kron(incoming, incoming)[:, [row * size + column for row, column in order]]
        return writer.node("MatMul", [writer.constant("tiles.in", both), cut], f"{prefix}.windows")

    def _shift(self, down: int, right: int) -> str:
        """Widths by which tiles are padded, or cut, to leave the one line of each neighbour that counts."""
        begin, end = [0] * 7, [0] * 7
        for step, inner, outer in ((down, 0, 4), (right, 1, 5)):
            if step < 0:  # the neighbour before: its last line, moved on by one
                begin[inner], begin[outer], end[outer] = 1 - TILE, 1, -1
            elif step > 0:
                end[inner], begin[outer], end[outer] = 1 - TILE, -1, 1
        name = f"tiles.shift{down}{right}".replace("-", "n")
        return self._writer.integers(name, [*begin, *end])

    def _mean(self, node: Any, grid: Grid) -> bool:
        """The mean of each channel, which is no longer tiles."""
        given = {attribute.name: attribute for attribute in node.attribute}
        axes: list[int] = list(given["axes"].ints) if "axes" in given else []
        if len(node.input) > 1 and node.input[1] in self._constants:
            axes = [int(axis) for axis in self._file.values(self._constants[node.input[1]])]
        if {axis % 4 for axis in axes} != {2, 3} or ("keepdims" in given and not given["keepdims"].i):
            return False
        writer, name = self._writer, f"{node.output[0]}.mean"
        count = grid.rows * grid.columns
        # As products: the runtime's own reduction is slow in this order.
        flat = writer.shaped(_tiles_of(node.input[0]), [TILE * TILE, -1], f"{name}.flat")
        weights = writer.constant("tiles.mean", np.full((1, TILE * TILE), 1 / (TILE * TILE)))
        sums = writer.node("MatMul", [weights, flat], f"{name}.tile")
        blocks = grid.channels // grid.block
        sums = writer.shaped(sums, [blocks, grid.samples, count, grid.block], f"{name}.tiles")
        weights = writer.constant(f"tiles.mean{count}", np.full((1, count), 1 / count))
        sums = writer.node("MatMul", [weights, sums], f"{name}.channels")
        sums = writer.node("Transpose", [sums], f"{name}.samples", perm=[1, 0, 2, 3])
        writer.shaped(sums, [-1, grid.channels, 1, 1], node.output[0])
        return True

    def _fits(self, value: str, grid: Grid) -> bool:
        if value in self._grids or self._is_single(value):
            return True
        shape = self._shape(value)
        return shape is not None and len(shape) in (3, 4) and shape[-3:] == [grid.channels, 1, 1]

    def _is_single(self, value: str) -> bool:
        shape = self._shape(value)
        return shape is not None and all(size == 1 for size in shape)

    def _shape(self, value: str) -> list[int] | None:
        constant = self._constants.get(value)
        return self._shapes.get(value) if constant is None else list(constant.dims)

    def _matching(self, value: str, grid: Grid) -> str:
        """A value as tiles, or in a shape that goes with them."""
        if value in self._grids:
            return _tiles_of(value)
        if self._is_single(value):
            return value
        writer, blocks = self._writer, grid.channels // grid.block
        name = f"{value}.by{grid.block}_{grid.rows}_{grid.columns}"
        if not writer.has(name):
            split = writer.shaped(value, [-1, blocks, grid.block], f"{name}.split")
            split = writer.node("Transpose", [split], f"{name}.order", perm=[1, 0, 2])
            split = writer.shaped(split, [1, 1, blocks, -1, 1, 1, grid.block], f"{name}.blocks")
            # Repeated for every tile: arithmetic with so few numbers in a row is three times as slow.
            size = writer.integers(f"{name}.size", [1, 1, 1, 1, grid.rows, grid.columns, 1])
            writer.node("Expand", [split, size], name)
        return name


def _tiles_of(value: str) -> str:
    return f"{value}.as_tiles"


def _reached(step: int) -> range:
    """Lines of a window that come from its own tile, or from the neighbour before or after it."""
    return range(0, 1) if step < 0 else range(TILE + 1, TILE + 2) if step > 0 else range(1, TILE + 1)
