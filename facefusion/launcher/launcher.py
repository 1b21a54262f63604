"""The guided conversation."""

from __future__ import annotations

from facefusion.launcher.arguments import LauncherArguments


class FaceFusionAutomationLauncher:
    """The conversation."""

    def __init__(self, arguments: LauncherArguments) -> None:
        self._arguments = arguments

    def run(self) -> int:
        """Run it."""
        print("inside", self._arguments)
        return 0
