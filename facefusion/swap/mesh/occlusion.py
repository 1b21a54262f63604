"""Things that pass in front of a face: noticed because the face's own colours are known by then.

Every landmark remembers what colour it has when nothing hides it. A hand, cup or microphone changes many
neighbouring landmarks at once and by more than light and expression do; there the target stays visible. A
mouth torn wide open reaches below the landmarks of its lips; what is redder there is the mouth.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facefusion.swap.mesh.geometry import MeshTables

Floats = NDArray[np.float32]

_LEARN = 12
"""Frames in which a new track is taken as it is."""
_TOLERANCE = 0.17
_FEATURE_TOLERANCE = 0.34
"""Mean difference of the logarithm of colour that light and expression cause; more on features."""
_OPEN_MOUTH = 0.12
_REDDER = 0.1
"""Gap over width of a mouth that may reach down to the chin, and by how much more lips are red than skin (the
logarithm of red over green)."""


class OcclusionModel:
    """What one track of a target looks like when nothing is in front of it.

    Args:
        tables: of the mesh.
    """

    def __init__(self, tables: MeshTables) -> None:
        self._tolerance = np.where(tables.feature, _FEATURE_TOLERANCE, _TOLERANCE).astype(np.float32)
        self._watched = tables.outline_rings >= 2
        self._chin = tables.chin
        self._spread = tables.spread
        self._reference: Floats | None = None
        self._state = np.zeros(len(self._tolerance), np.float32)
        self._count = 0

    def update(self, colours: Floats, mouth: float) -> Floats:
        """Take in the next frame's landmark colours (468, 3) BGR.

        Args:
            mouth: its gap over its width.

        Returns:
            (468,) float32, 0 where the face is free, 1 where something is in front of it.
        """
        logs = np.log(colours + 12.0)
        self._count += 1
        if self._reference is None:
            self._reference = logs
            return self._state
        difference = logs - self._reference
        # A change that all of the face shares is light.
        difference = difference - np.median(difference[self._watched], axis=0)
        strength = np.sqrt((difference**2).mean(axis=1)) / self._tolerance
        if mouth > _OPEN_MOUTH:
            strength[self._chin & (difference[:, 2] - difference[:, 1] > _REDDER)] = 0.0
        hidden = np.clip(strength - 1.0, 0.0, 1.0) * self._watched
        # One landmark alone is noise; an object covers its neighbours too.
        hidden = np.clip(2.2 * (self._spread @ hidden) - 0.25, 0.0, 1.0)
        if self._count <= _LEARN or float(hidden[self._watched].mean()) > 0.6:
            # A new face, or a change of everything: learn anew rather than show the target.
            hidden = np.zeros_like(hidden)
            rate = np.full_like(hidden, 0.3)
        else:
            rate = 0.04 * (1.0 - hidden) + 0.004
        self._reference = self._reference + (logs - self._reference) * rate[:, None]
        self._state = np.maximum(hidden, self._state - 0.25).astype(np.float32)
        return self._state
