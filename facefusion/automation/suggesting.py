"""A command line that knows what was probably meant."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable
from typing import NoReturn


class SuggestingParser(argparse.ArgumentParser):
    """Says `Did you mean ...?` where a word is not one of those it knows, but like one."""

    def error(self, message: str) -> NoReturn:
        """See `argparse.ArgumentParser.error`."""
        super().error(f"{message}{suggestion(message, self._words())}")

    def _words(self) -> Iterable[str]:
        for action in self._actions:
            yield from action.option_strings
            for choice in action.choices or ():
                yield str(choice)
                # Options that no command knows are told by the parser above the commands.
                if isinstance(action.choices, dict) and isinstance(action.choices[choice], SuggestingParser):
                    yield from action.choices[choice]._words()


def suggestion(message: str, words: Iterable[str]) -> str:
    """What to say after a parser's complaint; empty where nothing is like the word that it names.

    Args:
        message: of `argparse`.
        words: that would have been understood.
    """
    found = re.search(r"invalid choice: '([^']*)'|unrecognized arguments: (\S+)", message)
    wrong = next(filter(None, found.groups()), "") if found else ""
    near = difflib.get_close_matches(wrong.partition("=")[0], dict.fromkeys(words), n=1, cutoff=0.6)
    return f". Did you mean {near[0]!r}?" if near else ""
