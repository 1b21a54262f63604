"""What `models list | install | check` do, as plain functions; the command line only calls them.

Each returns text or an exit status and prints through the function it is given, so that launcher, command
line and tests share them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from facefusion.models.licences import LicenceQuestion
from facefusion.models.manager import ModelManager
from facefusion.models.registry import Licence, Model
from facefusion.models.status import InstallProgress, ModelStatus

Say = Callable[[str], None]

_STATES = {
    "ok": "installed",
    "missing": "-",
    "damaged": "DAMAGED",
    "outdated": "update available",
    "unverified": "not checked yet",
    "unknown": "to be checked",
}
_EVERY_MEBIBYTES = 16


def list_models(manager: ModelManager, *, only_installed: bool = False) -> str:
    """A table of all models: name, kind, size, state, licence, purpose."""
    rows = [("name", "kind", "MB", "state", "licence", "purpose")]
    for status in manager.list():
        if only_installed and status.state == "missing":
            continue
        model = status.model
        rows.append(
            (
                model.name,
                model.kind.replace("_", " "),
                f"{model.size / 1e6:.1f}" if model.size else "?",
                _STATES[status.state],
                model.licence.key,
                model.purpose,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    used = {status.model.licence for status in manager.list()}
    terms = [
        f"  {licence.key}: {licence.title} ({licence.url})" for licence in sorted(used, key=lambda x: x.key)
    ]
    return "\n".join([*(line.rstrip() for line in lines), "", "Licences:", *terms])


def install_models(
    manager: ModelManager,
    names: Sequence[str],
    say: Say,
    *,
    ask: LicenceQuestion | None = None,
    accept_licences: Collection[str] = (),
    should_stop: Callable[[], bool] | None = None,
) -> None:
    """Install models and say what happens.

    Args:
        manager: of the folder.
        names: models, engines or processors; empty = what the embedded engine needs.
        say: gets one line at a time.
        ask: shows a licence to a person; None = nobody is there.
        accept_licences: keys of licences that were accepted on the command line.
        should_stop: asked often; answering true ends the work with `CancelledError`.

    Raises:
        FaceFusionError: see `ModelManager.ensure_models_available`.
    """

    def answer(licence: Licence, models: Sequence[Model]) -> bool:
        say(licence_text(licence, models))
        if licence.key in accept_licences:
            say(f"Accepted on the command line: {licence.key}.")
            return True
        return ask is not None and ask(licence, models)

    manager.ensure_models_available(
        names or ["mesh"], on_progress=progress_lines(say), ask_licence=answer, should_stop=should_stop
    )
    installed = ", ".join(model.name for model in manager.registry.expand(names or ["mesh"]))
    say(f"Ready: {installed}.")


def check_models(manager: ModelManager, say: Say, *, online: bool = False) -> int:
    """Read every file again and say what is wrong.

    Args:
        manager: of the folder.
        say: gets one line at a time.
        online: also ask the vendors whether there is something newer.

    Returns:
        0 if nothing is damaged, else 1.
    """
    statuses = [status for status in manager.check(full=True) if status.state != "missing"]
    for status in statuses:
        say(status.text if status.state == "ok" else f"{_STATES[status.state]}: {status.text}")
    for update in manager.check_model_updates(online=online):
        say(f"update: {update.model.name} ({update.available[:12]})")
    bad = [status for status in statuses if status.state == "damaged"]
    say(_summary(statuses, bad))
    return 1 if bad else 0


def licence_text(licence: Licence, models: Iterable[Model]) -> str:
    """A licence and what is under it, as shown to a person."""
    concerned = ", ".join(model.name for model in models)
    use = "also for commercial use" if licence.commercial_use else "not for commercial use"
    return f"Licence of {concerned}: {licence.title} ({use}). Text: {licence.url}"


def progress_lines(say: Say) -> Callable[[InstallProgress], None]:
    """Turns progress into lines: every step, and a download every few megabytes."""
    last: dict[str, int] = {}

    def on_progress(progress: InstallProgress) -> None:
        if progress.step == "downloading":
            step = progress.bytes_done // (_EVERY_MEBIBYTES << 20)
            if last.get(progress.subject) == step:
                return
            last[progress.subject] = step
        say(progress.text)

    return on_progress


def _summary(statuses: Sequence[ModelStatus], bad: Sequence[ModelStatus]) -> str:
    if bad:
        return f"{len(bad)} of {len(statuses)} files are damaged; `models install` replaces them."
    return f"{len(statuses)} files are there, none is damaged."
