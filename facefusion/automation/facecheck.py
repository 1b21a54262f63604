"""Whether a face can be taken from a picture: found out once for each content, in a process of its own.

Pictures come from anywhere, and decoding one can bring a process down; so the daemon opens none, and the
worker may be busy with a long video. A short-lived process looks at what is new, and what it found is
remembered.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from facefusion.automation.children import child_environment, private_log
from facefusion.automation.content import signature_of
from facefusion.automation.database import Database, KnownFile
from facefusion.automation.loop import Background, Loop
from facefusion.automation.workspace import printable

logger = logging.getLogger(__name__)

LOOK_VERSION = 2
"""To be raised when pictures are judged in another way; what was found before counts no longer."""
AT_ONCE = 20
START_SECONDS, PICTURE_SECONDS = 120.0, 20.0
"""How long the process may take to load its models, and for each picture."""


@dataclass(frozen=True)
class Verdict:
    """What was found of a picture.

    Attributes:
        unusable: why no face can be taken from it; empty if one can.
        flaws: what makes it a poorer source than it could be, in a few words each; empty for a good one.
    """

    unusable: str = ""
    flaws: str = ""


UNJUDGED = Verdict()
"""This very object stands for pictures of which nothing can be said."""


class PictureMemory:
    """What was found of pictures, by content.

    Args:
        database: of the root.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        rows = database.rows("SELECT sha256, unusable, flaws FROM pictures WHERE look = ?", (LOOK_VERSION,))
        self._found = {row["sha256"]: Verdict(str(row["unusable"]), str(row["flaws"])) for row in rows}

    def get(self, sha256: str) -> Verdict | None:
        """What was found; None if nobody has looked."""
        return self._found.get(sha256)

    def put(self, found: Mapping[str, Verdict]) -> None:
        """Remember what was found.

        Raises:
            StorageError: it is remembered for this run only.
        """
        self._found.update(found)
        rows = [(sha256, LOOK_VERSION, told.unusable, told.flaws) for sha256, told in found.items()]
        with self._database.transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?)", rows)


class FaceCheck:
    """Has new pictures looked at, some at a time. Who asks for a verdict that is not known orders it.

    Args:
        inbox: paths are relative to it.
        loop: this object lives in the loop's thread.
        memory: of the root.
        look: asked in a thread of its own; None to take every picture for usable.
    """

    def __init__(self, inbox: Path, loop: Loop, memory: PictureMemory, look: LookProcess | None) -> None:
        self.on_found: Callable[[], object] = lambda: None
        self._inbox = inbox
        self._memory = memory
        self._look = look
        self._wanted: dict[str, KnownFile] = {}
        self._unknown: set[str] = set()
        self._in_hand = False
        self._thread = Background("faces", loop) if look is not None else None

    @property
    def busy(self) -> bool:
        """Whether a verdict is still to come."""
        return self._in_hand or bool(self._wanted)

    def verdict(self, picture: KnownFile) -> Verdict | None:
        """What was found of a picture; None while that is being found out."""
        if self._look is None or picture.sha256 in self._unknown:
            return UNJUDGED
        found = self._memory.get(picture.sha256)
        if found is None:
            self._wanted[picture.sha256] = picture
        return found

    def tick(self) -> None:
        """Begin to look at what is wanted, unless that is going on."""
        if self._thread is None or self._look is None or self._in_hand or not self._wanted:
            return
        batch = list(itertools.islice(self._wanted.values(), AT_ONCE))
        look, paths = self._look, [self._inbox / picture.path for picture in batch]
        self._in_hand = True
        self._thread.submit(
            partial(look, paths),
            partial(self._found, batch),
            lambda _: self._found(batch, [None] * len(batch)),
        )

    def close(self) -> None:
        """Look no more."""
        if self._thread is not None and self._look is not None:
            self._look.close()
            self._thread.close(timeout=0.5)

    def _found(self, batch: Sequence[KnownFile], answers: Sequence[Verdict | None]) -> None:
        self._in_hand = False
        known = {}
        for picture, verdict in zip(batch, answers, strict=True):
            self._wanted.pop(picture.sha256, None)
            if signature_of(self._inbox / picture.path) != picture.signature:
                continue  # what was looked at may be something else; it is asked for again once it is read
            if verdict is None:
                self._unknown.add(picture.sha256)
                logger.warning("Nobody can say whether %s shows a face; jobs will.", printable(picture.path))
            else:
                known[picture.sha256] = verdict
        self.on_found()
        self._memory.put(known)


class LookProcess:
    """Looks at pictures in a process of its own; those at which it dies cannot be judged.

    Args:
        factory: `module:callable`, called with the models folder, gives a function from a picture's path to
            why no face can be taken from it, and to its flaws (two texts).
        models_dir: installed model files.
        log: takes what the process and its libraries print.
    """

    def __init__(self, factory: str, models_dir: Path, log: Path) -> None:
        module = "facefusion.automation.facecheck_process"
        self._command = (sys.executable, "-m", module, factory, str(models_dir))
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self._closed = False

    def __call__(self, pictures: Sequence[Path]) -> list[Verdict | None]:
        """What is found of each picture; None if that cannot be said."""
        found: list[Verdict | None] = []
        while len(found) < len(pictures) and not self._closed:
            answers = self._ask(pictures[len(found) :])
            if answers is None:  # without models nothing can be said of any
                break
            found += answers
            if len(found) < len(pictures):
                found.append(None)
        return found + [None] * (len(pictures) - len(found))

    def close(self) -> None:
        """End the process."""
        self._closed = True
        if self._process is not None:
            with contextlib.suppress(OSError):
                self._process.kill()

    def _ask(self, pictures: Sequence[Path]) -> list[Verdict] | None:
        """Answers up to the picture at which the process died; None if it cannot look at any."""
        question = json.dumps([os.fsencode(path).hex() for path in pictures])
        with private_log(self._log) as log:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                env=child_environment(threads=1),
            )
        self._process = process
        try:
            told, _ = process.communicate(question, timeout=START_SECONDS + PICTURE_SECONDS * len(pictures))
        except subprocess.TimeoutExpired:
            process.kill()
            told, _ = process.communicate()
        ready, *lines = told.split("\n")[:-1] or [""]
        return [Verdict(*map(str, json.loads(line))) for line in lines] if ready else None
