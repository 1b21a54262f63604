"""The finished parts of a long video that is being written, kept so that work goes on there after a kill.

A part is a file of its own: encoded packets as they went into the result, and what whoever made them must
know to go on behind them. It is written while the result is, reaches the disk when it is complete, and only
then has its name; so a folder holds whole parts or nothing. Every part bears the fingerprint of all that
determined it and a checksum; what does not fit is thrown away.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import shutil
import struct
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import av

from facefusion.system.disk import sync_file, sync_folder

logger = logging.getLogger(__name__)

_MAGIC = b"facefusion part 1\n"
_PACKET = struct.Struct("<qqqBI")
"""Presentation time, decoding time, duration, flags, bytes."""
_END = struct.Struct("<I32s")
"""Bytes of the account before it, SHA-256 of everything before this."""
_KEY_FRAME, _NO_DECODING_TIME = 1, 2
_PIECE = 1 << 20
_HARMLESS = frozenset({"quality_stats", "cpb_properties"})
"""Data beside a packet that muxers do not look at."""
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, struct.error)
RESERVE_BYTES = 200_000_000
"""With less than this and another copy's room left on the disk nothing is kept: a result comes first."""


@dataclass(frozen=True)
class Keeping:
    """Where parts of one job may be kept, and what they depend on beyond what the pipeline knows itself.

    Attributes:
        folder: for this job alone; made when the first part begins.
        facts: what determines the result and is known to whoever orders it, as plain JSON types.
        every: pictures in a part; None for as many as lie between two key frames.
    """

    folder: Path
    facts: Mapping[str, Any] = field(default_factory=dict)
    every: int | None = None

    def earlier_facts(self) -> Mapping[str, Any]:
        """The facts of what an earlier attempt has left here, unchecked; empty where there is nothing."""
        try:
            facts = _account_of(self.folder / _name(0))["facts"]
            return facts if isinstance(facts, dict) else {}
        except _UNREADABLE:
            return {}

    @property
    def finished(self) -> tuple[int, float]:
        """How many pictures an earlier attempt has finished, and in how many seconds; unchecked, cheap."""
        try:
            first, *others = sorted(self.folder.glob("*.part"))
            last = _account_of(others[-1] if others else first)
            before = len(_account_of(first)["stamps"]) * len(others)  # all but the last one are as long
            return before + len(last["stamps"]), float(last["memory"]["seconds"])
        except _UNREADABLE:
            return 0, 0.0

    @property
    def size(self) -> int:
        """Bytes on the disk of what an earlier attempt has left here."""
        with contextlib.suppress(OSError):
            return sum(path.stat().st_size for path in self.folder.glob("*.part"))
        return 0


@dataclass(frozen=True)
class _Part:
    """A whole part of an earlier attempt: times of its pictures, number of packets."""

    path: Path
    stamps: tuple[int, ...]
    packets: int


