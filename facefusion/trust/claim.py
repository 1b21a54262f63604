"""What a result says about itself: a face was replaced by a machine, with these models, on whose word.

No names, no paths, no titles from outside, no hashes of what went in. Sources: C2PA specification 2.4
(actions, `c2pa.ai-disclosure`, `c2pa.soft-binding`), IPTC digital source types.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from facefusion import __version__
from facefusion.media.labels import Label
from facefusion.trust import policy

GENERATOR = {"name": "facefusion-automation", "version": __version__}
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
MACHINE_MADE = frozenset(
    {
        "trainedAlgorithmicMedia",
        "compositeWithTrainedAlgorithmicMedia",
        "algorithmicMedia",
        "compositeSynthetic",
    }
)
"""Digital source types that say that a machine made or altered what is seen."""
LABEL = Label(SOURCE_TYPE, f"{GENERATOR['name']} {GENERATOR['version']}")
MARK_ALGORITHM = "local.facefusion.mark.1"
ATTESTATION = "local.facefusion.attestation"
"""`local` is nobody's domain, so this name is nobody else's."""


@dataclass(frozen=True)
class Claim:
    """The facts about one result.

    Attributes:
        result_id: fresh for every job that is begun; names the manifest.
        media_type: of the result.
        face_type: media type of the source picture.
        engine: `mesh` or `neural`.
        models: file name -> SHA-256 of the models that were used.
        labelled: the label went into the metadata.
        marked: the invisible mark was applied.
        consent: what the operator states about the right to use the face; None where nothing was stated.
        gate: what the content gate looked at and found; None where there is none.
    """

    result_id: uuid.UUID
    media_type: str
    face_type: str
    engine: str
    models: Mapping[str, str]
    labelled: bool
    marked: bool
    consent: Mapping[str, Any] | None = None
    gate: Mapping[str, Any] | None = None


def is_machine_made(source_type: str) -> bool:
    """Whether a digital source type says that a machine made or altered what is seen."""
    return source_type.rpartition("/")[2] in MACHINE_MADE


def manifest_id(result_id: uuid.UUID) -> str:
    """Name of the manifest of a result."""
    return f"urn:c2pa:{result_id}"


def mark_payload(result_id: uuid.UUID) -> int:
    """What the invisible mark of a result carries: its first 32 bits."""
    return result_id.int >> 96


def mark_payload_of(manifest: str) -> int | None:
    """What the mark of a result with this manifest carries; None where the name is not of our kind."""
    try:
        return mark_payload(uuid.UUID(manifest.removeprefix("urn:c2pa:")))
    except ValueError:
        return None


def statement(claim: Claim) -> dict[str, Any]:
    """The manifest definition of a result, as the C2PA library takes it."""
    assertions: list[dict[str, Any]] = [
        _assertion("c2pa.actions.v2", {"actions": _actions(claim)}),
        _assertion(
            "c2pa.ai-disclosure",
            {
                "modelType": "c2pa.types.model",
                "modelName": ", ".join([claim.engine, *sorted(claim.models)]),
                "contentProfile": {"humanOversightLevel": "prompt_guided"},
            },
        ),
        _assertion(ATTESTATION, _attestation(claim)),
    ]
    if claim.marked:
        value = f"{mark_payload(claim.result_id):08x}"
        binding = {"alg": MARK_ALGORITHM, "blocks": [{"scope": {}, "value": value}]}
        assertions.append(_assertion("c2pa.soft-binding", binding))
    return {
        "label": manifest_id(claim.result_id),
        "claim_generator_info": [GENERATOR],
        "title": "face swap",
        "format": claim.media_type,
        # Described only: given as a file, a picture with credentials would bring its thumbnail along.
        "ingredients": [
            {
                "label": "face",
                "title": "source face",
                "format": claim.face_type,
                "relationship": "inputTo",
                "instance_id": f"xmp:iid:{uuid.uuid4()}",
            }
        ],
        "assertions": assertions,
    }


def _actions(claim: Claim) -> list[dict[str, Any]]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    edited = {
        "action": "c2pa.edited",
        "digitalSourceType": SOURCE_TYPE,
        "softwareAgent": GENERATOR,
        "when": now,
        "description": "Face replaced by a trained model (face swap)",
        "parameters": {"ingredientIds": ["face"]},
    }
    opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": ["target"]}}
    if not claim.marked:
        return [opened, edited]
    # "Bound" says that the mark and this claim name each other.
    return [opened, edited, {"action": "c2pa.watermarked.bound", "softwareAgent": GENERATOR, "when": now}]


def _attestation(claim: Claim) -> dict[str, Any]:
    return {
        "kind": "operator attestation: stated by whoever runs the program, proved by nobody",
        "use_policy": {"version": policy.CURRENT_VERSION, "text_sha256": policy.text_sha256()},
        "face_consent": None if claim.consent is None else dict(claim.consent),
        "content_gate": None if claim.gate is None else dict(claim.gate),
        "models": dict(claim.models),
        "layers": {"metadata_label": claim.labelled, "invisible_mark": claim.marked},
    }


def _assertion(label: str, data: Mapping[str, Any]) -> dict[str, Any]:
    # "created" assertions are those that the signer itself vouches for.
    return {"label": label, "created": True, "data": data}
