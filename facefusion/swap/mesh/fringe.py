"""Hair that hangs over the forehead of a target: it stays in front of the face that is drawn.

Pixel by pixel hair cannot be told from skin: a fringe has strands as light as a forehead. But it hangs: above
its lower edge there is nothing but hair. So the forehead is looked at upright, column by column, from the
brows upwards.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.swap.mesh.kernels import foreign

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

_COLUMNS, _ROWS = 72, 44
_WIDTH = 1.7
"""Of the upright view of the forehead, in distances of the outer eye corners; they lie on its lower edge."""
_ABOVE_BROWS = (9, 107, 66, 105, 336, 296, 334)
_EYE_CORNERS = (33, 263)


def fringe(target: Image, points: Floats, skin: Floats, spare: Image) -> Image | None:
    """Where hair hangs over the forehead.

    Args:
        target: (h, w, 3) uint8 BGR, the face's region.
        points: (468, 2) float32, landmarks in it.
        skin: (468, 3) float32 BGR, the target's bare skin.
        spare: (h, w) uint8, where brows and eyes lie: dark, but no hair.

    Returns:
        (h, w) uint8, 255 where there is nothing but hair; None where there is none.
    """
    left, right = points[list(_EYE_CORNERS)]
    across = (right - left) * (_WIDTH / _COLUMNS)
    if not np.any(across):
        return None
    down = np.array([-across[1], across[0]], np.float32)
    corner = (left + right) / 2 - across * (_COLUMNS - 1) / 2 - down * (_ROWS - 1)
    # The region is reduced by an integer first; pixel i of it then lies at shrink * i + (shrink - 1) / 2.
    shrink = max(1, int(np.hypot(*across)))
    rows, columns = target.shape[0] // shrink, target.shape[1] // shrink
    if min(rows, columns) < 2:
        return None
    view = np.stack([across, down, corner - (shrink - 1) / 2], axis=1).astype(np.float64) / shrink
    used = np.s_[: rows * shrink, : columns * shrink]
    colours, dark = (
        cv2.warpAffine(
            cv2.resize(image[used], (columns, rows), interpolation=cv2.INTER_AREA),
            view,
            (_COLUMNS, _ROWS),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for image in (target, spare)
    )
    bare = np.broadcast_to(skin[list(_ABOVE_BROWS)].mean(0), colours.shape)
    hair = foreign(colours.astype(np.float32), np.ascontiguousarray(bare, np.float32))
    hair[dark > 40] = 0.0
    hair = cv2.GaussianBlur(hair, (0, 0), sigmaX=1.5, sigmaY=0.8)
    hair = np.clip((hair - 0.3) / 0.3, 0.0, 1.0)
    hair[-1] = 0.0
    if hair.max() < 0.5:
        return None
    hair = np.maximum.accumulate(hair[::-1], axis=0)[::-1]
    # A narrow gap is a lighter lock; a parting is wider.
    hair = cv2.morphologyEx(hair, cv2.MORPH_CLOSE, np.ones((1, 9), np.uint8))
    small = cv2.warpAffine(
        (cv2.GaussianBlur(hair, (0, 0), 0.8) * 255).astype(np.uint8),
        cv2.invertAffineTransform(view),
        (columns, rows),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    mask = np.zeros(target.shape[:2], np.uint8)
    mask[used] = cv2.resize(small, (columns * shrink, rows * shrink), interpolation=cv2.INTER_LINEAR)
    return mask
