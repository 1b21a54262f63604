"""Networks that claim a graphics processor and run on the processor in truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facefusion.system.device import Device
from facefusion.system.networks import NetworkFactory
from facefusion.system.providers import ProviderReport, ProviderVerdict


class SmallMemory:
    """A session that finds no memory for more than so many samples."""

    def __init__(self, session: Any, room: int) -> None:
        self._session, self._room = session, room
        self.sizes: list[int] = []

    def run(self, names: Any, feeds: Mapping[str, Any], *options: Any) -> Any:
        size = len(next(iter(feeds.values())))
        if size > self._room:
            raise RuntimeError("Failed to allocate memory for requested buffer of size 123456")
        self.sizes.append(size)
        return self._session.run(names, feeds)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


class Devices(NetworkFactory):
    """Claims providers that run on the processor in truth, each with so much memory."""

    def __init__(self, chain: tuple[str, ...], room: Mapping[str, int], device: Device | None = None) -> None:
        verdicts = (ProviderVerdict(chain[0], True, "claimed"),)
        super().__init__(ProviderReport(chain, verdicts, "onnxruntime"), threads=1, device=device)
        self._room = room
        self.opened: list[str] = []
        self.sessions: dict[str, SmallMemory] = {}

    def session(self, model: Any, title: str, provider: str) -> tuple[Any, str]:
        self.opened.append(provider)
        found, _ = NetworkFactory.session(self, model, title, "cpu")
        self.sessions[provider] = SmallMemory(found, self._room.get(provider, 1000))
        return self.sessions[provider], provider
