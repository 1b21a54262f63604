"""Static HDR metadata (SMPTE ST 2086, CTA-861.3) of decoded frames, for encoders that want it as text."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

_DYNAMIC = {
    "DYNAMIC_HDR_PLUS": "HDR10+",
    "DYNAMIC_HDR_VIVID": "HDR Vivid",
    "DOVI_RPU_BUFFER": "Dolby Vision",
    "DOVI_METADATA": "Dolby Vision",
}


@dataclass(frozen=True)
class MasteringDisplay:
    """Display a film was mastered on.

    Attributes:
        primaries: x, y of red, green, blue.
        white: x, y.
        luminance: darkest and brightest in cd/m2.
    """

    primaries: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
    white: tuple[float, float]
    luminance: tuple[float, float]

    def in_units(self) -> str:
        """As x264 and x265 want it: steps of 0.00002 and of 0.0001 cd/m2."""

        def point(pair: tuple[float, float]) -> str:
            return f"({round(pair[0] * 50000)},{round(pair[1] * 50000)})"

        red, green, blue = self.primaries
        dark, bright = self.luminance
        light = f"L({round(bright * 10000)},{round(dark * 10000)})"
        return f"G{point(green)}B{point(blue)}R{point(red)}WP{point(self.white)}{light}"

    def in_decimals(self) -> str:
        """As SVT-AV1 wants it."""

        def point(pair: tuple[float, float]) -> str:
            return f"({pair[0]:.5f},{pair[1]:.5f})"

        red, green, blue = self.primaries
        dark, bright = self.luminance
        return f"G{point(green)}B{point(blue)}R{point(red)}WP{point(self.white)}L({bright:.4f},{dark:.4f})"


def mastering_display(frame: Any) -> MasteringDisplay | None:
    """What the frame says about its mastering display; None where it says nothing, or only half of it."""
    data = _side_data(frame, "MASTERING_DISPLAY_METADATA")
    if data is None or len(data) < 88:
        return None
    numbers = struct.unpack_from("=22i", data)
    if not numbers[20] or not numbers[21]:
        return None
    values = [
        top / bottom if bottom else 0.0 for top, bottom in zip(numbers[:20:2], numbers[1:20:2], strict=True)
    ]
    return MasteringDisplay(
        ((values[0], values[1]), (values[2], values[3]), (values[4], values[5])),
        (values[6], values[7]),
        (values[8], values[9]),
    )


def light_level(frame: Any) -> tuple[int, int] | None:
    """Largest light level and largest frame average in cd/m2, where the frame says them."""
    data = _side_data(frame, "CONTENT_LIGHT_LEVEL")
    if data is None or len(data) < 8:
        return None
    content, average = struct.unpack_from("=2I", data)
    return (content, average) if content or average else None


def dynamic_metadata(frame: Any) -> tuple[str, ...]:
    """Names of the dynamic HDR metadata a frame carries; no encoder here can write them."""
    found = {_DYNAMIC[item.type.name] for item in frame.side_data if item.type.name in _DYNAMIC}
    return tuple(sorted(found))


def _side_data(frame: Any, name: str) -> bytes | None:
    for item in frame.side_data:
        if item.type.name == name:
            return bytes(item)
    return None
