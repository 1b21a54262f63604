"""Settings a person edits (`automation_config.json`) and the quality profiles.

`AutomationConfig` is frozen: whoever holds one holds the settings of one moment. Reading, the
"last good settings stay in force" rule and the JSON Schema live here as well, so that a setting is
described in exactly one place.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from facefusion.config_errors import broken_syntax, keys_twice, wrong_values
from facefusion.errors import ConfigError

CONFIG_FILE = "automation_config.json"
SCHEMA_FILE = "automation_config.schema.json"

QualityPreset = Literal["fast", "balanced", "best"]
EngineChoice = Literal["auto", "mesh", "neural"]
FaceSelectorMode = Literal["largest", "all", "reference"]
PairingRule = Literal["auto", "all", "newest"]
Container = Literal["same", "mp4", "mov", "mkv", "webm"]
Encoder = Literal["auto", "libx264", "libx265", "libvpx-vp9", "libsvtav1"]
HardwareEncoder = Literal["auto", "off", "nvenc", "videotoolbox", "qsv", "amf"]
Provider = Literal["auto", "cuda", "tensorrt", "coreml", "openvino", "directml", "cpu"]


@dataclass(frozen=True)
class QualityProfile:
    """What one word in the settings stands for.

    Attributes:
        video_quality: 0 to 100, turned into the encoder's own scale by `facefusion.media`.
        encoder_preset: x264/x265 preset name; other encoders take their nearest equivalent.
        processors: in the order in which they run.
    """

    video_quality: int
    encoder_preset: str
    processors: tuple[str, ...]


QUALITY_PROFILES: Mapping[str, QualityProfile] = MappingProxyType(
    {
        "fast": QualityProfile(70, "ultrafast", ("face_swapper",)),
        "balanced": QualityProfile(85, "fast", ("face_swapper", "face_enhancer")),
        "best": QualityProfile(95, "slow", ("face_swapper", "face_enhancer", "frame_enhancer")),
    }
)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class OutputSettings(_Section):
    """How results are written."""

    container: Container = "same"
    """Container of result videos. `same` keeps the target's wherever this program can write it."""
    video_encoder: Encoder = "auto"
    """`auto` keeps the target's codec family where it can be written (H.264, HEVC, VP9, AV1), else H.264."""
    hardware_encoder: HardwareEncoder = "auto"
    """Encoder of the graphics processor in the place of the software's. `auto` takes one that is proved to
    work on this machine and to be faster; `off` never does. `auto` and `nvenc` let an NVIDIA one decode, too,
    under the same conditions."""
    video_quality: Annotated[int, Field(ge=0, le=100)] | None = None
    """0 to 100. `null` takes the number of the quality preset."""
    encoder_preset: str | None = Field(
        default=None, pattern="^(ultrafast|superfast|veryfast|faster|fast|medium|slow|slower|veryslow)$"
    )
    """Encoder preset. `null` takes the one of the quality preset."""
    photo_quality: Annotated[int, Field(ge=1, le=100)] = 95
    """Quality of lossy result photos (jpeg, webp)."""


class MeshSettings(_Section):
    """The embedded engine."""

    shape_strength: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    """How much of the source face's proportions is carried over: 0 keeps the target's shape, 1 takes all."""


class ReferenceSettings(_Section):
    """Whose face is swapped where `face_selector_mode` is `reference`."""

    pictures: list[str] = []
    """Pictures of the person in the target whose face is swapped, better several; relative to this file."""
    distance: Annotated[float, Field(gt=0.0, lt=1.5)] = 0.6
    """Up to this distance to the nearest picture a face counts as that person (0 = the same picture,
    1 = unrelated)."""
    margin: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.05
    """By so much a face must be nearer than the next one in the frame."""


MaskKind = Literal["box", "occlusion", "region", "outline"]


