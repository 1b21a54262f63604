"""Neural models are installed from web servers: licence first, proved by hash or by the vendor's checksum."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from bad_server import Site, serve_site

from facefusion.config import AutomationConfig
from facefusion.errors import ConfigError, LicenceNotAcceptedError, ModelMissingError, NetworkError
from facefusion.models import InstallProgress, Licence, Model, ModelManager
from facefusion.models.commands import (
    check_models,
    install_models,
    list_all_models,
    list_models,
    remove_models,
    wanted_names,
)
from facefusion.models.download import Patience
from facefusion.models.ledger import LEDGER_FILE
from facefusion.models.registry import OWN_TABLE, Registry, load_registry, parse_registry

SWAP = b"a swapper " * 30000
OTHER = b"something " * 30000
HELPER = b"a converter " * 1000
PATIENCE = Patience(silence=0.5, attempts=2, pause=0.01)

TABLE = """
hosts = ["{site}/github/{{release}}/{{file}}", "{site}/mirror/{{release}}/{{file}}"]
[licences.research]
title = "For research only"
url = "https://example.org/licence"
commercial_use = false
[templates]
arcface_128 = [[0.36, 0.40], [0.64, 0.40], [0.50, 0.56], [0.39, 0.72], [0.62, 0.72]]
[pixels]
rgb_unit = {{ order = "rgb", scale = 255.0, mean = 0.0, deviation = 1.0 }}
[archives.pack]
urls = ["{site}/pack.zip"]
[needs]
face_swapper = ["known"]
[models.known]
kind = "swapper"
file = "known.onnx"
purpose = "Swaps; its hash is known"
licence = "research"
release = "v1"
accepted = [{{ size = {size}, sha256 = "{sha256}" }}]
contract = {{ template = "arcface_128", size = 128, pixels = "rgb_unit", source = "converted", \
converter = "helper", denormalise = false }}
[models.helper]
kind = "converter"
file = "helper.onnx"
purpose = "Converts; only the vendor's checksum is known"
licence = "research"
release = "v1"
contract = {{}}
[models.packed]
kind = "converter"
file = "packed.onnx"
purpose = "Lies in an archive"
licence = "research"
archive = "pack"
member = "packed.onnx"
contract = {{}}
[models.packed_too]
kind = "converter"
file = "packed_too.onnx"
purpose = "Lies in the same archive"
licence = "research"
archive = "pack"
member = "packed_too.onnx"
contract = {{}}
"""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve_site() as running:
        for host in ("github", "mirror"):
            running.add(f"/{host}/v1/known.onnx", SWAP)
            running.add(f"/{host}/v1/helper.onnx", HELPER)
            running.add(f"/{host}/v1/helper.hash", crc(HELPER))
        yield running


@pytest.fixture
def registry(site: Site) -> Registry:
    return parse_registry(
        TABLE.format(site=site.url, size=len(SWAP), sha256=hashlib.sha256(SWAP).hexdigest())
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def manager(folder: Path, registry: Registry) -> ModelManager:
    found = ModelManager(folder, registry=registry, patience=PATIENCE)
    found.licences.accept("research")
    return found


def crc(content: bytes) -> bytes:
    return f"{zlib.crc32(content):08x}".encode()


def again(manager: ModelManager) -> ModelManager:
    """A later start of the program."""
    return ModelManager(manager.models_dir, registry=manager.registry, patience=PATIENCE)


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


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_several_members_of_one_archive_cost_one_download(manager: ModelManager, site: Site) -> None:
    site.add("/pack.zip", zipped({"inner/packed.onnx": SWAP, "packed_too.onnx": HELPER, "more.onnx": b""}))
    manager.ensure_models_available(["packed", "packed_too"])
    assert (manager.models_dir / "packed.onnx").read_bytes() == SWAP
    assert (manager.models_dir / "packed_too.onnx").read_bytes() == HELPER
    assert [path for path, _ in site.asked] == ["/pack.zip"]
    assert sorted(path.name for path in manager.models_dir.glob("*.onnx")) == [
        "packed.onnx",
        "packed_too.onnx",
    ]


def damaged() -> bytes:
    """An archive whose packed bytes are none that anything unpacks."""
    content = bytearray(zipped({"packed.onnx": SWAP}))
    content[41:60] = b"\xff" * 19
    return bytes(content)


def encrypted() -> bytes:
    """An archive that says that a word is needed to open it, in both of its headers."""
    content = bytearray(zipped({"packed.onnx": SWAP}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [b"no archive", zipped({"other.onnx": b""}), damaged(), encrypted()],
    ids=["none", "without the member", "damaged", "encrypted"],
)
def test_an_archive_that_is_none_or_lacks_the_member_is_named(
    manager: ModelManager, site: Site, content: bytes
) -> None:
    site.add("/pack.zip", content)
    with pytest.raises(ModelMissingError, match=r"pack\.zip.*packed\.onnx"):
        manager.ensure_models_available(["packed"])
    assert not (manager.models_dir / "packed.onnx").exists()


def write_own_table(folder: Path, name: str, kind: str, content: bytes, contract: str) -> None:
    """A table of a person's own with one model."""
    (folder / OWN_TABLE).write_text(
        f"""
        [models.{name}]
        kind = "{kind}"
        file = "{name}.onnx"
        purpose = "Trained at home"
        licence = "mit"
        urls = ["https://example.org/{name}.onnx"]
        accepted = [{{ size = {len(content)}, sha256 = "{hashlib.sha256(content).hexdigest()}" }}]
        contract = {{ {contract} }}
        """
    )


