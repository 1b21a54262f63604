"""What an engine does not do of the settings: told for the preset, a warning for a person's own wish."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from facefusion.config import AutomationConfig

_NAMED_MODELS = {"face_enhancer": "enhancer", "frame_enhancer": "frame_enhancer"}
"""Processor -> key of `neural` that names its model."""


def left_out(config: AutomationConfig, processors: Collection[str]) -> tuple[str, ...]:
    """Processors of the quality preset that do not run.

    Args:
        config: the settings in force.
        processors: those that run, as `EngineIdentity.processors`.
    """
    return tuple(name for name in config.profile.processors if name not in processors)


def told_left_out(names: Sequence[str], preset: str) -> str:
    """One sentence on them; empty where nothing is left out."""
    if not names:
        return ""
    listed, them = " and ".join(names), "it" if len(names) == 1 else "them"
    return f"The profile {preset} runs without {listed}: no model for {them} is installed."


def unheeded(config: AutomationConfig, engine: str, processors: Collection[str]) -> tuple[str, ...]:
    """Warnings, in sentences: what a person asked for by name and this engine does not do."""
    if engine != "mesh":  # the neural engine itself says what it cannot do
        return ()
    warnings = []
    for name in left_out(config, processors):
        key = _NAMED_MODELS.get(name, "")
        wanted = getattr(config.neural, key, "auto")
        if wanted != "auto":
            warnings.append(f"`neural.{key}` asks for {wanted}, which is not installed; {name} was left out.")
    if config.neural.age is not None and "age_modifier" not in processors:
        warnings.append(f"An age of {config.neural.age} was asked for, but no model for that is installed.")
    return tuple(warnings)