class NeuralSettings(_Section):
    """The neural engine: which models run, and how. Model names are those of `models list`."""

    swapper: str = "auto"
    """Swap model. `auto` takes the first installed one of the list."""
    pixel_boost: Annotated[int, Field(ge=0, le=2048)] = 0
    """Side of the swapped face in pixels, in steps of the model's own size. 0 = the model's own."""
    masks: Annotated[list[MaskKind], Field(min_length=1)] = ["box", "occlusion"]
    """What limits the swapped area: a soft `box`, what is in front of the face (`occlusion`), its parts
    (`region`), its `outline`. A mask whose model is not installed is left out."""
    enhancer: str = "auto"
    """Face enhancer, where the quality preset asks for one. `auto` takes the first installed one."""
    enhancer_blend: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    """Share of the enhanced face: 0 leaves it as it was swapped."""
    enhancer_weight: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    """For CodeFormer: 0 = beautiful, 1 = faithful."""
    frame_enhancer: str = "auto"
    """Frame enhancer, where the quality preset asks for one. `auto` takes the first installed one."""
    age: Annotated[int, Field(ge=0, le=100)] | None = None
    """Age in years that swapped faces get. `null` leaves it alone."""
    age_blend: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    """Share of the changed age."""


class LimitSettings(_Section):
    """Bounds that keep an unattended program well behaved."""

    stall_seconds: Annotated[float, Field(ge=5, le=3600)] = 120.0
    """A job that reports no progress for this long is stopped and retried."""
    job_minutes: Annotated[float, Field(ge=0, le=10080)] = 0.0
    """A job that takes longer than this is stopped. 0 = no limit."""
    settle_seconds: Annotated[float, Field(ge=0.2, le=600)] = 2.0
    """A file must have stayed unchanged for this long before it is read."""
    queue_megabytes: Annotated[int, Field(ge=16, le=16384)] = 32
    """Memory for decoded frames between reading, swapping and writing."""
    free_disk_megabytes: Annotated[int, Field(ge=0, le=1048576)] = 500
    """No job is started while the outbox's disk has less than this free."""


HARD_THRESHOLD, SOFT_THRESHOLD = 0.45, 0.6
LEAST_THRESHOLD = 0.05


class GateSettings(_Section):
    """The content gate, which always runs. It can be made stricter (lower numbers), never looser."""

    hard_threshold: Annotated[float, Field(ge=LEAST_THRESHOLD, le=HARD_THRESHOLD)] = HARD_THRESHOLD
    """Score from which two frames within one second, or a single picture, are refused. Lower is stricter."""
    soft_threshold: Annotated[float, Field(ge=LEAST_THRESHOLD, le=SOFT_THRESHOLD)] = SOFT_THRESHOLD
    """Score from which two frames anywhere in a video are refused. Lower is stricter."""


