"""Neural models are installed from web servers: licence first, proved by hash or by the vendor's checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from bad_server import Site
from model_site import HELPER, OTHER, PATIENCE, SWAP, again, crc

from facefusion.errors import LicenceNotAcceptedError, ModelMissingError, NetworkError
from facefusion.models import InstallProgress, Licence, Model, ModelManager
from facefusion.models.commands import (
    check_models,
    install_models,
    remove_models,
)
from facefusion.models.ledger import LEDGER_FILE
from facefusion.models.registry import Registry


def test_a_model_is_installed_with_what_it_cannot_do_without(manager: ModelManager) -> None:
    paths = manager.ensure_models_available(["face_swapper"])
    assert {name: path.read_bytes() for name, path in paths.items()} == {"known": SWAP, "helper": HELPER}
    assert again(manager).path("known").read_bytes() == SWAP
    assert [model.name for model in again(manager).installed("converter")] == ["helper"]
    leftovers = [path for path in (manager.models_dir / ".downloads").iterdir()]
    assert leftovers == []


def test_nothing_is_downloaded_before_the_licence_is_accepted(
    folder: Path, registry: Registry, site: Site
) -> None:
    manager = ModelManager(folder, registry=registry, patience=PATIENCE)
    with pytest.raises(ModelMissingError, match="For research only") as raised:
        manager.ensure_models_available(["known"])
    assert "models install known helper --accept-licence" in raised.value.remedy
    with pytest.raises(ModelMissingError):
        manager.ensure_models_available(["known"], ask_licence=lambda licence, models: False)
    assert site.asked == []


def test_the_words_that_accept_a_licence_are_those_that_were_typed(
    folder: Path, registry: Registry, site: Site
) -> None:
    manager = ModelManager(folder, registry=registry, patience=PATIENCE)
    with pytest.raises(LicenceNotAcceptedError) as raised:
        install_models(manager, ["face_swapper"], lambda line: None)
    assert raised.value.remedy.endswith("models install face_swapper --accept-licence`.")
    assert site.asked == []


def test_a_licence_is_asked_for_once_for_all_its_models(folder: Path, registry: Registry) -> None:
    asked: list[tuple[str, list[str]]] = []

    def ask(licence: Licence, models: Sequence[Model]) -> bool:
        asked.append((licence.key, [model.name for model in models]))
        return True

    manager = ModelManager(folder, registry=registry, patience=PATIENCE)
    manager.ensure_models_available(["known"], ask_licence=ask)
    manager.remove("helper")
    again(manager).ensure_models_available(["known"], ask_licence=ask)
    assert asked == [("research", ["known", "helper"])]


def test_the_mirror_serves_where_the_first_place_fails(manager: ModelManager, site: Site) -> None:
    site.add("/github/v1/known.onnx", SWAP, "status:404")
    told: list[InstallProgress] = []
    manager.ensure_models_available(["known"], on_progress=told.append)
    assert (manager.models_dir / "known.onnx").read_bytes() == SWAP
    trouble = [step.text for step in told if step.step == "trouble"]
    assert len(trouble) == 1 and "404" in trouble[0]


def test_a_place_that_lies_about_the_content_is_left_for_the_mirror(
    manager: ModelManager, site: Site
) -> None:
    site.add("/github/v1/known.onnx", OTHER)
    assert len(OTHER) == len(SWAP)
    manager.ensure_models_available(["known"])
    assert (manager.models_dir / "known.onnx").read_bytes() == SWAP


def test_what_an_earlier_server_sent_is_not_blamed_on_a_later_one(manager: ModelManager, site: Site) -> None:
    """The first bytes came from a server that lied; the honest one is asked once more, from the beginning."""
    site.add("/github/v1/known.onnx", OTHER, "drop:100000", "status:500", etag=False)
    site.paths["/github/v1/known.onnx"].tricks += ["status:500"] * 5
    site.add("/mirror/v1/known.onnx", SWAP, etag=False)
    manager.ensure_models_available(["known"])
    assert (manager.models_dir / "known.onnx").read_bytes() == SWAP
    ranges = [wanted for path, wanted in site.asked if path == "/mirror/v1/known.onnx"]
    assert ranges == ["bytes=100000-", ""]


def test_when_every_place_fails_each_is_named_and_nothing_gets_the_name(
    manager: ModelManager, site: Site
) -> None:
    site.add("/github/v1/known.onnx", SWAP, *["status:500"] * 9)
    site.add("/mirror/v1/known.onnx", b"<html>", "html")
    with pytest.raises(NetworkError) as raised:
        manager.ensure_models_available(["known"])
    assert "github" in raised.value.message and "500" in raised.value.message
    assert "mirror" in raised.value.message and "web page" in raised.value.message
    assert "HTTPS_PROXY" in raised.value.remedy
    assert not (manager.models_dir / "known.onnx").exists()


def test_an_interrupted_installation_goes_on(manager: ModelManager, site: Site) -> None:
    site.add("/github/v1/known.onnx", SWAP, "drop:200000", "status:500", "status:500")
    site.add("/mirror/v1/known.onnx", SWAP, "status:500", "status:500")
    with pytest.raises(NetworkError):
        manager.ensure_models_available(["known"])
    sent = site.bytes_sent
    again(manager).ensure_models_available(["known"])
    assert site.bytes_sent - sent <= len(SWAP) - 200000 + len(HELPER) + 8


def test_the_vendors_checksum_decides_where_no_hash_is_known(manager: ModelManager, site: Site) -> None:
    site.add("/github/v1/helper.onnx", HELPER[::-1])
    manager.ensure_models_available(["helper"])
    assert (manager.models_dir / "helper.onnx").read_bytes() == HELPER
    pin = json.loads((manager.models_dir / LEDGER_FILE).read_text())["pins"]["helper.onnx"]
    assert pin["sha256"] == hashlib.sha256(HELPER).hexdigest()
    assert pin["crc32"].encode() == crc(HELPER)


def test_without_the_vendors_checksum_nothing_is_installed(manager: ModelManager, site: Site) -> None:
    del site.paths["/github/v1/helper.hash"]
    site.add("/mirror/v1/helper.hash", b"<not a checksum>")
    with pytest.raises(NetworkError, match="checksum of helper"):
        manager.ensure_models_available(["helper"])
    assert not (manager.models_dir / "helper.onnx").exists()


def test_after_the_first_installation_any_other_file_is_refused(manager: ModelManager, site: Site) -> None:
    manager.ensure_models_available(["helper"])
    (manager.models_dir / "helper.onnx").write_bytes(HELPER[:-1] + b"!")
    later = again(manager)
    assert later.status("helper").state == "damaged"
    assert "installed first" in later.status("helper").text
    for host in ("github", "mirror"):
        site.add(f"/{host}/v1/helper.onnx", HELPER[::-1])
        site.add(f"/{host}/v1/helper.hash", crc(HELPER[::-1]))
    with pytest.raises(NetworkError, match="installed here first"):
        later.ensure_models_available(["helper"])
    said: list[str] = []
    remove_models(later, ["helper"], said.append)
    assert said[-1].startswith("removed: helper.onnx")
    later.ensure_models_available(["helper"])
    assert (manager.models_dir / "helper.onnx").read_bytes() == HELPER[::-1]


def test_what_is_no_checksum_is_no_update(manager: ModelManager, site: Site) -> None:
    manager.ensure_models_available(["helper"])
    site.add("/github/v1/helper.hash", b"This project has moved.")
    assert again(manager).check_model_updates(online=True) == (), "the mirror has the true one"
    del site.paths["/mirror/v1/helper.hash"]
    assert again(manager).check_model_updates(online=True) == ()


def test_a_newer_file_at_the_vendors_is_listed(manager: ModelManager, site: Site) -> None:
    manager.ensure_models_available(["helper", "known"])
    assert manager.check_model_updates(online=True) == ()
    site.add("/github/v1/helper.hash", b"0badcafe")
    (update,) = again(manager).check_model_updates(online=True)
    assert (update.model.name, update.available) == ("helper", "0badcafe")
    assert again(manager).check_model_updates() == (), "without a network nothing is asked"
    said: list[str] = []
    assert check_models(again(manager), said.append, online=True) == 0
    assert any("models remove helper`, then `" in line for line in said)


def test_a_known_file_put_there_by_hand_is_taken_without_a_network(manager: ModelManager, site: Site) -> None:
    (manager.models_dir / "known.onnx").write_bytes(SWAP)
    assert manager.path("known").is_file()
    assert site.asked == []


def test_an_unknown_file_put_there_by_hand_is_checked_with_the_vendor(
    manager: ModelManager, site: Site
) -> None:
    (manager.models_dir / "helper.onnx").write_bytes(HELPER)
    assert manager.status("helper").state == "unknown"
    with pytest.raises(ModelMissingError, match="put there by hand"):
        manager.path("helper")
    manager.ensure_models_available(["helper"])
    assert again(manager).path("helper").read_bytes() == HELPER
    assert [path for path, _ in site.asked] == ["/github/v1/helper.hash"]


def test_an_unknown_file_that_is_not_the_vendors_is_named_and_replaced(manager: ModelManager) -> None:
    (manager.models_dir / "helper.onnx").write_bytes(b"something else")
    told: list[InstallProgress] = []
    manager.ensure_models_available(["helper"], on_progress=told.append)
    assert [step.subject for step in told if step.step == "replacing"] == ["helper"]
    assert (manager.models_dir / "helper.onnx").read_bytes() == HELPER
