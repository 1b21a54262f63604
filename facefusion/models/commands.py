"""What `models list | install | check | remove` do, as plain functions; the command line only calls them.

Each returns text or an exit status and prints through the function it is given, so that launcher, command
line and tests share them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from facefusion.config import AutomationConfig
from facefusion.errors import ConfigError, LicenceNotAcceptedError
from facefusion.models.contracts import SwapperContract
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
_COMMAND = "python3 simple_auto_processor.py models"


def list_models(manager: ModelManager, config: AutomationConfig) -> str:
    """What a person wants to know first: what is there, what the settings lack, which swappers there are."""
    statuses = _models_of(manager)
    installed = [status for status in statuses if status.state != "missing"]
    parts = ["Installed:", *_rows((*_row(status)[:2], _STATES[status.state]) for status in installed)]
    if not installed:
        parts.append("  nothing yet")
    parts += ["", f"For these settings (engine {config.engine}, profile {config.quality_preset}):"]
    parts += [f"  {line}" for line in _lacking(manager, config)]
    swappers = [status for status in statuses if status.model.kind == "swapper" and status.state == "missing"]
    if swappers:
        parts += ["", "Swap models that can be installed (the embedded engine needs none):"]
        parts += _rows(_row(status) for status in swappers)
    parts += ["", f"Install one with `{_COMMAND} install NAME`; `{_COMMAND} list --all` shows all models."]
    return "\n".join(parts)


def list_all_models(manager: ModelManager) -> str:
    """A table of all models: name, size, licence, kind, state, purpose."""
    statuses = _models_of(manager)
    header = ("name", "size", "licence", "kind", "state", "purpose")
    rows = [
        (
            *_row(status)[:2],
            model.licence.key,
            model.kind.replace("_", " "),
            _STATES[status.state],
            model.purpose,
        )
        for status in statuses
        for model in (status.model,)
    ]
    used = sorted({status.model.licence for status in statuses}, key=lambda licence: licence.key)
    terms = [f"  {licence.key}: {licence.title} ({licence.url})" for licence in used]
    return "\n".join([*_rows([header, *rows]), "", "Licences:", *terms])


def install_models(
    manager: ModelManager,
    names: Sequence[str],
    say: Say,
    *,
    ask: LicenceQuestion | None = None,
    accept_licences: bool = False,
    should_stop: Callable[[], bool] | None = None,
) -> None:
    """Install models and say what happens. A swapper brings the recogniser that it cannot do without.

    Args:
        manager: of the folder.
        names: models, engines or processors; empty = what the embedded engine needs.
        say: gets one line at a time.
        ask: shows a licence to a person; None = nobody is there.
        accept_licences: the licences of these models were accepted on the command line.
        should_stop: asked often; answering true ends the work with `CancelledError`.

    Raises:
        FaceFusionError: see `ModelManager.ensure_models_available`.
    """

    def answer(licence: Licence, models: Sequence[Model]) -> bool:
        say(licence_text(licence, models))
        if accept_licences:
            say("Accepted on the command line; this is noted beside the models.")
            return True
        return ask is not None and ask(licence, models)

    wanted = [*(names or ["mesh"])]
    wanted += _recogniser_for(manager, manager.registry.expand(wanted))
    try:
        manager.ensure_models_available(
            wanted, on_progress=progress_lines(say), ask_licence=answer, should_stop=should_stop
        )
    except LicenceNotAcceptedError as error:
        words = " ".join(names or ["mesh"])  # as they were typed, not what they stand for
        raise LicenceNotAcceptedError(
            error.message, remedy=f"Run `{_COMMAND} install {words} --accept-licence`."
        ) from error
    say(f"Ready: {', '.join(model.name for model in manager.registry.expand(wanted))}.")


def ask_in_terminal(licence: Licence, models: Sequence[Model]) -> bool:
    """Ask a person who sits at the terminal; see `LicenceQuestion`."""
    try:
        return input("Do you accept this licence? Type yes or no: ").strip().casefold() in ("yes", "y")
    except EOFError:
        return False


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
        name = update.model.name
        first = "" if update.model.accepted else f"`{_COMMAND} remove {name}`, then "
        say(f"update: {name} ({update.available[:12]}): {first}`{_COMMAND} install {name}`")
    bad = [status for status in statuses if status.state == "damaged"]
    say(_summary(statuses, bad))
    return 1 if bad else 0


def remove_models(manager: ModelManager, names: Sequence[str], say: Say) -> None:
    """Remove model files, and what their first installation was, so that another file may follow.

    Args:
        manager: of the folder.
        names: of models.
        say: gets one line at a time.

    Raises:
        ConfigError: no name is given, or one is not known; then nothing is removed.
        StorageError: a file cannot be removed.
    """
    models = [manager.registry.find(name) for name in names]
    if not models:
        raise ConfigError(
            "`models remove` needs the names of models.", remedy=f"`{_COMMAND} list` shows what is installed."
        )
    for model in models:
        manager.remove(model.name)
        say(f"removed: {model.file} (`{_COMMAND} install {model.name}` brings it back)")


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


def wanted_names(config: AutomationConfig) -> tuple[str, ...]:
    """What the settings ask for, in names of engines, processors and models; see `Registry.expand`."""
    neural = config.neural
    names = ["mesh"]
    if config.engine == "neural" and neural.swapper == "auto":
        names.append("neural")
    named = {"face_enhancer": neural.enhancer, "frame_enhancer": neural.frame_enhancer}
    for processor in config.profile.processors:
        if processor != "face_swapper":
            wanted = named.get(processor, "auto")
            names.append(processor if wanted == "auto" else wanted)
    if neural.swapper != "auto":
        names.append(neural.swapper)
    if neural.age is not None:
        names.append("age_modifier")
    if config.face_selector_mode == "reference":
        names.append("reference")
    if config.face_detector_model != "embedded":
        names.append(config.face_detector_model)
    return tuple(names)


def _lacking(manager: ModelManager, config: AutomationConfig) -> Iterable[str]:
    """What of the settings has no model here, a line each."""
    lines = []
    for name in wanted_names(config):
        models = manager.registry.expand([name])
        kind = models[0].kind
        # Any installed model of its kind serves a processor; the embedded engine needs all of its files.
        if kind != "embedded" and name in manager.registry.needs and manager.installed(kind):
            continue
        missing = [model for model in models if manager.status(model.name).state != "ok"]
        if missing:
            size = _size(sum(model.size for model in missing), all(model.size for model in missing))
            terms = "; ".join(sorted({model.licence.title for model in missing}))
            lines.append(f"{name} is not installed: `{_COMMAND} install {name}` ({size}; {terms})")
    return lines or ["nothing is missing"]


def _recogniser_for(manager: ModelManager, wanted: Sequence[Model]) -> list[str]:
    """The recogniser that swappers among these models need, where none is there."""
    needed = any(
        isinstance(model.contract, SwapperContract) and model.contract.source != "face" for model in wanted
    )
    if not needed or any(model.kind == "recogniser" for model in wanted) or manager.installed("recogniser"):
        return []
    return [model.name for model in manager.registry.of_kind("recogniser")[:1]]


def _models_of(manager: ModelManager) -> list[ModelStatus]:
    """All that are models; the pictures of the demonstration are not."""
    return [status for status in manager.list() if status.model.kind != "sample"]


def _row(status: ModelStatus) -> tuple[str, str, str]:
    model = status.model
    return model.name, _size(model.size, bool(model.size)), model.licence.title


def _size(size: int, known: bool) -> str:
    return f"{size / 1e6:.1f} MB" if known else "size unknown"


def _rows(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows as aligned lines."""
    table = list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    return ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in table]


def _summary(statuses: Sequence[ModelStatus], bad: Sequence[ModelStatus]) -> str:
    if bad:
        return f"{len(bad)} of {len(statuses)} files are damaged; `models install` replaces them."
    return f"{len(statuses)} files are there, none is damaged."
