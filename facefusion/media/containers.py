"""What the containers that results are written in can hold.

The lists say what players of the container really play, which is less than what libav's muxers would take.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Container:
    """One kind of file.

    Attributes:
        name: family, see `sniff.FileKind`.
        suffixes: that a result may keep; the first is the default.
        muxer: libav's name.
        encoders: video encoders whose output it holds, best known first.
        audio: sound codecs that are copied.
        sound_encoder: codec for sound that cannot be copied.
        subtitles: subtitle codecs that are copied.
        covers: picture codecs of cover art.
        attachments: holds attached files (fonts).
        free_clock: its clock starts anywhere, and players subtract the start.
    """

    name: str
    suffixes: tuple[str, ...]
    muxer: str
    encoders: tuple[str, ...]
    audio: frozenset[str]
    sound_encoder: str = "aac"
    subtitles: frozenset[str] = frozenset()
    covers: frozenset[str] = frozenset()
    attachments: bool = False
    free_clock: bool = False


def _codecs(*lines: str) -> frozenset[str]:
    return frozenset(name for line in lines for name in line.split())


_PCM = "pcm_s16le pcm_s24le pcm_s32le pcm_u8 pcm_s16be pcm_s24be pcm_f32le pcm_f64le pcm_alaw pcm_mulaw"

CONTAINERS = {
    container.name: container
    for container in (
        Container(
            "mp4",
            (".mp4", ".m4v"),
            "mp4",
            ("libx264", "libx265", "libvpx-vp9", "libsvtav1"),
            _codecs("aac mp3 ac3 eac3 alac opus flac mp2 dts"),
            subtitles=_codecs("mov_text dvd_subtitle"),
            covers=_codecs("mjpeg png bmp"),
        ),
        Container(
            "mov",
            (".mov",),
            "mov",
            ("libx264", "libx265", "prores_ks"),
            _codecs("aac mp3 ac3 eac3 alac mp2 adpcm_ima_qt", _PCM),
            subtitles=_codecs("mov_text"),
        ),
        Container(
            "mkv",
            (".mkv",),
            "matroska",
            ("libx264", "libx265", "libvpx-vp9", "libsvtav1", "prores_ks"),
            _codecs(
                "aac mp3 ac3 eac3 alac opus flac mp2 dts vorbis truehd mlp tta wavpack",
                "wmav1 wmav2 wmapro amr_nb amr_wb adpcm_ms adpcm_ima_wav",
                _PCM,
            ),
            subtitles=_codecs("subrip ass webvtt dvd_subtitle hdmv_pgs_subtitle dvb_subtitle text"),
            covers=_codecs("mjpeg png"),
            attachments=True,
        ),
        Container(
            "webm",
            (".webm",),
            "webm",
            ("libvpx-vp9", "libsvtav1"),
            _codecs("opus vorbis"),
            sound_encoder="opus",
            subtitles=_codecs("webvtt"),
        ),
        Container(
            "ts",
            (".ts", ".m2ts", ".mts"),
            "mpegts",
            ("libx264", "libx265"),
            _codecs("aac mp3 ac3 eac3 mp2 dts opus"),
            subtitles=_codecs("dvb_subtitle dvb_teletext hdmv_pgs_subtitle"),
            free_clock=True,
        ),
    )
}
