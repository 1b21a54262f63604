"""The one place where everything that watches over a job is put together.

    before the swap   what the operator states about the face; the content gate on target and source pictures
    during it         the invisible mark goes into every frame; the gate looks at what is about to be written
    after it          label, claim and signature; only then is the file a result

There is no way round it: the worker process gives no job to the engine without a `Case`.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from facefusion.config import AutomationConfig
from facefusion.errors import FaceFusionError
from facefusion.jobspec import FrameInspector, FrameMarker
from facefusion.media.label_reader import read_label
from facefusion.media.labels import Label
from facefusion.trust import claim, policy
from facefusion.trust.consent import Consent, consent_for
from facefusion.trust.credentials import media_type
from facefusion.trust.gate import ContentGate
from facefusion.trust.identity import identity_of, known_authorities, require_identity
from facefusion.trust.sealing import seal
from facefusion.trust.watermark import Watermark

Alive = Callable[[], object]
At = Callable[[str], None]


class Oversight:
    """Watches over the jobs of one worker process.

    Args:
        state_dir: the installation's private folder.
        models_dir: where the gate's model is installed.
        at: called with the name of each step of sealing (tests end the process there).
    """

    def __init__(self, state_dir: Path, models_dir: Path, at: At = lambda step: None) -> None:
        self._state_dir = state_dir
        self._models_dir = models_dir
        self._at = at

    def open(
        self,
        target: Path,
        faces: Sequence[Path],
        config: AutomationConfig,
        alive: Alive = lambda: None,
    ) -> Case:
        """Begin a job: nothing is swapped unless this returns.

        Args:
            target: the video or photo.
            faces: pictures of the source face.
            config: the settings in force.
            alive: called again and again meanwhile; may raise to stop.

        Raises:
            PolicyNotAcceptedError: nobody has accepted the use policy, which the claim will say.
            ConsentError: what is stated about the face does not allow it.
            ContentBlockedError: the content gate refuses it, or cannot judge.
            MediaFormatError: the target cannot be looked at.
            StorageError, SealingError: there will be nothing to sign with, see `identity_of`.
        """
        began = time.monotonic()
        policy.require_accepted(self._state_dir, config)
        consent = consent_for(faces, required=config.require_face_consent)
        require_identity(self._state_dir)
        gate = ContentGate(self._models_dir, config)
        gate.check_target(target, alive)
        gate.check_sources(faces, alive)
        case = Case(self._state_dir, target, _type_of(faces), consent, gate, self._at)
        case.seconds["gate"] = round(time.monotonic() - began, 3)
        return case


class Case:
    """One job under oversight.

    Attributes:
        result_id: names the result; the mark in its frames is made of it.
        label: for the metadata of the result.
        marker: for its frames.
        inspector: sees them before they are written.
        seconds: what the oversight has taken, by stage.
    """

    def __init__(
        self,
        state_dir: Path,
        target: Path,
        face_type: str,
        consent: Consent | None,
        gate: ContentGate,
        at: At = lambda step: None,
    ) -> None:
        self._state_dir = state_dir
        self._at = at
        self._target = target
        self._face_type = face_type
        self._consent = consent
        self._gate = gate
        self.result_id = uuid.uuid4()
        self.seconds: dict[str, float] = {}
        self.label: Label | None = claim.LABEL
        self.marker: FrameMarker | None = Watermark(claim.mark_payload(self.result_id))
        self.inspector: FrameInspector | None = gate.inspector()

    def take_up(self, result_id: str) -> None:
        """Go on with what an interrupted attempt has begun: its finished frames are marked with its name.

        Raises:
            ValueError: that is no name of a result.
        """
        self.result_id = uuid.UUID(result_id)
        self.marker = Watermark(claim.mark_payload(self.result_id))

    def close(self, work: Path, result: Mapping[str, Any]) -> dict[str, Any]:
        """End the job: what was written and checked becomes a signed result, or is none.

        Args:
            work: the finished file; missing if no face was found.
            result: what the pipeline said (`SwapResult` as plain JSON types).

        Returns:
            What is added to it: `gate`, `consent`, `timings`, and of a result `provenance` and `warnings`.

        Raises:
            ContentBlockedError: the gate has not looked at all of it.
            SealingError: it could not be signed.
            StorageError: there is not enough room, or the identity cannot be read.
            VerificationError: what was signed is not what was checked.
        """
        began = time.monotonic()
        consent = None if self._consent is None else self._consent.as_dict()
        seen = {"gate": self._gate.result, "consent": consent}
        if result["outcome"] != "done":
            return seen | {"timings": result["timings"] | self.seconds}
        self._gate.require_passed()
        identity = identity_of(self._state_dir)
        facts = claim.Claim(
            result_id=self.result_id,
            media_type=media_type(work),
            face_type=self._face_type,
            engine=result["engine"],
            models=result["models"],
            labelled=read_label(work) is not None,
            marked=self.marker is not None,
            consent=consent,
            gate=_in_public(self._gate.result),
        )
        sealed = seal(
            work,
            claim.statement(facts),
            self._target,
            identity,
            known_authorities(self._state_dir),
            self._at,
        )
        self.seconds["seal"] = round(time.monotonic() - began, 3)
        noted = (identity.note,) if identity.note else ()
        return seen | {
            "provenance": {
                "result_id": str(self.result_id),
                "manifest_id": sealed.manifest_id,
                "signer": sealed.signer,
                "layers": {
                    "content_credentials": "embedded" if sealed.embedded else "sidecar",
                    "metadata_label": facts.labelled,
                    "invisible_mark": facts.marked,
                },
            },
            "timings": result["timings"] | self.seconds,
            "warnings": [*result["warnings"], *noted, *sealed.warnings],
        }


def _type_of(faces: Sequence[Path]) -> str:
    """Media type of the first picture that can be read."""
    for face in faces:
        with contextlib.suppress(FaceFusionError):
            return media_type(face)
    return "application/octet-stream"


def _in_public(gate: Mapping[str, Any]) -> dict[str, Any]:
    """What a manifest, which anybody may read, says of the gate: its verdict and its model, no scores."""
    return {"verdict": gate["verdict"], "model": gate["model"]}