class Segments:
    """Writes the parts of one video, and reads those that an earlier attempt has left.

    Args:
        keeping: where, and what the result depends on.
        fingerprint: of everything else that determines it.
        every: pictures in a part.
        alive: called again and again while parts are checked; may raise to stop.

    Attributes:
        frames: pictures that an earlier attempt has finished, once `open` was called.
        memory: what was noted with the last of them.
        active: whether parts are kept.
    """

    def __init__(
        self, keeping: Keeping, fingerprint: str, every: int, alive: Callable[[], object] = lambda: None
    ) -> None:
        self.frames = 0
        self.memory: Mapping[str, Any] = {}
        self.active = True
        self._folder = keeping.folder
        self._facts = dict(keeping.facts)
        self._fingerprint = json.dumps(self._facts, sort_keys=True) + fingerprint
        self._every = every
        self._alive = alive
        self._parts: list[_Part] = []
        self._replay: Generator[tuple[int, list[Any]]] | None = None
        self._count = 0  # of whole parts on the disk
        self._bytes = 0
        self._out: BinaryIO | None = None
        self._digest = hashlib.sha256()
        self._stamps: list[int] = []
        self._packets = 0

    def open(self, encoder: bytes) -> None:
        """Look for parts of an earlier attempt; what cannot be used is removed.

        Args:
            encoder: what the encoder says of the stream it is about to write (its extradata).
        """
        self._fingerprint = hashlib.sha256(self._fingerprint.encode() + encoder).hexdigest()
        names = sorted(self._folder.glob("*.part")) if self._folder.is_dir() else []
        for path in names:
            self._alive()
            account = self._whole(path)
            if account is None:
                logger.warning("What was kept of %d pictures on does not fit and is made anew.", self.frames)
                break
            self._parts.append(_Part(path, tuple(account["stamps"]), account["packets"]))
            self._count += 1
            self._bytes += path.stat().st_size
            self.frames += len(account["stamps"])
            self.memory = account["memory"]
        if self._parts and self._is_tight():
            logger.warning("The disk is too full to go on with what was finished; it is made anew.")
            self._clear()
            return
        self._remove(keep={part.path for part in self._parts})

    def replay(self) -> Iterator[tuple[int, list[Any]]]:
        """For each finished picture its time stamp, and packets to be muxed meanwhile."""
        self._replay = self._replayed()
        return self._replay

    def _replayed(self) -> Generator[tuple[int, list[Any]]]:
        for part in self._parts:
            with part.path.open("rb") as stream:
                stream.seek(len(_MAGIC))
                for place, stamp in enumerate(part.stamps):
                    last = place == len(part.stamps) - 1
                    count = part.packets - place if last else min(1, part.packets - place)
                    yield stamp, [_read_packet(stream) for _ in range(count)]

    def due(self) -> bool:
        """Whether the part in hand is as long as it is to be."""
        return self.active and len(self._stamps) >= self._every

    def picture(self, stamp: int) -> None:
        """The next picture of the part in hand goes to the encoder."""
        if self.active:
            self._stamps.append(stamp)

    def packet(self, packet: Any) -> None:
        """Keep a packet, in the clock of the pictures, before it is muxed."""
        if not self.active:
            return
        if any(data.data_type not in _HARMLESS for data in packet.iter_sidedata()):
            self.forget("The encoder adds data that cannot be kept.")
            return
        flags = _KEY_FRAME * packet.is_keyframe | _NO_DECODING_TIME * (packet.dts is None)
        content = bytes(packet)
        times = (packet.pts, packet.dts or 0, packet.duration or 0)
        with self._storage():
            self._write(_PACKET.pack(*times, flags, len(content)))
            self._write(content)
        self._packets += 1

    def finish(self, memory: Mapping[str, Any]) -> None:
        """The part in hand is complete: all its packets are there.

        Args:
            memory: what is to be known for going on behind it; JSON-able.
        """
        if not self.active:
            return
        account = {
            "fingerprint": self._fingerprint,
            "facts": self._facts,
            "number": self._count,
            "stamps": self._stamps,
            "packets": self._packets,
            "memory": dict(memory),
        }
        with self._storage():
            text = json.dumps(account).encode()
            self._write(text)
            out = self._out
            assert out is not None
            out.write(_END.pack(len(text), self._digest.digest()))
            out.close()
            sync_file(self._unfinished)
            path = self._folder / _name(self._count)
            self._unfinished.replace(path)
            sync_folder(self._folder)
            self._count += 1
            self._bytes += path.stat().st_size
            self._begin()
            if self._is_tight():
                self.forget("The disk is too full to keep what is finished.")

    def spare(self, needed: int) -> None:
        """Give up what is kept if the disk has not this many bytes for what comes next."""
        with contextlib.suppress(OSError):
            if self.active and shutil.disk_usage(self._folder.parent).free < needed + RESERVE_BYTES:
                self.forget("The disk is too full to keep what is finished.")

    def close(self) -> None:
        """Leave whole parts for the next attempt, and nothing else."""
        if self._replay is not None:
            self._replay.close()  # Windows removes no file that is open
        out, self._out = self._out, None
        with contextlib.suppress(OSError):  # what is still to be written finds no room
            if out is not None:
                out.close()
        with contextlib.suppress(OSError):
            self._unfinished.unlink(missing_ok=True)

    def forget(self, reason: str = "") -> None:
        """Remove all parts and keep no more."""
        if reason and self.active:
            logger.warning("%s After an interruption this video would begin anew.", reason)
        self.active = False
        self._clear()

    def _clear(self) -> None:
        self.close()
        self.frames, self.memory, self._bytes, self._count = 0, {}, 0, 0
        self._parts.clear()
        self._begin()
        self._remove(keep=set())
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    @property
    def _unfinished(self) -> Path:
        return self._folder / "unfinished"

    def _begin(self) -> None:
        self._out = None
        self._digest = hashlib.sha256()
        self._stamps = []
        self._packets = 0

    def _write(self, content: bytes) -> None:
        if self._out is None:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._out = self._unfinished.open("wb", buffering=_PIECE)
            self._out.write(_MAGIC)
            self._digest.update(_MAGIC)
        self._out.write(content)
        self._digest.update(content)

    @contextlib.contextmanager
    def _storage(self) -> Iterator[None]:
        """What cannot be kept is not kept; the result itself is another matter."""
        try:
            yield
        except OSError as error:
            self.forget(f"What is finished cannot be kept ({error.strerror or error}).")

    def _is_tight(self) -> bool:
        """Whether the disk cannot hold what is kept a second time, which a result made of it needs."""
        try:
            free = shutil.disk_usage(self._folder.parent).free
        except OSError:
            return True
        return free < self._bytes + RESERVE_BYTES

    def _remove(self, keep: set[Path]) -> None:
        for path in (*self._folder.glob("*.part"), self._unfinished):
            if path not in keep:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

    def _whole(self, path: Path) -> Any:
        """The account of a part as it was written; None if it was damaged, or belongs to something else."""
        try:
            with path.open("rb") as stream:
                account = self._checked(stream, path.stat().st_size)
            fits = (account["fingerprint"], account["number"]) == (self._fingerprint, self._count)
            return account if fits else None
        except _UNREADABLE:
            return None

    def _checked(self, stream: BinaryIO, size: int) -> Any:
        body = size - _END.size
        digest = hashlib.sha256()
        left = body
        while left > 0:
            self._alive()
            piece = stream.read(min(_PIECE, left))
            if not piece:
                break
            digest.update(piece)
            left -= len(piece)
        if digest.digest() != _END.unpack(stream.read(_END.size))[1]:
            raise ValueError("the checksum does not fit")
        return _account(stream, size)


def _name(number: int) -> str:
    return f"{number:06d}.part"


def _account(stream: BinaryIO, size: int) -> Any:
    """What stands at the end of a part."""
    stream.seek(max(0, size - _END.size))
    length, _ = _END.unpack(stream.read(_END.size))
    stream.seek(max(0, size - _END.size - length))
    return json.loads(stream.read(length))


def _account_of(path: Path) -> Any:
    with path.open("rb") as stream:
        return _account(stream, path.stat().st_size)


def _read_packet(stream: BinaryIO) -> Any:
    pts, dts, duration, flags, size = _PACKET.unpack(stream.read(_PACKET.size))
    packet = av.Packet(stream.read(size))
    packet.pts, packet.duration = pts, duration
    packet.dts = None if flags & _NO_DECODING_TIME else dts
    packet.is_keyframe = bool(flags & _KEY_FRAME)
    return packet
