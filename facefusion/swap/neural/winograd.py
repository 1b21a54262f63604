"""Convolutions rewritten so that they need fewer multiplications.

A 4x4 tile of a 3x3 convolution's output costs 144 multiplications for each pair of channels; by way of a
transform of its 6x6 input window it costs 36 (Winograd's F(4x4, 3x3)), and with stride 2, by way of a 9x9
window, 81. ONNX Runtime's CPU kernels do not do that, but its products are fast, so the graph is rewritten: a
strided grouped convolution transforms all input windows at once, one product for each point mixes the
channels, one product transforms back, and a transposition lays out the tiles.

A convolution of a picture that was enlarged just before changes places with that: the small picture is
multiplied with the taps, where it is doubled with fewer than nine for each pixel (`resized_lines`), and a
product for the rows and one for the columns put these together to the large picture. Wide convolutions down
to a few channels (the last layer of most generators) are turned round: as `ConvTranspose` they are one
product of matrices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facefusion.swap.neural.graph_writer import GraphWriter, block_size, in_order
from facefusion.swap.neural.schemes import (
    TAPS,
    TILE,
    Lines,
    Matrix,
    Share,
    both_axes,
    resized_lines,
    resized_taps,
)
from facefusion.swap.neural.sites import (
    LEAST_CHANNELS,
    Enlarged,
    Finder,
    Site,
    Tiled,
    Turned,
    known_shapes,
)
from facefusion.swap.neural.tiles import Grid, Tiles
from facefusion.system.onnx_file import OnnxFile
from facefusion.system.onnx_runtime import import_onnxruntime, session_options

FORM = 3
"""Number of what is written; with another one everything is measured anew."""


def rewrite(file: OnnxFile, *, least_channels: int = LEAST_CHANNELS, block: int | None = None) -> int:
    """Rewrite the fitting convolutions of an opened model in memory; the file stays as it is.

    Fitting are those of 3x3 with stride 1 or 2, without groups and dilation, of enough channels, whose output
    is a whole number of tiles or whose input was enlarged; and wide ones to very few channels. What they
    compute stays the same up to rounding.

    Args:
        file: the model.
        least_channels: of input and output.
        block: channels in a block, see `GraphWriter`; what suits this machine if None.

    Returns:
        How many were rewritten.
    """
    shapes = known_shapes(file.model)
    sites = {id(site.node): site for site in Finder(file.model, shapes, least_channels).sites()}
    if not sites:
        return 0
    builder = _Builder(file, shapes, block_size() if block is None else block)
    for node in list(file.model.graph.node):
        builder.add(node, sites.get(id(node)))
    builder.finish()
    return len(sites)


class _Builder:
    """Writes what computes the same."""

    def __init__(self, file: OnnxFile, shapes: Mapping[str, list[int]], block: int) -> None:
        self._writer = GraphWriter(file)
        self._tiles = Tiles(self._writer, file, shapes)
        self._file = file
        self._block = block
        self._weights = {constant.name: constant for constant in file.model.graph.initializer}
        self._count = 0

    def add(self, node: Any, site: Site | None) -> None:
        """Add what computes the same as `node`, which is that of `site` if it is one."""
        match site:
            case Turned():
                self._turn_round(site)
            case Tiled():
                self._transform(site)
            case Enlarged():
                self._multiply_small(site)
            case None:
                if self._tiles.follow(node):
                    return
                self._tiles.pictures(node)
                self._writer.nodes.append(node)
                return
        self._count += 1

    def _turn_round(self, site: Turned) -> None:
        """A convolution is the transposed convolution with the kernel mirrored and its axes exchanged."""
        height, width = site.weight.dims[2:]
        top, left, bottom, right = site.pads
        self._tiles.picture(site.node.input[0])
        values = self._file.values(site.weight).transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
        mirrored = self._writer.constant(f"turned{self._count}.kernel", values)
        pads = [height - 1 - top, width - 1 - left, height - 1 - bottom, width - 1 - right]
        inputs = [site.node.input[0], mirrored, *site.node.input[2:]]
        result = site.node.output[0]
        self._writer.node("ConvTranspose", inputs, result, kernel_shape=[height, width], pads=pads)

    def _transform(self, site: Tiled) -> None:
        writer, scheme, prefix = self._writer, site.scheme, f"winograd{self._count}"
        outputs, inputs = site.weight.dims[:2]
        block = self._block_for(outputs, inputs)
        # Tiles of all samples lie side by side, so that the weights are read once for all of them.
        high, samples = (site.rows, 1) if site.single else (-1, -1)
        kept = self._kept(site) is not None
        pixels = ""
        for count, (share, windows) in enumerate(
            zip(scheme.shares, self._windows(site, prefix), strict=True)
        ):
            name = f"{prefix}.{count}"
            times, kernels = share.points.shape
            plane = [times, kernels * inputs, high, site.columns]
            windows = writer.shaped(windows, plane, f"{name}.groups")
            # What is added to the point (1, 1) is added to every pixel.
            bias = np.zeros((kernels, outputs), np.float32)
            bias[share.points[0] == scheme.points + 1] = self._bias(site)
            mixed = writer.product(
                windows if kept else writer.blocked(windows, block),
                f"{name}.mixed",
                partial(self._spread, site, share, block),
                (kernels, outputs, inputs),
                [times, high, site.columns],
                bias.ravel(),
                block,
            )
            mixed = writer.shaped(mixed, [times * kernels, -1], f"{name}.points")
            outgoing = both_axes(scheme.outgoing)[:, share.points.ravel()]
            back = writer.constant(f"winograd.out{scheme.stride}_{count}", outgoing)
            part = writer.node("MatMul", [back, mixed], f"{name}.pixels")
            pixels = writer.node("Add", [pixels, part], f"{name}.sum") if pixels else part
        grid = Grid(outputs, block, site.rows, site.columns, samples)
        self._tiles.keep(site.node.output[0], pixels, grid)

    def _spread(self, site: Tiled, share: Share, block: int) -> NDArray[np.float32]:
        return share.kernel.astype(np.float32) @ self._taps(site, block)

    def _kept(self, site: Tiled) -> Grid | None:
        """The tiles of its input that a convolution can use as they are."""
        grid = self._tiles.grid(site.node.input[0])
        block = self._block_for(*site.weight.dims[:2])
        wanted = (site.rows, site.columns, block)
        if grid is None or site.scheme.stride != 1 or set(site.pads) != {1}:
            return None
        return grid if (grid.rows, grid.columns, grid.block) == wanted else None

    def _windows(self, site: Tiled, prefix: str) -> list[str]:
        """Transformed windows by point and channel, for each share; in blocks if they come from tiles."""
        writer, scheme, inputs = self._writer, site.scheme, site.weight.dims[1]
        if self._kept(site) is not None:
            return [self._tiles.windows(site.node.input[0], scheme.incoming, prefix)]
        self._tiles.picture(site.node.input[0])
        order = np.concatenate([share.points.ravel() for share in scheme.shares])
        incoming = both_axes(scheme.incoming)[order].reshape(-1, 1, scheme.window, scheme.window)
        incoming = np.tile(incoming, (inputs, 1, 1, 1))
        windows = writer.node(
            "Conv",
            [site.node.input[0], writer.constant(f"winograd.in{scheme.stride}_{inputs}", incoming)],
            f"{prefix}.windows",
            kernel_shape=[scheme.window] * 2,
            strides=[TILE * scheme.stride] * 2,
            pads=list(site.pads),
            group=inputs,
        )
        lead, perm = ([], [1, 0, 2]) if site.single else ([-1], [2, 1, 0, 3])
        sizes = [*lead, inputs, len(order), site.rows * site.columns]
        windows = writer.shaped(windows, sizes, f"{prefix}.split")
        parts = writer.parts(windows, [share.points.size for share in scheme.shares], axis=len(lead) + 1)
        return [writer.node("Transpose", [part], f"{part}.points", perm=perm) for part in parts]

    def _multiply_small(self, site: Enlarged) -> None:
        writer, prefix = self._writer, f"enlarged{self._count}"
        outputs, inputs = site.weight.dims[:2]
        (height, width), (higher, wider) = site.size, site.larger
        block = self._block_for(outputs, inputs)
        self._tiles.picture(site.resize.input[0])

        lines = resized_lines(self._resized(site.resize, height, higher))
        small = writer.blocked(site.resize.input[0], block)
        parts = [self._mixed_lines(site, small, part, f"{prefix}.{i}") for i, part in enumerate(lines)]
        mixed = writer.node("Concat", parts, f"{prefix}.taps", axis=1) if len(parts) > 1 else parts[0]
        outgoing = np.concatenate([part.outgoing for part in lines], axis=1)
        rows = writer.constant(f"{prefix}.rows", outgoing)
        mixed = writer.node("MatMul", [rows, mixed], f"{prefix}.high")
        mixed = writer.shaped(mixed, [-1, TAPS * outputs, higher, width], f"{prefix}.planes")
        mixed = writer.unblocked(mixed, TAPS * outputs, block, f"{prefix}.flat")
        mixed = writer.shaped(mixed, [-1, TAPS, outputs * higher, width], f"{prefix}.apart")
        mixed = writer.node("Transpose", [mixed], f"{prefix}.lines", perm=[0, 2, 1, 3])
        mixed = writer.shaped(mixed, [-1, TAPS * width], f"{prefix}.long")
        columns = writer.constant(
            f"{prefix}.columns", resized_taps(self._resized(site.resize, width, wider)).T
        )
        mixed = writer.node("MatMul", [mixed, columns], f"{prefix}.wide")
        writer.shaped(mixed, [-1, outputs, higher, wider], site.node.output[0])

    def _mixed_lines(self, site: Enlarged, small: str, lines: Lines, prefix: str) -> str:
        """A picture's lines, each multiplied with the kernels: (channels, kernels * lines, columns)."""
        writer, (height, width) = self._writer, site.size
        outputs, inputs = site.weight.dims[:2]
        block, kernels = self._block_for(outputs, inputs), len(lines.kernel)
        if lines.incoming is not None:
            height = len(lines.incoming)
            flat = writer.shaped(small, [-1, site.size[0], width * block], f"{prefix}.flat")
            incoming = writer.constant(f"{prefix}.in", lines.incoming)
            small = writer.node("MatMul", [incoming, flat], f"{prefix}.met")
            small = writer.shaped(small, [-1, inputs, height, width], f"{prefix}.lines")

        # Channels of the product: tap of the column, block of outputs, kernel of the line, output in it.
        bias = np.zeros((TAPS, outputs // block, kernels, block), np.float32)
        if lines.incoming is None:
            bias[1, :, kernels // 2] = self._bias(site).reshape(-1, block)

        def kernel() -> NDArray[np.float32]:
            taps = self._taps(site, block).reshape(TAPS, -1)
            made = lines.kernel.astype(np.float32) @ taps
            made = made.reshape(kernels, TAPS, outputs // block, -1)
            return np.ascontiguousarray(made.transpose(1, 2, 0, 3))

        mixed = writer.product(
            small,
            f"{prefix}.mixed",
            kernel,
            (1, TAPS * kernels * outputs, inputs),
            [-1, height, width],
            bias.ravel(),
            block,
        )
        return writer.shaped(mixed, [-1, kernels * height, width * block], f"{prefix}.taps")

    def _block_for(self, *channels: int) -> int:
        return self._block if all(count % self._block == 0 for count in channels) else 1

    def _bias(self, site: Tiled | Enlarged) -> NDArray[np.float32]:
        if len(site.node.input) < 3 or not site.node.input[2]:
            return np.zeros(site.weight.dims[0], np.float32)
        return np.asarray(self._file.values(self._weights[site.node.input[2]]), np.float32)

    def _taps(self, site: Tiled | Enlarged, block: int) -> NDArray[np.float32]:
        return in_order(self._file.values(site.weight, borrowed=True), block)

    def _resized(self, resize: Any, small: int, large: int) -> Matrix:
        """(large, small): what a node makes of an axis; it is asked, since there are so many kinds."""
        from onnx import TensorProto, helper, numpy_helper

        constants: dict[str, NDArray[Any]] = {
            "region": np.zeros(0, np.float32),
            "size": np.array([1, small, large, 1], np.int64),
            # A little more, so that rounding takes no row away.
            "factors": np.array([1, 1, large / small * (1 + 1e-6), 1], np.float32),
        }
        version = max(o.version for o in self._file.model.opset_import if o.domain in ("", "ai.onnx"))
        node = type(resize).FromString(resize.SerializeToString())
        del node.input[:], node.output[:]
        if version >= 13:  # only then may what is not given be left out
            node.input.extend(["x", "", "", "size"])
        else:
            node.input.extend(["x", "region", "factors"] if version >= 11 else ["x", "factors"])
        node.output.append("y")
        given = [numpy_helper.from_array(constants[name], name) for name in node.input if name in constants]
        ports = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, small, length, 1])
            for name, length in (("x", small), ("y", large))
        ]
        graph = helper.make_graph([node], "resize", ports[:1], ports[1:], given)
        model = helper.make_model(graph, opset_imports=self._file.model.opset_import, ir_version=8)
        runtime = import_onnxruntime()
        options = session_options(runtime, "cpu", 1)
        session = runtime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        unit = np.eye(small, dtype=np.float32).reshape(1, small, small, 1)
        return np.asarray(session.run(None, {"x": unit})[0][0, :, :, 0].T, np.float64)

    def finish(self) -> None:
        """Put the new nodes in the place of the old ones; what enlarged pictures only for them is gone."""
        for port in self._file.model.graph.output:
            self._tiles.picture(port.name)
        used = Counter(name for node in self._writer.nodes for name in node.input)
        used.update(port.name for port in self._file.model.graph.output)
        kept = [node for node in self._writer.nodes if node.op_type != "Resize" or used[node.output[0]]]
        self._writer.nodes = kept
        self._writer.finish()
