"""Questions with good defaults; where nobody can answer, the default is the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from rich.console import Console
from rich.prompt import Confirm, Prompt

from facefusion.errors import FaceFusionError
from facefusion.launcher.text import safe

T = TypeVar("T")


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
        return self._asked(lambda: Confirm.ask(question, console=self.console, default=default), default)

    def choose(self, question: str, choices: Sequence[str], default: str) -> str:
        """One of several words."""
        return self._asked(
            lambda: Prompt.ask(question, console=self.console, choices=list(choices), default=default),
            default,
        )

    def text(self, question: str, default: str, check: Callable[[str], None]) -> str:
        """A text that `check` does not object to (with a FaceFusionError)."""

        def ask() -> str:
            while True:
                answer = Prompt.ask(question, console=self.console, default=default).strip()
                try:
                    check(answer)
                except FaceFusionError as error:
                    self.console.print(f"  {safe(error.message)}", style="yellow", markup=False)
                else:
                    return answer

        return self._asked(ask, default)

    def typed(self, question: str, wanted: str) -> bool:
        """Whether exactly these words were typed (case and spaces aside); nobody there means no."""
        answer = self._asked(
            lambda: Prompt.ask(question, console=self.console, default="", show_default=False), ""
        )
        return " ".join(answer.casefold().split()) == wanted.casefold()

    def _asked(self, ask: Callable[[], T], default: T) -> T:
        if not self.interactive:
            return default
        try:
            return ask()
        except EOFError:  # the terminal was closed, or Ctrl-D
            raise KeyboardInterrupt from None