def test_a_swapper_of_ones_own_counts_as_installed(tmp_path: Path) -> None:
    """With a table of their own, a person may use a file that nobody else knows."""
    own = b"trained at home"
    contract = 'template = "arcface_128", size = 128, pixels = "rgb_unit", source = "projected"'
    write_own_table(tmp_path, "inswapper_128", "swapper", own, f"{contract}, denormalise = false")
    assert ModelManager(tmp_path).installed("swapper") == ()
    (tmp_path / "inswapper_128.onnx").write_bytes(own)
    assert [model.name for model in ModelManager(tmp_path).installed("swapper")] == ["inswapper_128"]


def test_the_commands_list_install_and_check(folder: Path, registry: Registry) -> None:
    manager = ModelManager(folder, registry=registry, patience=PATIENCE)
    said: list[str] = []
    install_models(manager, ["known"], said.append, accept_licences=True)
    assert any("For research only (not for commercial use)" in line for line in said)
    assert said[-1] == "Ready: known, helper."
    table = list_all_models(again(manager))
    assert "known" in table and "installed" in table and "research: For research only" in table
    assert "packed" in table
    assert check_models(again(manager), said.append) == 0
    (folder / "known.onnx").write_bytes(SWAP[:-1])
    said.clear()
    assert check_models(again(manager), said.append) == 1
    assert any(line.startswith("DAMAGED: known.onnx") for line in said)
    assert "1 of 2 files are damaged" in said[-1]


def test_nothing_is_removed_where_one_name_is_none(manager: ModelManager) -> None:
    manager.ensure_models_available(["helper"])
    for names, said in ((["helper", "hepler"], "no model called 'hepler'"), ([], "needs the names")):
        with pytest.raises(ConfigError, match=said):
            remove_models(manager, names, lambda line: None)
    assert manager.path("helper").is_file()


def test_a_command_without_a_person_does_not_accept_for_them(folder: Path, registry: Registry) -> None:
    manager = ModelManager(folder, registry=registry, patience=PATIENCE)
    with pytest.raises(ModelMissingError, match="licence has not been accepted"):
        install_models(manager, ["known"], lambda line: None)


def test_the_list_says_first_what_is_there_what_is_lacking_and_what_there_is(
    folder: Path, registry: Registry
) -> None:
    manager = ModelManager(folder, registry=load_registry(), patience=PATIENCE)
    text = list_models(manager, AutomationConfig())
    assert "nothing yet" in text
    assert "mesh is not installed: `python3 simple_auto_processor.py models install mesh`" in text
    assert "face_enhancer is not installed" in text and "frame_enhancer is not" not in text
    assert "inswapper_128 " in text and "non-commercial research" in text
    assert "xseg_1" not in text and len(text.splitlines()) < 30
    assert "xseg_1" in list_all_models(manager)


def test_what_a_processor_needs_is_served_by_any_installed_model_of_its_kind(folder: Path) -> None:
    folder.mkdir()
    content = b"an enhancer of one's own"
    (folder / "own.onnx").write_bytes(content)
    contract = 'template = "ffhq_512", size = 512, pixels = "rgb_signed"'
    write_own_table(folder, "own", "enhancer", content, contract)
    text = list_models(ModelManager(folder), AutomationConfig())
    assert "face_enhancer is not installed" not in text and "own " in text


def test_settings_ask_for_no_more_than_they_use() -> None:
    fast = AutomationConfig(quality_preset="fast")
    assert wanted_names(fast) == ("mesh",)
    much = AutomationConfig.model_validate(
        {
            "quality_preset": "best",
            "engine": "neural",
            "face_selector_mode": "reference",
            "face_detector_model": "yunet_2023_mar",
            "neural": {"enhancer": "codeformer", "age": 30},
        }
    )
    names = wanted_names(much)
    assert set(names) == {
        *("mesh", "neural", "codeformer", "frame_enhancer", "age_modifier", "reference", "yunet_2023_mar")
    }
    installed = {model.name for model in load_registry().expand(names)}
    assert {"inswapper_128", "arcface_w600k_r50", "codeformer", "fran"} <= installed
    assert "gfpgan_1.4" not in installed and "hyperswap_1a_256" not in installed


@pytest.mark.parametrize("processor", ["face_swapper", "face_enhancer", "frame_enhancer", "age_modifier"])
def test_every_processor_of_the_profiles_knows_what_it_needs(processor: str) -> None:
    assert load_registry().expand([processor])


def test_a_licence_accepted_on_the_command_line_is_noted_and_not_asked_again(
    folder: Path, registry: Registry
) -> None:
    said: list[str] = []
    install_models(
        ModelManager(folder, registry=registry, patience=PATIENCE),
        ["known"],
        said.append,
        accept_licences=True,
    )
    assert sum("For research only" in line for line in said) == 1
    (folder / "known.onnx").unlink()
    later: list[str] = []
    install_models(ModelManager(folder, registry=registry, patience=PATIENCE), ["known"], later.append)
    assert not any("icence" in line for line in later) and later[-1] == "Ready: known, helper."


def test_a_swapper_brings_a_recogniser_where_none_is_installed(folder: Path) -> None:
    manager = ModelManager(folder, patience=PATIENCE)
    asked: list[str] = []

    def ask(licence: Licence, models: Sequence[Model]) -> bool:
        asked.extend(model.name for model in models)
        return False

    for name in ("inswapper_128", "blendswap_256"):
        with pytest.raises(ModelMissingError):
            install_models(manager, [name], lambda line: None, ask=ask)
    assert asked == ["inswapper_128", "arcface_w600k_r50", "blendswap_256"]
