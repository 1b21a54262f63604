"""Questions with good defaults; where nobody can answer, the default is the answer."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO, TypeVar, cast

from rich.console import Console
from rich.padding import Padding
from rich.prompt import Confirm, Prompt, PromptBase
from rich.text import Text

from facefusion.errors import FaceFusionError
from facefusion.launcher.text import safe

T = TypeVar("T")

UNANSWERED = "Nothing was started, and answers so far are not kept; the next start asks again."
"""Said by whoever ends the program because of a `KeyboardInterrupt` at a question."""


class Conversation:
    """Asks at the terminal, or takes defaults.

    Args:
        console: where questions are shown.
        interactive: somebody is there to answer.
    """

    def __init__(self, console: Console, *, interactive: bool) -> None:
        self.console = console
        self.interactive = interactive

    def confirm(self, question: str, *, default: bool) -> bool:
        """Yes or no."""
        return self._ask(Confirm, question, default)

    def choose(self, question: str, choices: Sequence[str], default: str) -> str:
        """One of several words."""
        return self._ask(Prompt, question, default, choices=list(choices))

    def text(self, question: str, default: str, check: Callable[[str], str]) -> str:
        """A text that `check` does not object to (with a FaceFusionError); what it answers is shown."""
        while self.interactive:
            answer = self._ask(Prompt, question, default).strip()
            try:
                remark = check(answer)
            except FaceFusionError as error:
                self._remark(error.message, "yellow")
            else:
                self._remark(remark, "dim")
                return answer
        return default

    def _remark(self, text: str, style: str) -> None:
        if text:
            self.console.print(Padding(Text(safe(text), style=style), (0, 0, 0, 2), expand=False))

    def typed(self, question: str, wanted: str) -> bool:
        """Whether exactly these words were typed (case, spaces and quotation marks aside).

        Other words are asked about once more; none mean no, and so does nobody there.
        """
        for asked in (question, f'That was not "{wanted}". {question} (or Enter to leave)'):
            answer = " ".join(self._ask(Prompt, asked, "", show_default=False).casefold().split())
            if answer.strip("\"'. ") == wanted.casefold():
                return True
            if not answer:
                return False
        return False

    def _ask(self, prompt: type[PromptBase[T]], question: str, default: T, **options: Any) -> T:
        if not self.interactive:
            return default
        keyboard = cast(TextIO, _Keyboard())
        try:
            return prompt.ask(question, console=self.console, default=default, stream=keyboard, **options)
        except (KeyboardInterrupt, EOFError):  # Ctrl-C; Ctrl-D, or the terminal was closed
            raise KeyboardInterrupt(UNANSWERED) from None


class _Keyboard:
    """Standard input as prompts read it. No Ctrl-C is lost, also not one pressed as the waiting begins.

    A signal that comes between Python's last look at signals and the system call that waits for a line would
    be noticed only after that line. So the waiting is for the line or for word of a signal.
    """

    def readline(self) -> str:
        """A line without its end.

        Raises:
            EOFError: there will be none.
        """
        if sys.platform != "win32":  # there Ctrl-C ends the reading itself
            with _word_of_signals() as word:
                while sys.stdin not in select.select([sys.stdin, word], [], [])[0]:
                    os.read(word, 1)
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.rstrip("\n")


@contextlib.contextmanager
def _word_of_signals() -> Iterator[int]:
    """A descriptor that can be read once a signal has come."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing)
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(before)
        os.close(reading)
        os.close(writing)
