"""Per-pixel arithmetic of the mesh engine, compiled with Numba.

Conventions: pixel centres lie at integer coordinates (as in OpenCV); images are (h, w, 3) uint8 BGR.
Everything releases the GIL and runs on the calling thread only.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_OPTIONS = {"cache": True, "nogil": True, "fastmath": True, "boundscheck": False}


@njit(**_OPTIONS)
def rasterise(vertices, triangles, width, height):
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


@njit(**_OPTIONS)
def interpolate(ids, weights, triangles, attributes, fill):
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


@njit(inline="always")
def _sample(image, x, y, out):
    """Bilinear sample of an (h, w, 3) image into out[0:3]; positions are clamped to the border."""
    height, width = image.shape[0], image.shape[1]
    x = min(max(x, np.float32(0.0)), np.float32(width - 1.001))
    y = min(max(y, np.float32(0.0)), np.float32(height - 1.001))
    x0, y0 = int(x), int(y)
    fx, fy = x - np.float32(x0), y - np.float32(y0)
    w00 = (np.float32(1.0) - fx) * (np.float32(1.0) - fy)
    w01 = fx * (np.float32(1.0) - fy)
    w10 = (np.float32(1.0) - fx) * fy
    w11 = fx * fy
    x1, y1 = min(x0 + 1, width - 1), min(y0 + 1, height - 1)
    for k in range(3):
        out[k] = image[y0, x0, k] * w00 + image[y0, x1, k] * w01 + image[y1, x0, k] * w10 + image[y1, x1, k] * w11


@njit(**_OPTIONS)
def shade(ids, weights, triangles, attributes, texture, target, mouth, keep, eyes, lids, colour, alpha):
    """Colour every pixel of the drawn face.

    Args:
        ids, weights, triangles: from `rasterise`.
        attributes: (n, 8) float32 per vertex: texture x, y; target x, y; light gain b, g, r; coverage 0..1.
        texture: (h, w, 3) uint8 BGR atlas of the source face, at a size fitting the target's.
        target: (h, w, 3) uint8 BGR, the region that is drawn into.
        mouth: (h, w) uint8, how much of the target's (moved) inner mouth shows.
        keep: (h, w) uint8, how much of the target must stay (things in front of the face).
        eyes: (2, 8) float32 per eye: iris centre x, y and radius in the picture; offset x, y and scale of the
            texture at the iris; reach (in radii) of that offset; 1 if in use.
        lids: (h, w) uint8: 0 skin, else how much a pixel belongs to an eye's opening.
        colour: (h, w, 3) uint8, written.
        alpha: (h, w) uint8, written.
    """
    height, width = ids.shape
    sample = np.empty(3, np.float32)
    inner = np.empty(3, np.float32)
    for y in range(height):
        for x in range(width):
            t = ids[y, x]
            if t < 0:
                alpha[y, x] = 0
                colour[y, x, 0] = target[y, x, 0]
                colour[y, x, 1] = target[y, x, 1]
                colour[y, x, 2] = target[y, x, 2]
                continue
            v, w = weights[y, x, 0], weights[y, x, 1]
            u = np.float32(1.0) - v - w
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            tx = u * attributes[a, 0] + v * attributes[b, 0] + w * attributes[c, 0]
            ty = u * attributes[a, 1] + v * attributes[b, 1] + w * attributes[c, 1]
            if lids[y, x] > 0:
                part = np.float32(lids[y, x]) / np.float32(255.0)
                for e in range(2):
                    if eyes[e, 7] > 0:
                        dx = (np.float32(x) - eyes[e, 0]) / eyes[e, 2]
                        dy = (np.float32(y) - eyes[e, 1]) / eyes[e, 2]
                        far = np.sqrt(dx * dx + dy * dy)
                        reach = eyes[e, 6]
                        if far < reach:
                            # Inside the iris the texture is moved as a disc; beyond, the move fades out.
                            s = np.float32(1.0)
                            if far > np.float32(1.1):
                                s = (reach - far) / (reach - np.float32(1.1))
                                s = s * s * (np.float32(3.0) - np.float32(2.0) * s)
                            s = s * part
                            ix = eyes[e, 3] + dx * eyes[e, 5]
                            iy = eyes[e, 4] + dy * eyes[e, 5]
                            tx = tx + (ix - tx) * s
                            ty = ty + (iy - ty) * s
            _sample(texture, tx, ty, sample)
            for k in range(3):
                gain = u * attributes[a, 4 + k] + v * attributes[b, 4 + k] + w * attributes[c, 4 + k]
                sample[k] = sample[k] * gain
            if mouth[y, x] > 0:
                part = np.float32(mouth[y, x]) / np.float32(255.0)
                mx = u * attributes[a, 2] + v * attributes[b, 2] + w * attributes[c, 2]
                my = u * attributes[a, 3] + v * attributes[b, 3] + w * attributes[c, 3]
                _sample(target, mx, my, inner)
                for k in range(3):
                    sample[k] = sample[k] + (inner[k] - sample[k]) * part
            for k in range(3):
                value = sample[k] + np.float32(0.5)
                colour[y, x, k] = np.uint8(min(max(value, np.float32(0.0)), np.float32(255.0)))
            cover = u * attributes[a, 7] + v * attributes[b, 7] + w * attributes[c, 7]
            cover = min(max(cover, np.float32(0.0)), np.float32(1.0)) * np.float32(255 - keep[y, x])
            alpha[y, x] = np.uint8(cover + np.float32(0.5))
