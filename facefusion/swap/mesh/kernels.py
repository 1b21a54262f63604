"""Per-pixel arithmetic of the mesh engine, compiled with Numba.

Conventions: pixel centres lie at integer coordinates (as in OpenCV); images are (h, w, 3) uint8 BGR.
Everything releases the GIL and runs on the calling thread only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def rasterise(vertices: Array, triangles: Array, width: int, height: int) -> tuple[Array, Array]:
    """Draw triangles with a depth buffer.

    Args:
        vertices: (n, 3) float32: x, y in pixels, z growing away from the camera.
        triangles: (m, 3) int32; those whose area is negative (seen from behind) are skipped.
        width, height: size of the picture in pixels.

    Returns:
        (h, w) int16 triangle numbers, -1 where nothing is; (h, w, 2) float32 barycentric weights of the
        triangle's second and third vertex.
    """
    ids = np.full((height, width), -1, np.int16)
    weights = np.empty((height, width, 2), np.float32)
    depth = np.full((height, width), np.float32(1e9))
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, az = vertices[a, 0], vertices[a, 1], vertices[a, 2]
        abx, aby = vertices[b, 0] - ax, vertices[b, 1] - ay
        acx, acy = vertices[c, 0] - ax, vertices[c, 1] - ay
        area = abx * acy - aby * acx
        if area <= 1e-6:
            continue
        x0 = max(0, int(np.ceil(min(ax, ax + abx, ax + acx))))
        x1 = min(width - 1, int(np.floor(max(ax, ax + abx, ax + acx))))
        y0 = max(0, int(np.ceil(min(ay, ay + aby, ay + acy))))
        y1 = min(height - 1, int(np.floor(max(ay, ay + aby, ay + acy))))
        inverse = np.float32(1.0) / area
        abz, acz = vertices[b, 2] - az, vertices[c, 2] - az
        for y in range(y0, y1 + 1):
            py = np.float32(y) - ay
            for x in range(x0, x1 + 1):
                px = np.float32(x) - ax
                v = (px * acy - py * acx) * inverse
                w = (py * abx - px * aby) * inverse
                if v >= -1e-4 and w >= -1e-4 and v + w <= 1.0001:
                    z = az + v * abz + w * acz
                    if z < depth[y, x]:
                        depth[y, x] = z
                        ids[y, x] = t
                        weights[y, x, 0] = v
                        weights[y, x, 1] = w
    return ids, weights


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def interpolate(ids: Array, weights: Array, triangles: Array, attributes: Array, fill: float) -> Array:
    """Spread vertex attributes (n, k) float32 over the pixels of a rasterised mesh: (h, w, k) float32."""
    height, width = ids.shape
    count = attributes.shape[1]
    out = np.full((height, width, count), np.float32(fill))
    for y in range(height):
        for x in range(width):
            t = ids[y, x]
            if t < 0:
                continue
            v, w = weights[y, x, 0], weights[y, x, 1]
            u = np.float32(1.0) - v - w
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            for k in range(count):
                out[y, x, k] = u * attributes[a, k] + v * attributes[b, k] + w * attributes[c, k]
    return out


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def weighted_means(kernel: Array, values: Array, weights: Array) -> Array:
    """For every row of `kernel` (n, m), the mean of `values` (m, k) weighted by kernel * `weights` (m,).

    A matrix product by name; a BLAS would start threads for it that then wait for one another's core.
    """
    rows, columns = kernel.shape
    count = values.shape[1]
    out = np.empty((rows, count), np.float32)
    # Each value in a row of its own: the inner loops then run over neighbours in memory, and vectorise.
    weighted = np.empty((count, columns), np.float32)
    for k in range(count):
        for j in range(columns):
            weighted[k, j] = values[j, k] * weights[j]
    for i in range(rows):
        row = kernel[i]
        total = np.float32(1e-6)
        for j in range(columns):
            total += row[j] * weights[j]
        for k in range(count):
            sum_k = np.float32(0.0)
            line = weighted[k]
            for j in range(columns):
                sum_k += row[j] * line[j]
            out[i, k] = sum_k / total
    return out


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def facing(points: Array, triangles: Array, skin: int) -> Array:
    """How far the triangles round each point face the camera, on the mean.

    Args:
        points: (n, 3) float32.
        triangles: (m, 3) int32.
        skin: number of the first triangle that counts as facing forward in any case.

    Returns:
        (n,) float32: 1 straight, 0 at right angles or away.
    """
    total = np.zeros(points.shape[0], np.float32)
    count = np.zeros(points.shape[0], np.float32)
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        cosine = np.float32(1.0)
        if t < skin:
            px, py, pz = (
                points[b, 0] - points[a, 0],
                points[b, 1] - points[a, 1],
                points[b, 2] - points[a, 2],
            )
            qx, qy, qz = (
                points[c, 0] - points[a, 0],
                points[c, 1] - points[a, 1],
                points[c, 2] - points[a, 2],
            )
            nx, ny, nz = py * qz - pz * qy, pz * qx - px * qz, px * qy - py * qx
            cosine = max(nz, np.float32(0.0)) / (np.sqrt(nx * nx + ny * ny + nz * nz) + np.float32(1e-6))
        for k in range(3):
            total[triangles[t, k]] += cosine
            count[triangles[t, k]] += 1
    return total / np.maximum(count, np.float32(1.0))


@njit(inline="always")
def _sample(image: Array, x: Any, y: Any) -> tuple[Any, Any, Any]:
    """Bilinear sample of an (h, w, 3) image; positions are clamped to the border."""
    height, width = image.shape[0], image.shape[1]
    x = min(max(x, np.float32(0.0)), np.float32(width - 1.001))
    y = min(max(y, np.float32(0.0)), np.float32(height - 1.001))
    x0, y0 = int(x), int(y)
    fx, fy = x - np.float32(x0), y - np.float32(y0)
    x1, y1 = min(x0 + 1, width - 1), min(y0 + 1, height - 1)
    return (
        _mix(_mix(image[y0, x0, 0], image[y0, x1, 0], fx), _mix(image[y1, x0, 0], image[y1, x1, 0], fx), fy),
        _mix(_mix(image[y0, x0, 1], image[y0, x1, 1], fx), _mix(image[y1, x0, 1], image[y1, x1, 1], fx), fy),
        _mix(_mix(image[y0, x0, 2], image[y0, x1, 2], fx), _mix(image[y1, x0, 2], image[y1, x1, 2], fx), fy),
    )


@njit(inline="always")
def _mix(one: Any, other: Any, share: Any) -> Any:
    """From `one` (share 0) to `other` (share 1)."""
    one, other = np.float32(one), np.float32(other)
    return one + (other - one) * share


@njit(inline="always")
def _luma(b: Any, g: Any, r: Any) -> Any:
    return np.float32(0.114) * b + np.float32(0.587) * g + np.float32(0.299) * r


@njit(inline="always")
def _on_disc(dx: Any, dy: Any, radius: Any) -> Any:
    """1 on an iris of a radius, 0 from a fourth of it outside."""
    far = np.sqrt(dx * dx + dy * dy) / (radius + np.float32(1e-6))
    return min(max((np.float32(1.25) - far) * np.float32(6.0), np.float32(0.0)), np.float32(1.0))


@njit(inline="always")
def _byte(value: Any) -> Any:
    return np.uint8(min(max(value + np.float32(0.5), np.float32(0.0)), np.float32(255.0)))


@njit(inline="always")
def _foreign(b: Any, g: Any, r: Any, sb: Any, sg: Any, sr: Any) -> Any:
    """How surely a colour is not the skin colour (sb, sg, sr) in some light: 0..1."""
    luma = np.float32(0.114) * b + np.float32(0.587) * g + np.float32(0.299) * r
    skin = np.float32(0.114) * sb + np.float32(0.587) * sg + np.float32(0.299) * sr
    dark = (skin - luma) / (skin + np.float32(8.0))
    total, total_skin = b + g + r + np.float32(24.0), sb + sg + sr + np.float32(24.0)
    tint = abs(r / total - sr / total_skin) + abs(b / total - sb / total_skin)
    by_dark = (dark - np.float32(0.3)) / np.float32(0.25)
    # A highlight is paler than skin and still skin.
    dull = min(
        max((np.float32(1.2) - luma / (skin + np.float32(1.0))) * np.float32(6.0), np.float32(0.0)),
        np.float32(1.0),
    )
    by_tint = dull * (tint - np.float32(0.07)) / np.float32(0.06)
    return min(max(max(by_dark, by_tint), np.float32(0.0)), np.float32(1.0))


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def foreign(image: Array, skin: Array) -> Array:
    """(h, w) float32: how surely each pixel is not of the skin's colour (both (h, w, 3) float32)."""
    height, width = image.shape[:2]
    out = np.empty((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            out[y, x] = _foreign(
                image[y, x, 0], image[y, x, 1], image[y, x, 2], skin[y, x, 0], skin[y, x, 1], skin[y, x, 2]
            )
    return out


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def shade(
    ids: Array,
    weights: Array,
    triangles: Array,
    attributes: Array,
    texture: Array,
    target: Array,
    own: Array,
    spare: Array,
    eyes: Array,
    openings: Array,
    depth: float,
    tone: Array,
    tint: float,
    colour: Array,
    alpha: Array,
) -> None:
    """Colour every pixel of the drawn face.

    Args:
        ids, weights, triangles: from `rasterise`.
        attributes: (n, 13) float32 per vertex: texture x, y; target x, y; light gain b, g, r; coverage 0..1;
            colour b, g, r of the target's bare skin; how far other things than skin stay visible, 0..1; how
            surely something is in front of the face, 0..1.
        texture: (h, w, 3) uint8 BGR atlas of the source face, at a size fitting the target's.
        target: (h, w, 3) uint8 BGR, the region that is drawn into.
        own: (h, w) uint8, how much of the target's own (moved) pixels shows: inner mouth, closing lids.
        spare: (h, w) uint8, where the target's brows and eyes lie: dark, but to be covered.
        eyes: (2, 17) float32 per eye: iris centre x, y and radius in the picture; the same of the whole ball
            in the texture; the same of the photo's iris in the texture; middle of the opening x, y; what
            takes a distance from there to -1..1 between the corners, x, y; how much of the white is the
            ball's, since the photo's eye is open less; 1 if in use; from a point in the upper lid's shadow to
            the lid, x, y.
        openings: (h, w) uint8, how much a pixel belongs to the opening of an eye; darker towards its edge.
        depth: factor for the depth of the texture's colours, see `light.colour_depth`.
        tone: (3,) brightness of the target; factors for the depth of the lit colours where it is a quarter
            darker and a quarter lighter, see `light.colour_tone`.
        tint: (r - b) / (r + b) of the source's skin; 0 where it has none. Highlights have less of it, because
            they have the colour of the lamp: of the light only its brightness is carried to them.
        colour: (h, w, 3) uint8, written.
        alpha: (h, w) uint8, written.
    """
    height, width = ids.shape
    one = np.float32(1.0)
    byte = one / np.float32(255.0)
    deep, warm = np.float32(depth), np.float32(tint)
    # Copies: what is written to the pictures could else be these very numbers, for all the compiler knows.
    brighter, at_mean, rise = np.float32(2.0) / tone[0], tone[1], tone[2] - tone[1]
    for y in range(height):
        for x in range(width):
            t = ids[y, x]
            if t < 0:
                alpha[y, x] = 0
                for k in range(3):
                    colour[y, x, k] = target[y, x, k]
                continue
            v, w = weights[y, x, 0], weights[y, x, 1]
            u = one - v - w
            a, b, c = attributes[triangles[t, 0]], attributes[triangles[t, 1]], attributes[triangles[t, 2]]
            tx = u * a[0] + v * b[0] + w * c[0]
            ty = u * a[1] + v * b[1] + w * c[1]
            blue, green, red = _sample(texture, tx, ty)
            if openings[y, x] > 0:
                part = np.float32(openings[y, x]) * byte
                edge = min(max((part - np.float32(0.35)) * np.float32(3.0), np.float32(0.0)), one)
                for e in range(2):
                    side = (np.float32(x) - eyes[e, 9]) * eyes[e, 11] + (np.float32(y) - eyes[e, 10]) * eyes[
                        e, 12
                    ]
                    if eyes[e, 14] > 0 and abs(side) < np.float32(1.1):
                        scale = eyes[e, 5] / eyes[e, 2]
                        dx = (np.float32(x) - eyes[e, 0]) * scale
                        dy = (np.float32(y) - eyes[e, 1]) * scale
                        ball = _on_disc(dx, dy, eyes[e, 5])
                        ball = max(ball, _on_disc(tx - eyes[e, 6], ty - eyes[e, 7], eyes[e, 8]))
                        corner = min(max((one - abs(side)) * np.float32(3.0), np.float32(0.0)), one)
                        ball = max(ball, eyes[e, 13] * corner) * edge
                        if ball > 0:
                            reach = np.float32(2.2) * eyes[e, 5]
                            eye_b, eye_g, eye_r = _sample(
                                texture,
                                eyes[e, 3] + min(max(dx, -reach), reach),
                                eyes[e, 4] + min(max(dy, -reach), reach),
                            )
                            above = min(
                                max(int(np.float32(y) + eyes[e, 16] + np.float32(0.5)), 0), height - 1
                            )
                            beside = min(
                                max(int(np.float32(x) + eyes[e, 15] + np.float32(0.5)), 0), width - 1
                            )
                            shadow = part * np.float32(openings[above, beside]) * byte
                            lit = np.float32(0.45) + np.float32(0.55) * shadow
                            blue = _mix(blue, eye_b * lit, ball)
                            green = _mix(green, eye_g * lit, ball)
                            red = _mix(red, eye_r * lit, ball)
            gain_b = u * a[4] + v * b[4] + w * c[4]
            gain_g = u * a[5] + v * b[5] + w * c[5]
            gain_r = u * a[6] + v * b[6] + w * c[6]
            if warm > np.float32(0.05):
                of_pixel = (red - blue) / ((red + blue + np.float32(8.0)) * warm)
                white = np.float32(0.6) - np.float32(0.9) * of_pixel
                white = min(max(white, np.float32(0.0)), np.float32(0.5))
                broad = _luma(gain_b, gain_g, gain_r)
                gain_b += (broad - gain_b) * white
                gain_g += (broad - gain_g) * white
                gain_r += (broad - gain_r) * white
            grey = _luma(blue, green, red)
            blue = (grey + (blue - grey) * deep) * gain_b
            green = (grey + (green - grey) * deep) * gain_g
            red = (grey + (red - grey) * deep) * gain_r
            lit = _luma(blue, green, red)
            place = min(max(brighter * lit - np.float32(1.5), np.float32(-0.5)), np.float32(1.5))
            deeper = at_mean + rise * place
            blue = lit + (blue - lit) * deeper
            green = lit + (green - lit) * deeper
            red = lit + (red - lit) * deeper
            if own[y, x] > 0:
                part = np.float32(own[y, x]) * byte
                own_b, own_g, own_r = _sample(
                    target, u * a[2] + v * b[2] + w * c[2], u * a[3] + v * b[3] + w * c[3]
                )
                blue, green, red = _mix(blue, own_b, part), _mix(green, own_g, part), _mix(red, own_r, part)
            cover = u * a[7] + v * b[7] + w * c[7]
            zone = u * a[11] + v * b[11] + w * c[11]
            zone *= one - np.float32(spare[y, x]) * byte
            if zone > np.float32(0.02):
                cover *= one - zone * _foreign(
                    np.float32(target[y, x, 0]),
                    np.float32(target[y, x, 1]),
                    np.float32(target[y, x, 2]),
                    u * a[8] + v * b[8] + w * c[8],
                    u * a[9] + v * b[9] + w * c[9],
                    u * a[10] + v * b[10] + w * c[10],
                )
            hidden = u * a[12] + v * b[12] + w * c[12]
            if hidden > np.float32(0.2):
                hidden = min((hidden - np.float32(0.2)) / np.float32(0.35), one)
                cover *= one - hidden * hidden * (np.float32(3.0) - np.float32(2.0) * hidden)
            colour[y, x, 0], colour[y, x, 1], colour[y, x, 2] = _byte(blue), _byte(green), _byte(red)
            alpha[y, x] = _byte(min(max(cover, np.float32(0.0)), one) * np.float32(255.0))


def warm_up() -> None:
    """Compile everything for the types it is used with, or load it from the cache on disk."""
    vertices = np.array([[0, 0, 0], [7, 0, 0], [0, 7, 0]], np.float32)
    triangles = np.array([[0, 1, 2]], np.int32)
    image = np.zeros((8, 8, 3), np.uint8)
    mask = np.zeros((8, 8), np.uint8)
    ids, weights = rasterise(vertices, triangles, 8, 8)
    interpolate(ids, weights, triangles, vertices, 0.0)
    weighted_means(np.ones((3, 3), np.float32), vertices, np.ones(3, np.float32))
    foreign(vertices[None], vertices[None])
    facing(vertices, triangles, 1)
    attributes = np.zeros((3, 13), np.float32)
    eyes, tone = np.zeros((2, 17), np.float32), np.ones(3, np.float32)
    shade(
        ids, weights, triangles, attributes, image, image, mask, mask, eyes, mask, 1.0, tone, 0.1,
        image.copy(), mask.copy(),
    )  # fmt: skip
