"""What a file says for programs to read about how it came about: source type and tool, as XMP or tags.

Pictures and ISO base media carry an XMP packet, Matroska and WebM plain tags; MPEG-TS and BMP have no room
for either. Sources: ISO 16684-1 (XMP) and Adobe's "XMP Specification Part 3" (places in files), the IPTC
Photo Metadata Standard (`DigitalSourceType`).
"""

from __future__ import annotations

import contextlib
import io
import struct
import xml.etree.ElementTree as Xml
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_META = "adobe:ns:meta/"
_SOURCE_TYPE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
_TOOL = "{http://ns.adobe.com/xap/1.0/}CreatorTool"
_PREFIXES = {
    "x": _META,
    "rdf": _RDF,
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
}
_SOURCE_TYPE_TAG, _TOOL_TAG = "DIGITAL_SOURCE_TYPE", "CREATOR_TOOL"
XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
GIF_BLOCK = b"\x21\xff\x0bXMP DataXMP"
GIF_TRAILER = b"\x01" + bytes(range(255, -1, -1)) + b"\0"
"""Leads readers that take the packet for sub-blocks safely to its end."""


@dataclass(frozen=True)
class Label:
    """How a file came about.

    Attributes:
        source_type: IPTC digital source type, a URI.
        tool: name and version of the program.
    """

    source_type: str
    tool: str

    @property
    def tags(self) -> dict[str, str]:
        """For containers with free tags."""
        return {_SOURCE_TYPE_TAG: self.source_type, _TOOL_TAG: self.tool}

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> Label | None:
        """What such tags say; None where they say nothing."""
        found = {key.upper(): value for key, value in tags.items()}
        source_type = found.get(_SOURCE_TYPE_TAG, "")
        return cls(source_type, found.get(_TOOL_TAG, "")) if source_type else None


@dataclass(frozen=True)
class Labelled:
    """An XMP packet with a label in it; `complete` is false where the one before could not be read."""

    packet: bytes
    complete: bool


def labelled(packet: bytes, label: Label) -> Labelled:
    """An XMP packet that says what `packet` (may be empty) says, but for the label."""
    root = _parsed(packet)
    complete = root is not None or not packet.strip()
    if root is None:
        root = Xml.Element(f"{{{_META}}}xmpmeta")
        Xml.SubElement(root, f"{{{_RDF}}}RDF")
    for description in root.iter(f"{{{_RDF}}}Description"):
        for name in (_SOURCE_TYPE, _TOOL):
            description.attrib.pop(name, None)
            for element in description.findall(name):
                description.remove(element)
    rdf = root if root.tag == f"{{{_RDF}}}RDF" else root.find(f"{{{_RDF}}}RDF")
    assert rdf is not None
    Xml.SubElement(
        rdf,
        f"{{{_RDF}}}Description",
        {f"{{{_RDF}}}about": "", _SOURCE_TYPE: label.source_type, _TOOL: label.tool},
    )
    for prefix, uri in {**_prefixes_of(packet), **_PREFIXES}.items():
        with contextlib.suppress(ValueError):  # reserved ones
            Xml.register_namespace(prefix, uri)
    begin = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'.encode()
    try:
        text = Xml.tostring(root, "utf-8")
    except RecursionError:  # elements nested a thousand deep
        return Labelled(labelled(b"", label).packet, False)
    return Labelled(begin + text + b'\n<?xpacket end="w"?>', complete)


def add_box(path: Path, label: Label) -> None:
    """Append the label as a box to a finished mp4, mov or jp2 file.

    Raises:
        OSError: it cannot be written.
    """
    with path.open("ab") as stream:
        stream.write(label_box(label))


def label_box(label: Label) -> bytes:
    """The label as a top-level box of ISO base media and JPEG 2000."""
    packet = labelled(b"", label).packet
    return struct.pack(">I4s", 24 + len(packet), b"uuid") + XMP_BOX + packet


def gif_block(packet: bytes) -> bytes:
    """An XMP packet as an application extension of GIF."""
    return GIF_BLOCK + packet + GIF_TRAILER


def png_xmp(packet: bytes) -> bytes:
    """An XMP packet as a chunk of PNG."""
    body = b"iTXt" + b"XML:com.adobe.xmp\0\0\0\0\0" + packet
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def label_in(packet: bytes) -> Label | None:
    """The label that an XMP packet holds; None where there is none."""
    root = _parsed(packet)
    if root is None:
        return None
    found = {}
    for description in root.iter(f"{{{_RDF}}}Description"):
        for name in (_SOURCE_TYPE, _TOOL):
            element = description.find(name)
            value = description.get(name)
            if value is None and element is not None:
                value = element.get(f"{{{_RDF}}}resource") or element.text
            if value:
                found[name] = value.strip()
    return Label(found[_SOURCE_TYPE], found.get(_TOOL, "")) if _SOURCE_TYPE in found else None


def _parsed(packet: bytes) -> Xml.Element | None:
    """The root of a packet; None where it is empty, damaged, or defines entities of its own."""
    text = packet.strip(b"\0 \t\r\n")
    plain = text.replace(b"\0", b"")  # the same letters where there are two bytes to each
    if not text or b"<!DOCTYPE" in plain or b"<!ENTITY" in plain:
        return None
    try:
        root = Xml.fromstring(text)
    except (Xml.ParseError, ValueError, LookupError):
        return None
    has_statements = root.tag == f"{{{_RDF}}}RDF" or root.find(f"{{{_RDF}}}RDF") is not None
    return root if has_statements else None


def _prefixes_of(packet: bytes) -> dict[str, str]:
    """The packet's own names for its namespaces, so that they stay."""
    if _parsed(packet) is None:
        return {}
    events = Xml.iterparse(io.BytesIO(packet.strip(b"\0 \t\r\n")), ["start-ns"])
    return {prefix: uri for _, (prefix, uri) in events if prefix}
