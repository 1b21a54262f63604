"""The guided start: computer, settings, agreement, models, and then the daemon."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

import facefusion
from facefusion.automation.lock import already_running, holder
from facefusion.automation.processor import SimpleAutoProcessor
from facefusion.automation.workspace import INBOX_FOLDERS, Workspace
from facefusion.config import (
    CONFIG_FILE,
    QUALITY_PROFILES,
    SCHEMA_FILE,
    AutomationConfig,
    QualityPreset,
    load_config,
    save_config,
    write_schema,
)
from facefusion.errors import PolicyNotAcceptedError, StorageError
from facefusion.launcher.arguments import LauncherArguments
from facefusion.launcher.computer import computer_rows, examine
from facefusion.launcher.conversation import Conversation
from facefusion.launcher.installing import install
from facefusion.launcher.places import check_places
from facefusion.launcher.preparing import compile_once
from facefusion.launcher.session import MakeProcessor, run_demo, watch
from facefusion.launcher.text import near, safe
from facefusion.models.manager import ModelManager
from facefusion.swap.plan import Plan, plan_engine
from facefusion.trust import policy

AGREEMENT = "I agree"
PROFILE_WORDS = {
    "fast": "quickest; lower quality, files often larger",
    "balanced": "good quality at good speed",
    "best": "highest quality, slowest",
}


class FaceFusionAutomationLauncher:
    """One guided start.

    Args:
        arguments: the wishes of the command line.
        console: where it talks; the terminal, or standard output without control codes.
        interactive: whether somebody is there to answer; found out if None.
        make_processor: other than the real one, for tests.
    """

    def __init__(
        self,
        arguments: LauncherArguments,
        *,
        console: Console | None = None,
        interactive: bool | None = None,
        make_processor: MakeProcessor = SimpleAutoProcessor,
    ) -> None:
        self.arguments = arguments
        self.console = console or _console()
        if interactive is None:
            interactive = sys.stdin.isatty() and sys.stdout.isatty() and not arguments.yes
        self._make_processor = make_processor
        self.conversation = Conversation(self.console, interactive=interactive)

    def run(self) -> int:
        """Lead through the start and stay until the daemon ends.

        Returns:
            Exit status: 0 ended as wished (or the use policy was accepted for a daemon that runs already),
            1 the demonstration has no result.

        Raises:
            FaceFusionError: what stands in the way, with its remedy.
            KeyboardInterrupt: stopped before the daemon was started.
        """
        self.console.print(f"FaceFusion automation {facefusion.__version__}", style="bold")
        config_path = self.arguments.root / CONFIG_FILE
        config = self._wished(load_config(config_path))
        workspace = self._workspace(config)
        if (pid := holder(workspace.state_dir)) is not None:
            if not self._is_about_the_policy(workspace, config):
                raise already_running(workspace.root, pid)
            self._agreement(workspace.state_dir, config)
            self.console.print(f"The daemon that works on this folder (process {pid}) goes on with it.")
            return 0
        if not self.conversation.interactive:
            self._agreement(workspace.state_dir, config)  # nobody will be asked later either
        manager = ModelManager(workspace.models_dir)
        self._show_computer(workspace, config, plan_engine(config, manager))
        config = self._settings(config, first=not policy.is_accepted(workspace.state_dir, config))
        workspace = self._workspace(config)
        if self.conversation.interactive:
            self._agreement(workspace.state_dir, config)
        check_places(workspace)  # before they are written down
        self._keep_settings(config, config_path)
        self._make_inbox(workspace)
        workspace.prepare_outbox()
        self._install_models(manager, config)
        compile_once(self.console, workspace.state_dir)
        if self.arguments.demo:
            return run_demo(self.console, workspace, config, self._make_processor)
        return watch(self.console, workspace, self._make_processor)

    def _is_about_the_policy(self, workspace: Workspace, config: AutomationConfig) -> bool:
        """Whether a start beside a running daemon is to accept the use policy, which that may wait for."""
        asked = self.arguments.accept_use_policy is not None
        return not self.arguments.demo and (asked or not policy.is_accepted(workspace.state_dir, config))

    def _workspace(self, config: AutomationConfig) -> Workspace:
        workspace = Workspace.of(self.arguments.root, config)
        workspace.check()
        workspace.prepare_state()
        return workspace

    def _wished(self, config: AutomationConfig) -> AutomationConfig:
        """The settings with the wishes of the command line."""
        wishes = {"quality_preset": self.arguments.profile, "engine": self.arguments.engine}
        return config.model_copy(update={key: value for key, value in wishes.items() if value})

    def _settings(self, config: AutomationConfig, *, first: bool) -> AutomationConfig:
        """The first start asks for each setting; later ones whether they are still right."""
        if not first or not self.conversation.interactive:
            place = Workspace.of(self.arguments.root, config)
            self.console.print(
                f"Profile {config.quality_preset}, inbox {near(place.inbox)}, outbox {near(place.outbox)}"
                f" (more settings in {near(self.arguments.root / CONFIG_FILE)}).",
                markup=False,
            )
        if not first and self.conversation.confirm("Keep these settings?", default=True):
            return config
        return self._ask_settings(config)

    def _ask_settings(self, config: AutomationConfig) -> AutomationConfig:
        if self.conversation.interactive:
            table = Table.grid(padding=(0, 2))
            for name, words in PROFILE_WORDS.items():
                table.add_row(f"  {name}", Text(words, style="dim"))
            self.console.print(table)
        profile = self.conversation.choose("Profile", list(QUALITY_PROFILES), config.quality_preset)
        inbox = self.conversation.text(
            "Inbox: the folder that is watched", config.inbox, self._check_place(config, "inbox")
        )
        config = config.model_copy(update={"inbox": inbox})
        outbox = self.conversation.text(
            "Outbox: the folder for results", config.outbox, self._check_place(config, "outbox")
        )
        assert profile in get_args(QualityPreset)
        return config.model_copy(update={"quality_preset": profile, "outbox": outbox})

    def _check_place(self, config: AutomationConfig, key: str) -> Callable[[str], str]:
        def check(answer: str) -> str:
            place = Workspace.of(self.arguments.root, config.model_copy(update={key: answer}))
            check_places(place)
            folder = place.inbox if key == "inbox" else place.outbox
            asked = answer != getattr(config, key)  # a typing error would make a folder, too
            return f"Not there yet, will be made: {near(folder)}" if asked and not folder.exists() else ""

        return check

    def _agreement(self, state_dir: Path, config: AutomationConfig) -> None:
        """See that the use policy is accepted, here or earlier.

        Raises:
            PolicyNotAcceptedError: it is not, and nobody is there to agree, or does not.
            ConfigError: another version was agreed to on the command line.
        """
        version = self.arguments.accept_use_policy
        if version is None and policy.is_accepted(state_dir, config):
            self.console.print("Use policy: accepted.", style="dim")
            return
        title = f"Use policy, version {policy.CURRENT_VERSION}"
        if self.console.is_terminal:
            table = Table.grid(padding=(0, 1))
            for number, sentence in enumerate(policy.POLICY_TEXT, start=1):
                table.add_row(f"{number}.", Text(sentence))
            self.console.print(Panel(table, title=title, title_align="left", padding=(1, 2)))
        else:
            self.console.print("\n".join([f"{title}:", *policy.POLICY_TEXT]), markup=False)
        if version is None:
            question = f'Type "[bold]{AGREEMENT}[/bold]" to go on'
            if not self.conversation.typed(question, AGREEMENT):
                raise PolicyNotAcceptedError(
                    "The use policy has not been accepted, so nothing was started.",
                    remedy="If you agree, start with --accept-use-policy "
                    f"{policy.CURRENT_VERSION}, or type the agreement at a terminal.",
                )
            version = policy.CURRENT_VERSION
        policy.accept(state_dir, version, "launcher")
        self.console.print("Use policy: accepted.", style="dim")

    def _keep_settings(self, config: AutomationConfig, path: Path) -> None:
        """Write the settings if they are new; a file that already says the same stays as it is."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and load_config(path) == config:
                write_schema(path.with_name(SCHEMA_FILE))
                return
            save_config(config, path)
        except OSError as error:
            raise StorageError(f"{safe(str(path))} cannot be written ({error.strerror}).") from error
        self.console.print(f"Settings written to {near(path)}.", style="dim", markup=False)

    def _make_inbox(self, workspace: Workspace) -> None:
        try:
            for name in INBOX_FOLDERS:
                (workspace.inbox / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{safe(str(workspace.inbox))} cannot be made ({error.strerror}).") from error

    def _show_computer(self, workspace: Workspace, config: AutomationConfig, planned: Plan) -> None:
        if self.console.is_terminal:
            with self.console.status("Looking at this computer ..."):
                computer = examine(workspace.outbox, config, workspace.state_dir)
        else:
            computer = examine(workspace.outbox, config, workspace.state_dir)
        rows = computer_rows(computer, planned)
        if not self.console.is_terminal:
            for title, text in rows:
                self.console.print(f"{title + ':' if title else '':<14}{text}", markup=False)
        else:
            table = Table.grid(padding=(0, 2))
            table.add_column(style="dim", no_wrap=True)
            for title, text in rows:
                table.add_row(title, Text(text))
            self.console.print(
                Panel(table, title="This computer", title_align="left", padding=(1, 2), expand=True)
            )

    def _install_models(self, manager: ModelManager, config: AutomationConfig) -> None:
        planned = plan_engine(config, manager)
        for remark in planned.remarks:
            self.console.print(f"Note: {remark}", style="dim", markup=False)
        wanted = manager.registry.expand(planned.needs)
        if any(manager.status(model.name).state != "ok" for model in wanted):
            terms = "; ".join(sorted({model.licence.title for model in wanted}))
            self.console.print(
                f"Fetching the models of the {planned.engine} engine ({terms}) ...", markup=False
            )
        install(self.console, lambda tell: manager.ensure_models_available(planned.needs, on_progress=tell))


def _console() -> Console:
    """The terminal, or plain text that no variable of the environment can turn into control codes."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, soft_wrap=True, force_terminal=False, color_system=None)
