"""What goes into each kind of model and what comes out: the numbers a loader needs.

A contract is data of the model table. The points of the alignment templates, the normalisation of pixels and
the sizes live there and nowhere in code, so that a new model of a known kind is a few lines in a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Literal

Point = tuple[float, float]
Template = tuple[Point, Point, Point, Point, Point]
"""Left eye, right eye, nose tip, left and right corner of the mouth (left as seen in the picture), as shares
of the aligned crop's side."""


@dataclass(frozen=True)
class Pixels:
    """How pixel values 0 to 255 become what a network takes: `(value / scale - mean) / deviation`.

    Attributes:
        order: of the channels.
        scale: see above.
        mean: by channel, in that order.
        deviation: by channel, in that order.
        layout: `nchw` (1, channels, height, width) or `nhwc`.
    """

    order: Literal["rgb", "bgr"]
    scale: float
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    layout: Literal["nchw", "nhwc"] = "nchw"


@dataclass(frozen=True)
class SwapperContract:
    """Inputs `target` (1, 3, size, size) and `source`; first output (1, 3, size, size) RGB.

    Attributes:
        template: name of the alignment of the target crop.
        size: side of the crop in pixels.
        pixels: of the target crop.
        source: what identifies the source face: `projected` = embedding times the 512x512 matrix inside the
            model, over its norm; `normalised` = embedding over its norm; `converted` = what `converter`
            makes of it; `face` = an aligned picture of the face.
        denormalise: the output is on the scale of the normalised target, otherwise 0 to 1.
        converter: model that turns an embedding into this swapper's, for `converted`.
        converter_normalised: the converted embedding is divided by its norm.
        source_template: alignment of the source picture, for `face`.
        source_size: side of the source picture in pixels, for `face`.
        source_pixels: of the source picture, for `face`.
        half_precision: the weights are half precision; to be compared with the CPU before use.
    """

    template: str
    size: int
    pixels: Pixels
    source: Literal["projected", "normalised", "converted", "face"]
    denormalise: bool
    converter: str = ""
    converter_normalised: bool = False
    source_template: str = ""
    source_size: int = 0
    source_pixels: Pixels | None = None
    half_precision: bool = False


@dataclass(frozen=True)
class DetectorContract:
    """Input: the picture shrunk into size x size, padded right and below with zeros.

    Attributes:
        family: layout of the outputs. `scrfd`: scores, box distances and landmark distances for the strides
            8, 16, 32, two anchors each. `yoloface`: (1, 20, n). `yunet`: class, object, box and landmark
            outputs for the strides 8, 16, 32, one anchor each.
        size: side of the input in pixels.
        pixels: of the input.
    """

    family: Literal["scrfd", "yoloface", "yunet"]
    size: int
    pixels: Pixels


@dataclass(frozen=True)
class RecogniserContract:
    """Aligned crop in, embedding (1, 512) out (not normalised)."""

    template: str
    size: int
    pixels: Pixels


@dataclass(frozen=True)
class LandmarkerContract:
    """Crop of the face in; `points` landmarks (1, points, 3) out, in units of size / `grid` pixels."""

    size: int
    pixels: Pixels
    points: int
    grid: int


@dataclass(frozen=True)
class EnhancerContract:
    """Input `input` (1, 3, size, size); output -1 to 1, RGB.

    Attributes:
        template: alignment of the crop.
        size: side of the crop in pixels.
        pixels: of the crop.
        weight: has a second input `weight` (float64, shape (1,)).
    """

    template: str
    size: int
    pixels: Pixels
    weight: bool = False


@dataclass(frozen=True)
class AgerContract:
    """Changes the age of a face.

    Attributes:
        family: `fran` takes `direction` (2,) = age now and age wanted over 100, output 0 to 1;
            `styleganex` takes `target`, `target_with_background` and a scalar `direction` from
            `direction_young` to `direction_old`.
        template: alignment of the crop.
        size: side of the crop in pixels.
        pixels: of the crop.
        background_template: alignment of the wider crop (`styleganex`).
        background_size: side of the wider crop.
        background_scale: by which the landmarks shrink towards the nose for the wider crop.
        direction_young: direction for the youngest.
        direction_old: direction for the oldest.
    """

    family: Literal["fran", "styleganex"]
    template: str
    size: int
    pixels: Pixels
    background_template: str = ""
    background_size: int = 0
    background_scale: float = 1.0
    direction_young: float = 0.0
    direction_old: float = 0.0


@dataclass(frozen=True)
class ClassifierContract:
    """Aligned crop in; classes of age, gender and appearance out."""

    template: str
    size: int
    pixels: Pixels


