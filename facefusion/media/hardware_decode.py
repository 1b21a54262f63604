"""Video decoders of NVIDIA's graphics processors: used for a video where they are proved on its beginning.

What these codecs decode to is fixed to the last bit, so a device's decoder must give the software's very
pictures; and it is only used if it takes less time, its way back to the planes included. Both are tried in a
process of their own, with the first video of a size and format. In a job it is held to what packets promise,
a picture for each. A decoder that fails in a job fails that attempt, and the next one uses the software
(`SwapRequest.again`), also where it took its process with it.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from facefusion.config import AutomationConfig
from facefusion.errors import EngineError
from facefusion.media.encoders import HARDWARE
from facefusion.media.hardware import Proof
from facefusion.media.probe import MediaInfo
from facefusion.media.trial import Alive, answer_of

DECODERS = {codec: f"{codec}_cuvid" for codec in ("h264", "hevc", "vp9", "av1")}
"""libav's names, by codec."""

RESULT_MARK = "decoder-probe:"

_FORMATS = ("yuv420p", "yuvj420p", "yuv420p10le")
_LEAST_FRAMES = 100  # shorter videos are done before the trial is

Prove = Callable[[MediaInfo, str, int], Proof]
_known: dict[tuple[str, str, int, int], Proof] = {}
_failed: dict[str, str] = {}
_lock = threading.Lock()


def on_device(
    info: MediaInfo,
    config: AutomationConfig,
    *,
    threads: int = 1,
    prove: Prove | None = None,
    alive: Alive = lambda: None,
) -> MediaInfo:
    """The video, to be read with the graphics processor's decoder where that is proved and faster.

    Args:
        info: what `probe` said.
        config: where `output.hardware_encoder` is `off` or names another device, the software decodes.
        threads: that the software's decoder would have.
        prove: another way to prove a decoder (tests).
        alive: called again and again meanwhile; may raise to stop.
    """
    decoder = DECODERS.get(info.codec, "")
    suits = info.kind == "video" and not info.decoder and not info.interlaced and info.pix_fmt in _FORMATS
    wanted = config.output.hardware_encoder in ("auto", "nvenc") and HARDWARE["nvenc"].present()
    if not (decoder and suits and wanted) or (info.frames or 0) < _LEAST_FRAMES:
        return info
    with _lock:
        key = _key(info, decoder)
        if key not in _known:
            if prove is not None:
                _known[key] = prove(info, decoder, threads)
            else:
                question = {"path": str(info.path.absolute()), "decoder": decoder, "threads": threads}
                answer = answer_of("facefusion.media.decoder_probe", RESULT_MARK, question, alive)
                _known[key] = Proof(False, answer) if isinstance(answer, str) else Proof(**answer)
        return replace(info, decoder=decoder) if _known[key].faster else info


def in_software(info: MediaInfo) -> MediaInfo:
    """The video, to be read with the software's decoder."""
    return replace(info, decoder="") if info.decoder in DECODERS.values() else info


def refused(info: MediaInfo, cause: object) -> EngineError:
    """The error of a decoder that was proved and fails in a job; from here on it does not work."""
    with _lock:
        _known[_key(info, info.decoder)] = Proof(False, f"failed in a job ({cause})")
        _failed[str(info.path)] = (
            f"{info.decoder} failed in an earlier attempt ({cause}); the software read the video."
        )
    return EngineError(
        f"{info.decoder} failed while it read {info.path.name} ({cause}).",
        remedy='The next attempt uses the software. Set `output.hardware_encoder` to "off" to stay there.',
    )


def failure(info: MediaInfo) -> list[str]:
    """A sentence on the decoder that failed while it read this video; none if none did in this process."""
    return [_failed[str(info.path)]] if str(info.path) in _failed else []


class Promises:
    """Holds a decoder to what packets promise: that each is followed by its picture, and by nothing else.

    The software tells by its errors that pictures are missing; a device leaves them out without a word, at a
    damaged place or where a stream changes. What lies before the first picture of all is not counted: a video
    that was cut may begin with pictures that nobody can decode.
    """

    def __init__(self) -> None:
        self._promised: Counter[int] = Counter()
        self._begun = False
        self._told = True  # packets have time stamps

    def packet(self, packet: Any) -> None:
        """The decoder is about to get a packet; None after the last one."""
        if packet is None or packet.is_discard:
            return
        self._told &= packet.pts is not None
        if self._told:
            self._promised[packet.pts] += 1

    def picture(self, pts: int | None) -> str:
        """The decoder has given a picture; what is wrong with that, if anything."""
        if not self._told:
            return ""
        early = [stamp for stamp in self._promised if pts is None or stamp < pts]
        if self._begun and early:
            return "a picture is missing"
        for stamp in early:
            del self._promised[stamp]
        self._begun = True
        if pts is None or pts not in self._promised:
            return "a picture came that was not in the video"
        self._promised[pts] -= 1
        self._promised += Counter()  # without those at zero
        return ""

    def end(self) -> str:
        """The decoder has given its last picture; what is wrong with that, if anything."""
        return "pictures at the end are missing" if self._told and self._promised else ""


def _key(info: MediaInfo, decoder: str) -> tuple[str, str, int, int]:
    return decoder, info.pix_fmt, info.width, info.height