class AutomationConfig(_Section):
    """Everything a person can set. Every key may be left out."""

    schema_reference: str = Field(default=f"./{SCHEMA_FILE}", alias="$schema")
    """Tells editors where the description of these settings lies."""
    quality_preset: QualityPreset = "balanced"
    """`fast`, `balanced` or `best`: encoder effort, quality and processors in one word."""
    engine: EngineChoice = "auto"
    """`auto` takes the neural engine where a swap model is installed, else the embedded mesh engine."""
    execution_providers: Annotated[list[Provider], Field(min_length=1)] = ["auto"]
    """Where neural models run, best first. `auto` finds out and proves what works."""
    pairing: PairingRule = "auto"
    """Which face goes with which target: by folder or name (`auto`), `all` faces, or the `newest` one. With
    `all`, targets that are done with one face get a job with every other face, too, also those that already
    lie in the inbox when this is set or a face is added."""
    group_videos_by_face: bool = True
    """Run the jobs of one face one after another, so that its source is prepared once."""
    face_selector_mode: FaceSelectorMode = "largest"
    """Which faces of the target are swapped: the `largest` one of the scene, `all`, or the person on the
    pictures of `reference`."""
    reference: ReferenceSettings = ReferenceSettings()
    """Whose face is swapped where `face_selector_mode` is `reference`."""
    face_detector_model: str = "embedded"
    """What finds faces: the `embedded` detector, or an installed one of `models list`."""
    watch_interval: Annotated[float, Field(ge=1, le=60)] = 5.0
    """Seconds between two scans of the inbox (file system events only make the next one come sooner)."""
    max_retries: Annotated[int, Field(ge=0, le=10)] = 2
    """How often a failed job is tried again where trying again can help."""
    workers: Annotated[int, Field(ge=0, le=16)] = 0
    """Jobs at a time, each in its own process. 0 = automatic: one for each graphics processor that the neural
    engine can use and memory has room for, else one, because one job keeps the whole processor busy."""
    inbox: str = "inbox"
    """Folder that is watched; relative to this file. Another one takes effect with the next start."""
    outbox: str = "outbox"
    """Folder for results; relative to this file. Another one takes effect with the next start."""
    output: OutputSettings = OutputSettings()
    """How results are written."""
    mesh: MeshSettings = MeshSettings()
    """The embedded engine."""
    neural: NeuralSettings = NeuralSettings()
    """The neural engine."""
    limits: LimitSettings = LimitSettings()
    """Bounds that keep an unattended program well behaved."""
    gate: GateSettings = GateSettings()
    """The content gate."""
    require_face_consent: bool = False
    """Swap only faces that have a consent file (`alice.consent.toml`) beside them; for studios."""
    accept_use_policy: Annotated[int, Field(ge=0)] = 0
    """Version of the use policy that you accept; 0 = not accepted (jobs wait until it is)."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, populate_by_name=True
    )

    @property
    def profile(self) -> QualityProfile:
        """The quality profile in force, with the overrides of `output` applied."""
        base = QUALITY_PROFILES[self.quality_preset]
        return QualityProfile(
            video_quality=base.video_quality
            if self.output.video_quality is None
            else self.output.video_quality,
            encoder_preset=self.output.encoder_preset or base.encoder_preset,
            processors=base.processors,
        )

    def located(self, folder: Path) -> AutomationConfig:
        """The same settings with the paths of reference pictures made absolute.

        Args:
            folder: the settings file's.
        """
        pictures = [str(folder / picture) for picture in self.reference.pictures]
        reference = self.reference.model_copy(update={"pictures": pictures})
        return self.model_copy(update={"reference": reference}) if pictures else self


def parse_config(text: str, *, name: str = CONFIG_FILE) -> AutomationConfig:
    """Turn JSON text into settings.

    Raises:
        ConfigError: naming line and what is missing (for syntax), or line, key, value and what is allowed
            (for values), all at once.
    """
    try:
        raw = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{name}, {broken_syntax(error)}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"{name}: a number in it is too long, or its brackets are nested too deep."
        ) from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{name}: the settings stand in braces: {{ ... }}.")
    if twice := keys_twice(text):
        raise ConfigError(f"{name}, {twice}")
    try:
        config = AutomationConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{name}, {wrong_values(error.errors(), text, json_schema())}") from error
    understood = config.model_dump(mode="json", by_alias=True)
    if other := list(_of_another_kind(raw, understood)):  # the schema that editors go by refuses these, too
        raise ConfigError(f"{name}, {wrong_values(other, text, json_schema())}")
    return config


def _of_another_kind(given: Any, understood: Any, place: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
    """Values that were only understood by taking a text or a truth value for a number, or the reverse."""
    if isinstance(given, dict) and isinstance(understood, dict):
        for key in given.keys() & understood.keys():
            yield from _of_another_kind(given[key], understood[key], (*place, key))
    elif any(isinstance(given, kind) != isinstance(understood, kind) for kind in (str, bool)):
        yield {"type": "another_kind", "loc": place, "input": given}


def load_config(path: Path) -> AutomationConfig:
    """Read settings from a file; a missing file means the defaults.

    Raises:
        ConfigError: see `parse_config`; also when the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return AutomationConfig()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name} is not UTF-8 text; save it as UTF-8.") from error
    except OSError as error:
        raise ConfigError(f"{path.name} cannot be read ({error.strerror}).") from error
    return parse_config(text, name=path.name)


def save_config(config: AutomationConfig, path: Path) -> None:
    """Write settings and, beside them, the JSON Schema they refer to. Both replace atomically.

    A use policy that is not accepted here may be accepted elsewhere, so a 0 is left out.

    Raises:
        OSError: one cannot be written; then it is what it was.
    """
    document = config.model_dump(mode="json", by_alias=True)
    if not config.accept_use_policy:
        del document["accept_use_policy"]
    _replace(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    write_schema(path.with_name(SCHEMA_FILE))


def json_schema() -> dict[str, Any]:
    """JSON Schema of the settings file, for completion and checking in editors."""
    schema = AutomationConfig.model_json_schema(by_alias=True)
    schema["$schema"] = "http://json-schema.org/draft-07/schema#"
    return schema


def write_schema(path: Path) -> None:
    """Write the JSON Schema to `path` (replacing it atomically).

    Raises:
        OSError: it cannot be written; then it is what it was.
    """
    _replace(path, json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
