"""Per-pixel loops of the media room, compiled with Numba.

Frames stay in the decoder's planes; only the region of a face is converted to BGR and mixed back. The loops
here do that for every planar YUV layout: samples of 8 bit (`uint8`) or 9 to 16 bit (`uint16`), any chroma
subsampling given as shifts (`sx`, `sy`: 1, 1 is 4:2:0; 1, 0 is 4:2:2; 0, 0 is 4:4:4).

Arithmetic is float32: one formula serves every depth, matrix and range, 16-bit samples stay exact, and the
loops vectorise. They are written row by row over contiguous scratch rows, and interleave BGR in a loop of its
own, because that is what the vectoriser understands (0.3 ns a pixel against 1.8 ns for the obvious form).

All functions release the GIL and are cached on disk after the first compilation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _chroma_terms(u: Array, v: Array, cu: Any, cv: Any, c0: Any, sx: int, out: Array) -> None:
    """`out[x] = cu*u + cv*v + c0` for every pixel x, each chroma sample serving `1 << sx` pixels."""
    n = u.shape[0]
    if sx == 0:
        for i in range(n):
            out[i] = cu * np.float32(np.int32(u[i])) + cv * np.float32(np.int32(v[i])) + c0
    elif sx == 1:
        for i in range(n):
            term = cu * np.float32(np.int32(u[i])) + cv * np.float32(np.int32(v[i])) + c0
            out[2 * i] = term
            out[2 * i + 1] = term
    else:
        for i in range(n):
            term = cu * np.float32(np.int32(u[i])) + cv * np.float32(np.int32(v[i])) + c0
            for j in range(i << sx, (i + 1) << sx):
                out[j] = term


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _store_row(
    luma: Array, blue: Array, green: Array, red: Array, top: Any, scratch: Array, out: Array
) -> None:
    """Clip `luma + blue/green/red` to 0..top and store it interleaved in `out` (3 * width samples)."""
    n = luma.shape[0]
    zero = np.float32(0)
    b = scratch[0]
    g = scratch[1]
    r = scratch[2]
    for i in range(n):
        y = luma[i]
        b[i] = np.int32(min(max(y + blue[i], zero), top))
        g[i] = np.int32(min(max(y + green[i], zero), top))
        r[i] = np.int32(min(max(y + red[i], zero), top))
    for i in range(n):
        out[3 * i] = b[i]
        out[3 * i + 1] = g[i]
        out[3 * i + 2] = r[i]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def yuv_to_bgr(
    y: Array, u: Array, v: Array, sx: int, sy: int, x0: int, y0: int, k: Array, out: Array
) -> None:
    """Convert a region of planar YUV to interleaved BGR, chroma taken from the nearest sample.

    Args:
        y: luma plane, (rows, line) uint8 or uint16, C-contiguous; columns past the picture are not read.
        u: first chroma plane, same dtype.
        v: second chroma plane.
        sx: horizontal chroma shift.
        sy: vertical chroma shift.
        x0: left edge of the region.
        y0: top edge of the region.
        k: float32[11], see `facefusion.media.colour.ColourModel.to_bgr`.
        out: (h, w, 3) uint8 or uint16, C-contiguous; its shape is the region's size.
    """
    h, w = out.shape[0], out.shape[1]
    first = x0 >> sx
    count = ((x0 + w - 1) >> sx) + 1 - first
    left = x0 - (first << sx)
    terms = np.empty((3, count << sx), np.float32)
    luma = np.empty(w, np.float32)
    scratch = np.empty((3, w), out.dtype)
    current = -1
    for row in range(h):
        c = (y0 + row) >> sy
        if c != current:
            current = c
            ur = u[c, first : first + count]
            vr = v[c, first : first + count]
            _chroma_terms(ur, vr, k[1], k[2], k[3], sx, terms[0])
            _chroma_terms(ur, vr, k[4], k[5], k[6], sx, terms[1])
            _chroma_terms(ur, vr, k[7], k[8], k[9], sx, terms[2])
        source = y[y0 + row, x0 : x0 + w]
        for i in range(w):
            luma[i] = k[0] * np.float32(np.int32(source[i]))
        _store_row(
            luma,
            terms[0, left : left + w],
            terms[1, left : left + w],
            terms[2, left : left + w],
            k[10],
            scratch,
            out[row].reshape(3 * w),
        )


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _mean_blocks(columns: Array, step: int, rows: int, out: Array) -> None:
    """`out[i]` = mean of block i: `step` columns (fewer in the last one), each already summed over `rows`."""
    width = columns.shape[0]
    whole = width // step
    share = np.float32(1.0 / (step * rows))
    if step == 2:
        for i in range(whole):
            out[i] = share * np.float32(columns[2 * i] + columns[2 * i + 1])
    elif step == 3:
        for i in range(whole):
            out[i] = share * np.float32(columns[3 * i] + columns[3 * i + 1] + columns[3 * i + 2])
    elif step == 4:
        for i in range(whole):
            pair = columns[4 * i] + columns[4 * i + 1]
            out[i] = share * np.float32(pair + columns[4 * i + 2] + columns[4 * i + 3])
    else:
        for i in range(whole):
            total = 0
            for j in range(i * step, (i + 1) * step):
                total += columns[j]
            out[i] = share * np.float32(total)
    if whole < out.shape[0]:
        total = 0
        for j in range(whole * step, width):
            total += columns[j]
        out[whole] = np.float32(total / ((width - whole * step) * rows))


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _spread(columns: Array, sx: int, out: Array) -> None:
    """Repeat every chroma column for the `1 << sx` pixels that it serves."""
    n = columns.shape[0]
    if sx == 1:
        for i in range(n):
            out[2 * i] = columns[i]
            out[2 * i + 1] = columns[i]
    else:
        for i in range(n << sx):
            out[i] = columns[i >> sx]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def yuv_to_bgr_shrunk(
    y: Array,
    u: Array,
    v: Array,
    sx: int,
    sy: int,
    box: tuple[int, int, int, int],
    shrink: int,
    k: Array,
    out: Array,
) -> None:
    """Convert a region of planar YUV to BGR, area-averaged down by an integer factor.

    Args:
        y: luma plane; see `yuv_to_bgr` for it and for `u`, `v`, `sx`, `sy`, `k`.
        u: first chroma plane.
        v: second chroma plane.
        sx: horizontal chroma shift.
        sy: vertical chroma shift.
        box: x0, y0, x1, y1 of the region.
        shrink: factor >= 1; blocks cut by the right and lower edge are averaged over what they have.
        k: coefficients.
        out: (ceil(h / shrink), ceil(w / shrink), 3) uint8 or uint16, C-contiguous.
    """
    x0, y0, x1, y1 = box
    w = x1 - x0
    first = x0 >> sx
    count = ((x1 - 1) >> sx) + 1 - first
    columns = np.empty(w, np.int32)
    columns_u = np.empty(count, np.int32)
    columns_v = np.empty(count, np.int32)
    left = x0 - (first << sx)
    spread = np.empty(count << sx, np.int32)
    size = out.shape[1]
    luma = np.empty(size, np.float32)
    mean_u = np.empty(size, np.float32)
    mean_v = np.empty(size, np.float32)
    terms = np.empty((3, size), np.float32)
    scratch = np.empty((3, size), out.dtype)
    for row in range(out.shape[0]):
        top = y0 + row * shrink
        bottom = min(top + shrink, y1)
        columns[:] = 0
        columns_u[:] = 0
        columns_v[:] = 0
        for r in range(top, bottom):
            source = y[r, x0:x1]
            for i in range(w):
                columns[i] += np.int32(source[i])
            ur = u[r >> sy, first : first + count]
            vr = v[r >> sy, first : first + count]
            for i in range(count):
                columns_u[i] += np.int32(ur[i])
            for i in range(count):
                columns_v[i] += np.int32(vr[i])
        rows = bottom - top
        _mean_blocks(columns, shrink, rows, luma)
        _spread(columns_u, sx, spread)
        _mean_blocks(spread[left : left + w], shrink, rows, mean_u)
        _spread(columns_v, sx, spread)
        _mean_blocks(spread[left : left + w], shrink, rows, mean_v)
        for i in range(size):
            luma[i] = k[0] * luma[i]
            terms[0, i] = k[1] * mean_u[i] + k[2] * mean_v[i] + k[3]
            terms[1, i] = k[4] * mean_u[i] + k[5] * mean_v[i] + k[6]
            terms[2, i] = k[7] * mean_u[i] + k[8] * mean_v[i] + k[9]
        _store_row(luma, terms[0], terms[1], terms[2], k[10], scratch, out[row].reshape(3 * size))


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _fold_chroma(plane: Array, weighted: Array, weights: Array, share: Array, sx: int, top: Any) -> None:
    """Mix one row of chroma: `c += (sum of a*new - c * sum of a) / pixels of the block`.

    A block whose alphas are all 0 keeps its exact value (the correction is then exactly 0).
    """
    n = plane.shape[0]
    half = np.float32(0.5)
    if sx == 0:
        for i in range(n):
            old = np.float32(np.int32(plane[i]))
            plane[i] = np.int32(min(old + (weighted[i] - old * weights[i]) * share[i] + half, top))
    elif sx == 1:
        for i in range(n):
            old = np.float32(np.int32(plane[i]))
            total = weighted[2 * i] + weighted[2 * i + 1]
            weight = weights[2 * i] + weights[2 * i + 1]
            plane[i] = np.int32(min(old + (total - old * weight) * share[i] + half, top))
    else:
        for i in range(n):
            old = np.float32(np.int32(plane[i]))
            total = np.float32(0)
            weight = np.float32(0)
            for j in range(i << sx, (i + 1) << sx):
                total += weighted[j]
                weight += weights[j]
            plane[i] = np.int32(min(old + (total - old * weight) * share[i] + half, top))


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def blend_yuv(
    y: Array,
    u: Array,
    v: Array,
    size: tuple[int, int],
    sx: int,
    sy: int,
    x0: int,
    y0: int,
    colour: Array,
    alpha: Array,
    k: Array,
) -> None:
    """Mix BGR pixels into a region of planar YUV, in place, in the planes' own depth.

    Luma is mixed pixel by pixel. A chroma sample moves towards the alpha-weighted mean colour of its block by
    the block's mean alpha. Samples whose alphas are all 0 stay bit-identical.

    Args:
        y: luma plane, (rows, line) uint8 or uint16, C-contiguous, written.
        u: first chroma plane, written.
        v: second chroma plane, written.
        size: width and height of the picture (blocks at odd edges have fewer pixels).
        sx: horizontal chroma shift.
        sy: vertical chroma shift.
        x0: left edge of the region.
        y0: top edge of the region.
        colour: (h, w, 3) BGR, uint8 or uint16, C-contiguous.
        alpha: (h, w) uint8, 255 = all new, C-contiguous.
        k: float32[13], see `facefusion.media.colour.ColourModel.from_bgr`.
    """
    h, w = alpha.shape
    width, height = size
    first = x0 >> sx
    count = ((x0 + w - 1) >> sx) + 1 - first
    left = x0 - (first << sx)
    top = k[12]
    half = np.float32(0.5)
    unit = np.float32(1.0 / 255.0)
    b = np.empty(w, np.float32)
    g = np.empty(w, np.float32)
    r = np.empty(w, np.float32)
    weighted_u = np.zeros(count << sx, np.float32)
    weighted_v = np.zeros(count << sx, np.float32)
    weights = np.zeros(count << sx, np.float32)
    share = np.empty(count, np.float32)
    touched = False
    for row in range(h):
        line = y0 + row
        mask = alpha[row]
        seen = np.uint8(0)
        for i in range(w):
            seen |= mask[i]
        if seen != 0:
            touched = True
            pixels = colour[row].reshape(3 * w)
            for i in range(w):
                b[i] = np.float32(np.int32(pixels[3 * i]))
                g[i] = np.float32(np.int32(pixels[3 * i + 1]))
                r[i] = np.float32(np.int32(pixels[3 * i + 2]))
            target = y[line, x0 : x0 + w]
            sum_u = weighted_u[left : left + w]
            sum_v = weighted_v[left : left + w]
            sum_a = weights[left : left + w]
            for i in range(w):
                a = unit * np.float32(np.int32(mask[i]))
                old = np.float32(np.int32(target[i]))
                new = k[0] * b[i] + k[1] * g[i] + k[2] * r[i] + k[3]
                target[i] = np.int32(min(old + a * (new - old) + half, top))
                sum_u[i] += a * (k[4] * b[i] + k[5] * g[i] + k[6] * r[i] + k[7])
                sum_v[i] += a * (k[8] * b[i] + k[9] * g[i] + k[10] * r[i] + k[11])
                sum_a[i] += a
        c = line >> sy
        if touched and (row == h - 1 or ((line + 1) >> sy) != c):
            rows = min((c + 1) << sy, height) - (c << sy)
            for i in range(count):
                across = min((first + i + 1) << sx, width) - ((first + i) << sx)
                share[i] = np.float32(1.0) / np.float32(rows * across)
            _fold_chroma(u[c, first : first + count], weighted_u, weights, share, sx, top)
            _fold_chroma(v[c, first : first + count], weighted_v, weights, share, sx, top)
            weighted_u[:] = 0
            weighted_v[:] = 0
            weights[:] = 0
            touched = False


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def blend_samples(target: Array, colour: Array, alpha: Array, scale: float) -> None:
    """Mix `colour * scale` into `target` in place; samples whose alpha is 0 stay bit-identical.

    Args:
        target: (h, w, channels) uint8 or uint16; the first channels of `colour` are mixed.
        colour: (h, w, c) uint8 or uint16 with c <= channels.
        alpha: (h, w) uint8, 255 = all new.
        scale: units of `target` for one unit of `colour` (257 from 8 to 16 bit).
    """
    h, w, channels = colour.shape
    factor = np.float32(scale)
    unit = np.float32(1.0 / 255.0)
    half = np.float32(0.5)
    for row in range(h):
        for i in range(w):
            if alpha[row, i] == 0:
                continue
            a = unit * np.float32(np.int32(alpha[row, i]))
            for c in range(channels):
                old = np.float32(np.int32(target[row, i, c]))
                new = factor * np.float32(np.int32(colour[row, i, c]))
                target[row, i, c] = np.int32(old + a * (new - old) + half)


def warm_up() -> None:
    """Compile (or load from the cache on disk) the kernels for ordinary video of 8 bit and more, and photos.

    Takes about ten seconds the first time. What HDR needs beyond that is compiled when the first HDR video
    comes, which takes about five.
    """
    k = np.zeros(13, np.float32)
    alpha = np.zeros((2, 2), np.uint8)
    picture = np.zeros((2, 2, 3), np.uint8)
    for dtype in (np.uint8, np.uint16):
        plane = np.zeros((4, 4), dtype)
        yuv_to_bgr(plane, plane, plane, 1, 1, 0, 0, k, picture)
        yuv_to_bgr_shrunk(plane, plane, plane, 1, 1, (0, 0, 2, 2), 1, k, picture)
        blend_yuv(plane, plane, plane, (4, 4), 1, 1, 0, 0, picture, alpha, k)
        blend_samples(np.zeros((2, 2, 3), dtype), picture, alpha, 1.0)
