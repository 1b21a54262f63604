"""Which engine will run with these settings, before anything runs."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.config import AutomationConfig
from facefusion.errors import ModelMissingError
from facefusion.models.manager import ModelManager
from facefusion.swap.lacking import left_out, told_left_out, unheeded
from facefusion.swap.neural.choice import choose_models, installed_further


@dataclass(frozen=True)
class Plan:
    """What will run with these settings.

    Attributes:
        engine: `mesh` or `neural`.
        why: in half a sentence.
        needs: names for `ModelManager.ensure_models_available`.
        remarks: parts of the profile that are left out, in sentences.
    """

    engine: str
    why: str
    needs: tuple[str, ...]
    remarks: tuple[str, ...]


def plan_engine(config: AutomationConfig, manager: ModelManager) -> Plan:
    """Which engine runs with these settings, and what of the profile cannot.

    Raises:
        ModelMissingError: the neural engine was asked for and cannot be had.
    """
    remarks = []
    neural = None
    if config.engine != "mesh" and (config.engine == "neural" or manager.installed("swapper")):
        try:
            neural = choose_models(manager, config)
        except ModelMissingError as error:
            if config.engine == "neural":
                remedy = f"{error.remedy} Or set `engine` to `auto`."
                raise ModelMissingError(error.message, remedy=remedy) from error
            remarks.append(f"{error.message} The mesh engine runs instead.")
    engine = "mesh" if neural is None else "neural"
    further = neural or installed_further(manager, config)
    models = {
        "face_enhancer": further.enhancer,
        "frame_enhancer": further.frame_enhancer,
        "age_modifier": further.ager,
    }
    processors = ["face_swapper", *(name for name, model in models.items() if model)]
    missing = left_out(config, processors)
    remarks += filter(None, [told_left_out(missing, config.quality_preset)])
    remarks += unheeded(config, engine, processors)
    if neural is not None and neural.swapper is not None:
        # The mesh follows the faces for this engine too.
        why = f"the swap model {neural.swapper.name} is installed"
        return Plan("neural", why, ("mesh",), (*remarks, *neural.notes))
    why = "as set" if config.engine == "mesh" else "needs no swap model, works on the processor"
    return Plan("mesh", why, ("mesh",), tuple(remarks))
