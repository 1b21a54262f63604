"""Pictures in which no face can be found are told and do not stand in the way of those that have one."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from workbench import FACTORY, LOOK, Bench

from facefusion.automation import processor as processor_module
from facefusion.automation.commands import main
from facefusion.automation.daemon import Options
from facefusion.automation.database import SCHEMA_VERSION, Database
from facefusion.automation.processor import SimpleAutoProcessor
from facefusion.automation.snapshot import Snapshot
from facefusion.automation.statustext import status_lines


class LookingBench(Bench):
    """With a check of faces that goes by what is written in them."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.models = root / "models"
        self.models.mkdir()
        (self.models / "looked at").touch()

    def processor(self, **options: Any) -> SimpleAutoProcessor:
        made = Options(session_factory=FACTORY, look_factory=LOOK, **options)
        return SimpleAutoProcessor(self.root, models_dir=self.models, options=made)

    def once(self) -> tuple[int, dict[str, tuple[str, str]]]:
        """Process what is there; state and reason of every file as the daemon saw them last."""
        shown: list[Snapshot] = []
        status = self.processor().run_once(shown.append)
        return status, {file.path: (file.state, file.reason) for file in shown[-1].files}

    def looks(self) -> list[str]:
        return (self.models / "looked at").read_text().split()


@pytest.fixture
def bench(tmp_path: Path) -> LookingBench:
    return LookingBench(tmp_path)


def test_a_picture_without_a_face_does_not_count_for_the_rule_of_the_only_face(bench: LookingBench) -> None:
    bench.face("alice")
    bench.face("landscape", b"a wall")
    bench.target("clip.mp4")

    status, files = bench.once()

    assert status == 0
    assert bench.results() == ["clip__alice.mp4"]
    state, reason = files["faces/landscape.jpg"]
    assert state == "refused"
    assert "landscape.jpg shows no face" in reason
    assert "sharp, well lit" in reason
    assert files["faces/alice.jpg"][0] == "ready"


def test_each_content_is_looked_at_once_also_over_restarts_and_under_other_names(bench: LookingBench) -> None:
    bench.face("alice")
    bench.face("landscape", b"a wall")
    bench.once()
    bench.face("same landscape", b"a wall")
    _, files = bench.once()
    assert sorted(bench.looks()) == ["alice.jpg", "landscape.jpg"]
    assert files["faces/same landscape.jpg"][0] == "refused"
    assert {file.path: file.state for file in bench.status().files} == {
        "faces/alice.jpg": "ready",
        "faces/landscape.jpg": "refused",
        "faces/same landscape.jpg": "refused",
    }, "also when no daemon runs"


def test_what_was_found_of_faces_is_purged_with_the_rest(bench: LookingBench) -> None:
    bench.face("landscape", b"a wall")
    bench.once()
    assert main(["purge", "--root", str(bench.root)]) == 0
    with sqlite3.connect(bench.root / ".automation" / "queue.sqlite3") as database:
        assert database.execute("SELECT count(*) FROM pictures").fetchone() == (0,)
    database.close()
    bench.once()
    assert bench.looks() == ["landscape.jpg"] * 2


def test_every_picture_of_a_face_has_a_verdict_also_when_no_daemon_runs(bench: LookingBench) -> None:
    bench.face("alice")
    bench.face("bob", b"a small face")
    _, files = bench.once()
    told = "usable, but: small (150 pixels, 250 or more are best); grainy"
    assert files["faces/alice.jpg"] == ("ready", "a good picture of a face")
    assert files["faces/bob.jpg"] == ("ready", told)
    assert sorted(bench.looks()) == ["alice.jpg", "bob.jpg"]
    assert {file.path: file.reason for file in bench.status().files}["faces/bob.jpg"] == told
    assert len(bench.looks()) == 2, "it is remembered"
    shown = "\n".join(status_lines(bench.status(), all_files=False))
    assert f"faces/bob.jpg: {told}" in shown and "alice.jpg" not in shown


def test_a_target_that_asks_for_such_a_face_waits_and_says_what_is_needed(bench: LookingBench) -> None:
    bench.face("bob", b"a wall")
    bench.target("bob__clip.mp4")
    bench.target("other.mp4")

    status, files = bench.once()

    assert status == 1
    assert bench.results() == []
    state, reason = files["videos/bob__clip.mp4"]
    assert (state, "it needs another picture (bob.jpg shows no face" in reason) == ("waiting", True)
    state, reason = files["videos/other.mp4"]
    assert (state, "put a picture into inbox/faces (none can be taken" in reason) == ("waiting", True)

    bench.face("bob", b"a better picture")
    status, _ = bench.once()
    assert status == 0
    assert bench.results() == ["clip__bob.mp4", "other__bob.mp4"]


