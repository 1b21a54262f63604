"""The use policy: what a person agrees to once, before the first face is swapped.

An acceptance is a fact about an installation, not about a person: the record holds version, hash of the
text, time and where it was given, and no name.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from facefusion.config import AutomationConfig
from facefusion.errors import ConfigError, PolicyNotAcceptedError, StorageError
from facefusion.system.disk import replace_text

CURRENT_VERSION = 1
"""Raised whenever `POLICY_TEXT` changes; an acceptance of an earlier version does not count."""

POLICY_TEXT = (
    "I have the right to use every face that I give to this program, or the consent of the person shown.",
    "I make nothing intimate or sexual, nothing with minors, and nothing that deceives, defames or harasses.",
    "Reports and marks that say a result is altered stay with it; I do not remove them.",
    "Where I publish a result, I say openly that it was made with artificial intelligence.",
    "If I use it professionally, I know and fulfil the further duties that the law gives me.",
)
"""What is agreed to, sentence by sentence."""

POLICY_FILE = "use-policy.json"


@dataclass(frozen=True)
class Acceptance:
    """One recorded agreement.

    Attributes:
        version: of the policy.
        text_sha256: of the text that was shown.
        accepted_at: UTC, ISO 8601.
        interface: where it was given, e.g. `launcher`, `command line`.
    """

    version: int
    text_sha256: str
    accepted_at: str
    interface: str


def text_sha256() -> str:
    """Hash of the policy as shown."""
    return hashlib.sha256("\n".join(POLICY_TEXT).encode()).hexdigest()


def is_accepted(state_dir: Path, config: AutomationConfig) -> bool:
    """Whether the current policy is accepted, by record or in the settings."""
    if config.accept_use_policy == CURRENT_VERSION:
        return True
    record = recorded_acceptance(state_dir)
    return record is not None and record.version == CURRENT_VERSION and record.text_sha256 == text_sha256()


def record_settings(state_dir: Path, config: AutomationConfig) -> None:
    """Put on record that the settings accept the current policy, once.

    Raises:
        StorageError: the record cannot be written.
    """
    if config.accept_use_policy == CURRENT_VERSION and not is_accepted(state_dir, AutomationConfig()):
        accept(state_dir, CURRENT_VERSION, "settings")


def require_accepted(state_dir: Path, config: AutomationConfig) -> None:
    """Return only if the current policy is accepted.

    Raises:
        PolicyNotAcceptedError: it is not.
    """
    if not is_accepted(state_dir, config):
        raise not_accepted(state_dir)


def not_accepted(state_dir: Path) -> PolicyNotAcceptedError:
    """What is said where the policy is not accepted, with the words that accept it for this very folder."""
    root = f"--root {shlex.quote(str(state_dir.parent))}"
    return PolicyNotAcceptedError(
        f"The use policy (version {CURRENT_VERSION}) has not been accepted for this folder.",
        remedy=f"Run `python3 launch_automation.py {root}`, which shows it and asks, or "
        f"`python3 simple_auto_processor.py {root} --accept-use-policy {CURRENT_VERSION}`.",
    )


def recorded_acceptance(state_dir: Path) -> Acceptance | None:
    """The acceptance on record, of whatever version; None if there is none or it cannot be read."""
    try:
        return Acceptance(**json.loads((state_dir / POLICY_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def accept(state_dir: Path, version: int, interface: str) -> Acceptance:
    """Record that version `version` of the policy was accepted.

    Args:
        state_dir: the installation's private folder (made with mode 0700).
        version: what the person agreed to; must be the current one.
        interface: where they did, e.g. `launcher`.

    Raises:
        ConfigError: another version than the current one.
        StorageError: the record cannot be written.
    """
    if version != CURRENT_VERSION:
        raise ConfigError(
            f"The use policy in force is version {CURRENT_VERSION}, not {version}.",
            remedy=f"Read the policy and accept it with --accept-use-policy {CURRENT_VERSION}.",
        )
    now = datetime.now(UTC).isoformat(timespec="seconds")
    record = Acceptance(version, text_sha256(), now, interface)
    path = state_dir / POLICY_FILE
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        state_dir.chmod(0o700)
        replace_text(path, json.dumps(asdict(record), indent=2) + "\n", private=True, durable=True)
    except OSError as error:
        raise StorageError(f"{path} cannot be written ({error.strerror}).") from error
    return record
