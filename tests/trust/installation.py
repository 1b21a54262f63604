"""One installation, as tests use it: it makes results and looks at files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facefusion.automation.worker_process import plain
from facefusion.config import AutomationConfig
from facefusion.jobspec import SwapRequest
from facefusion.pipeline import SwapSession, planned_suffix
from facefusion.trust.identity import known_authorities
from facefusion.trust.oversight import Oversight
from facefusion.trust.verify import Examined, examine


@dataclass
class Installation:
    """One installation: its identity, and what it makes."""

    state: Path
    models: Path
    session: SwapSession
    work: Path
    face: Path

    def make(self, target: Path, *, face: Path | None = None, **settings: Any) -> tuple[Path, dict[str, Any]]:
        """A result of a target, and what the job says of it."""
        faces = (face or self.face,)
        config = AutomationConfig.model_validate(
            {"quality_preset": "fast", "engine": "mesh", "accept_use_policy": 1, **settings}
        )
        folder = self.work / f"work-{len(list(self.work.iterdir()))}"
        folder.mkdir()
        output = folder / f"result{planned_suffix(target, config)}"
        case = Oversight(self.state, self.models).open(target, faces, config)
        request = SwapRequest(
            target, faces, str(faces), output, config, case.label, case.marker, case.inspector
        )
        result = plain(self.session.swap(request, lambda progress: None, lambda: False))
        return output, result | case.close(output, result)

    def examine(self, path: Path) -> Examined:
        return examine(path, known_authorities(self.state))