@dataclass(frozen=True)
class FrameEnhancerContract:
    """Enlarges whole pictures in tiles.

    Attributes:
        scale: enlargement.
        tile: side of a tile in pixels, with its inner border.
        outer_border: pixels by which the picture is extended.
        inner_border: pixels of each tile that are thrown away at every edge.
        pixels: of a tile; the output is on the same scale.
        half_precision: the weights are half precision.
    """

    scale: int
    tile: int
    outer_border: int
    inner_border: int
    pixels: Pixels
    half_precision: bool = False


@dataclass(frozen=True)
class OccluderContract:
    """Crop in; visibility of the face (1, size, size, 1) out, 0 to 1.

    Attributes:
        size: side of the crop in pixels.
        pixels: of the crop.
        blur: standard deviation in pixels with which the mask is smoothed, before 0.5 to 1 is stretched to 0
            to 1.
    """

    size: int
    pixels: Pixels
    blur: float


@dataclass(frozen=True)
class ParserContract:
    """Crop in; scores (1, classes, size, size) out, the largest of which names the part of the face.

    Attributes:
        size: side of the crop in pixels.
        pixels: of the crop.
        classes: number of classes.
        parts: class by name of the parts that belong to a face.
    """

    size: int
    pixels: Pixels
    classes: int
    parts: Mapping[str, int]


@dataclass(frozen=True)
class ConverterContract:
    """Raw embedding (1, 512) in as `input`; another model's embedding (1, 512) out."""

    width: int = 512


@dataclass(frozen=True)
class LipSyncContract:
    """Mel spectrogram (1, 1, 80, 16) in as `source`, crop in as `target`, crop out, 0 to 1.

    Attributes:
        family: `wav2lip` takes the crop twice (its lower half blanked, and whole) as six channels; `edtalk`
            takes it once, and a `weight` (1,).
        size: side of the crop in pixels.
        pixels: of the crop.
    """

    family: Literal["wav2lip", "edtalk"]
    size: int
    pixels: Pixels


@dataclass(frozen=True)
class PortraitContract:
    """One of the networks that together animate a portrait.

    Attributes:
        size: side of its input picture in pixels; 0 if it takes none.
        pixels: of that picture.
    """

    size: int = 0
    pixels: Pixels | None = None


Contract = (
    SwapperContract
    | DetectorContract
    | RecogniserContract
    | LandmarkerContract
    | EnhancerContract
    | AgerContract
    | ClassifierContract
    | FrameEnhancerContract
    | OccluderContract
    | ParserContract
    | ConverterContract
    | LipSyncContract
    | PortraitContract
)

CONTRACTS: Mapping[str, type[Contract]] = MappingProxyType(
    {
        "swapper": SwapperContract,
        "detector": DetectorContract,
        "recogniser": RecogniserContract,
        "landmarker": LandmarkerContract,
        "enhancer": EnhancerContract,
        "ager": AgerContract,
        "classifier": ClassifierContract,
        "frame_enhancer": FrameEnhancerContract,
        "occluder": OccluderContract,
        "parser": ParserContract,
        "converter": ConverterContract,
        "lip_syncer": LipSyncContract,
        "portrait": PortraitContract,
    }
)
"""Which contract belongs to which kind of model."""


def parse_template(points: list[list[float]]) -> Template:
    """Five points from the table.

    Raises:
        ValueError: they are not five points inside the crop.
    """
    pairs = tuple((float(x), float(y)) for x, y in points)
    if len(pairs) != 5 or not all(0 < value < 1 for pair in pairs for value in pair):
        raise ValueError("a template is five points between 0 and 1")
    return pairs[0], pairs[1], pairs[2], pairs[3], pairs[4]


def parse_pixels(entry: Mapping[str, Any]) -> Pixels:
    """A normalisation from the table; one number stands for all channels.

    Raises:
        ValueError, TypeError: it is not one.
    """
    values = dict(entry)
    for key in ("mean", "deviation"):
        given = values[key]
        triple = tuple(map(float, given)) if isinstance(given, list) else (float(given),) * 3
        if len(triple) != 3:
            raise ValueError(f"{key} has {len(triple)} values")
        values[key] = triple
    if values["order"] not in ("rgb", "bgr") or values.get("layout", "nchw") not in ("nchw", "nhwc"):
        raise ValueError("unknown order or layout")
    return Pixels(**values)


def parse_contract(kind: str, entry: Mapping[str, Any], pixels: Mapping[str, Pixels]) -> Contract:
    """A contract from the table. Normalisations are named there and looked up in `pixels`.

    Raises:
        KeyError: unknown kind or normalisation.
        TypeError: a field is missing or unknown.
    """
    contract = CONTRACTS[kind]
    values = dict(entry)
    for field in fields(contract):
        if field.name.endswith("pixels") and field.name in values:
            values[field.name] = pixels[values[field.name]]
    if "parts" in values:
        values["parts"] = MappingProxyType(dict(values["parts"]))
    return contract(**values)