def test_of_several_pictures_of_one_face_one_good_one_is_enough(bench: LookingBench) -> None:
    folder = bench.inbox / "faces" / "alice"
    folder.mkdir()
    (folder / "1.jpg").write_bytes(b"a wall")
    (folder / "2.jpg").write_bytes(b"alice")
    bench.target("clip.mp4")
    status, files = bench.once()
    assert status == 0
    assert files["faces/alice/1.jpg"][0] == "refused"
    assert files["faces/alice/2.jpg"][0] == "ready"
    assert len(bench.report("clip__alice.json")["face"]["files"]) == 2, "the engine says what it left out"


def test_a_picture_that_brings_the_look_down_is_left_to_the_job_and_the_others_are_judged(
    bench: LookingBench,
) -> None:
    for name, content in (("a", b"a crash"), ("b", b"a wall"), ("c", b"a crash"), ("d", b"fine")):
        bench.face(name, content)
    _, files = bench.once()
    states = {Path(path).stem: state for path, (state, _) in files.items()}
    assert states == {"a": "ready", "b": "refused", "c": "ready", "d": "ready"}


def test_without_models_every_picture_is_taken_for_usable_and_looked_at_once_they_are_there(
    bench: LookingBench,
) -> None:
    (bench.models / "missing").touch()
    bench.face("landscape", b"a wall")
    _, files = bench.once()
    assert files["faces/landscape.jpg"][0] == "ready"
    (bench.models / "missing").unlink()
    _, files = bench.once()
    assert files["faces/landscape.jpg"][0] == "refused"


def test_once_does_not_give_up_while_a_picture_is_being_looked_at(
    bench: LookingBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bench.models / "missing").touch()
    bench.face("alice")
    bench.face("landscape", b"a wall, seen after a long look")
    bench.target("clip.mp4")
    bench.once()  # so that nothing has to settle
    (bench.models / "missing").unlink()
    monkeypatch.setattr(processor_module, "PATIENCE_SECONDS", 0.2)

    status, files = bench.once()

    assert status == 0
    assert bench.results() == ["clip__alice.mp4"]
    assert files["faces/landscape.jpg"][0] == "refused"


def test_an_empty_picture_is_refused_and_named_where_it_is_asked_for(bench: LookingBench) -> None:
    """As an empty video and an empty photo are, which have a report besides."""
    bench.face("bob", b"")
    for path in ("videos/clip.mp4", "photos/beach.jpg"):
        (bench.inbox / path).touch()
    bench.target("bob__clip.mp4")

    status, files = bench.once()

    assert status == 1
    assert files["faces/bob.jpg"][0] == "refused"
    for path in ("videos/clip.mp4", "photos/beach.jpg"):
        assert files[path][0] == "failed"
        assert "the file is empty" in files[path][1]
    assert "faces/bob.jpg: the file is empty" in files["videos/bob__clip.mp4"][1]
    assert sorted(path.name for path in (bench.outbox / "failed").iterdir()) == ["beach.json", "clip.json"]
    for name in ("beach", "clip"):
        failure = bench.report(f"failed/{name}.json")["failure"]
        assert failure["category"] == "format_error"
        assert "copy it again" in failure["remedy"]
    offline = {file.path: file.state for file in bench.status().files}
    assert offline["faces/bob.jpg"] == "refused"
    assert {offline[path] for path in ("videos/clip.mp4", "photos/beach.jpg")} == {"failed"}, "they have jobs"


COLUMNS = "SELECT m.name, c.name, c.type FROM sqlite_master m JOIN pragma_table_info(m.name) c"


def test_a_queue_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite3"
    Database(path).close()
    with sqlite3.connect(path) as old:
        fresh = set(old.execute(COLUMNS))
        old.execute("DROP TABLE pictures")
        old.execute("ALTER TABLE jobs DROP COLUMN earlier")
        old.execute("PRAGMA user_version = 1")
    old.close()
    database = Database(path)
    assert {tuple(row) for row in database.rows(COLUMNS)} == fresh
    assert database.rows("PRAGMA user_version")[0][0] == SCHEMA_VERSION
    database.close()
