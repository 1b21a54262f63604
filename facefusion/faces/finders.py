"""Which class reads which detector's outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from facefusion.faces.finding import FaceFinder
from facefusion.faces.scrfd import Scrfd
from facefusion.faces.yoloface import YoloFace
from facefusion.faces.yunet import YuNet
from facefusion.models.contracts import DetectorContract
from facefusion.system.networks import Network

_FAMILIES: Mapping[str, Callable[[Network, DetectorContract], FaceFinder]] = {
    "scrfd": Scrfd,
    "yoloface": YoloFace,
    "yunet": YuNet,
}


def face_finder(network: Network, contract: DetectorContract) -> FaceFinder:
    """The detector in `network`.

    Raises:
        ModelMissingError: its inputs or outputs are not those of its family.
    """
    network.require(network.inputs[0].name, 1, 3, contract.size, contract.size)
    return _FAMILIES[contract.family](network, contract)
