"""One person among several, known by reference pictures and never by position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facefusion.faces.landmarks import Face, Readable
from facefusion.faces.recent import PerTrack
from facefusion.faces.recognise import ReferencePeople, cosine_distance, mean_embedding
from facefusion.faces.track import FaceTracker, Observation, Trackable

Floats = NDArray[np.float32]
Embed = Callable[[Readable, Face], Floats]
"""Embedding (1, 512) of a face in a picture."""

# Looks at a track: so many at once, then one in so many frames; the last ones count.
_LOOKS_AT_FIRST = 3
_LOOKS_EVERY = 12
_LOOKS_KEPT = 12
# A person once recognised is kept up to this much beyond the threshold: a turned head is farther away.
_PATIENCE = 1.15


@dataclass
class _Looks:
    seen: int = 0
    kept: list[Floats] = field(default_factory=list)


class PersonFinder:
    """Says which of a picture's faces is the person on the reference pictures.

    Args:
        embed: makes embeddings.
        people: those of the reference pictures, with threshold and margin.
    """

    def __init__(self, embed: Embed, people: ReferencePeople) -> None:
        self._embed = embed
        self._people = people
        self.nearest: float | None = None
        """Smallest cosine distance of any face so far."""

    def among(self, picture: Readable, faces: Sequence[Face]) -> Face | None:
        """The person in a single picture, or None."""
        if not faces:
            return None
        chosen = self.choose(np.concatenate([self.embed(picture, face) for face in faces]))
        return None if chosen is None else faces[chosen]

    def embed(self, picture: Readable, face: Face) -> Floats:
        """(1, 512)."""
        return self._embed(picture, face)

    def choose(self, embeddings: Floats, kept: int | None = None) -> int | None:
        """Index of the person among embeddings (n, 512), or None.

        Args:
            kept: index of the face that was the person a moment ago; it stays unless another is clearly
                nearer or it has become somebody else.
        """
        distances = cosine_distance(embeddings, self._people.wanted).min(axis=1)
        self.nearest = float(min(distances.min(), self.nearest if self.nearest is not None else np.inf))
        best = self._people.pick(embeddings)
        if best is None and kept is not None:
            near = distances[kept] <= self._people.threshold * _PATIENCE
            rivalled = float(distances.min()) <= distances[kept] - self._people.margin
            return kept if near and not rivalled else None
        return best

    def refusal(self) -> str:
        """A sentence for a target in which the person was not found."""
        if self.nearest is None:
            return "No face was found that could be compared with the reference pictures."
        return (
            f"The person on the reference pictures was not found: the nearest face is at a distance of "
            f"{self.nearest:.2f}, and up to {self._people.threshold:g} counts as the same person "
            "(`reference.distance`)."
        )


class PersonTracker:
    """Follows every face and hands out the one that is the person.

    Args:
        tracker: follows all faces.
        person: who is meant.
    """

    def __init__(self, tracker: FaceTracker, person: PersonFinder) -> None:
        self._tracker = tracker
        self._person = person
        self._looks = PerTrack(_Looks)
        self._chosen: int | None = None

    def observe(self, frame: Trackable) -> list[Observation]:
        """The person in the next frame: one observation, or none."""
        observations = self._tracker.observe(frame)
        if not observations:
            return []
        means = np.concatenate([self._mean(frame, observation) for observation in observations])
        tracks = [observation.track for observation in observations]
        kept = tracks.index(self._chosen) if self._chosen in tracks else None
        chosen = self._person.choose(means, kept)
        if chosen is None:
            # Whoever is left may be somebody else: only a face of the person's own brings it back.
            self._chosen = None if kept is not None else self._chosen
            return []
        self._chosen = tracks[chosen]
        return [observations[chosen]]

    def _mean(self, frame: Trackable, observation: Observation) -> Floats:
        """What a track has looked like, (1, 512); looked at anew now and then."""
        looks = self._looks[observation.track]
        if looks.seen < _LOOKS_AT_FIRST or looks.seen % _LOOKS_EVERY == 0:
            embedding = self._person.embed(frame, observation.face)
            looks.kept = [*looks.kept[1 - _LOOKS_KEPT :], embedding]
        looks.seen += 1
        return mean_embedding(np.concatenate(looks.kept))
