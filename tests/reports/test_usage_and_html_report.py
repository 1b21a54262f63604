"""Usage figures over real databases, and the page made of them."""

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from records import DONE, NOON

from facefusion.errors import ErrorCategory, StorageError
from facefusion.reports import Analytics, ErrorAnalyzer, Failure, JobRecord, UsageAnalytics

DAY = 86400.0
FAILED = replace(
    DONE,
    outcome="failed",
    swap=None,
    seconds=1.0,
    failure=Failure(ErrorCategory.FORMAT, "damaged", "Export it again."),
)


def usage_at(folder: Path, now: float = NOON + 60) -> UsageAnalytics:
    return UsageAnalytics(folder, clock=lambda: now)


def test_a_result_stays_in_the_list_when_its_job_is_made_anew(tmp_path: Path) -> None:
    usage = usage_at(tmp_path)
    first = replace(DONE, output=Path("clip__alice.mp4"))
    usage.track_processing_metrics(first)
    usage.track_processing_metrics(first)  # told twice after a kill
    usage.track_processing_metrics(replace(first, output=Path("clip__alice-2.mp4"), finished_at=NOON + 9))
    report = usage.generate_usage_report(7)
    assert [Path(job.output or "").name for job in report.latest_results] == [
        "clip__alice-2.mp4",
        "clip__alice.mp4",
    ]
    assert report.done == 2
    assert [(stage.stage, stage.seconds) for stage in report.stages] == [("swap", 6.0), ("encode", 2.0)]
    usage.close()


def test_totals_rates_and_shares(tmp_path: Path) -> None:
    usage = usage_at(tmp_path)
    usage.track_processing_metrics(DONE)
    usage.track_processing_metrics(replace(DONE, job_id="2", face_name="bob", seconds=8.0))
    usage.track_processing_metrics(
        replace(DONE, job_id="3", target=Path("p.jpg"), target_kind="photo", swap={"frames": 1}, seconds=0.6)
    )
    usage.track_processing_metrics(replace(FAILED, job_id="4"))
    usage.track_processing_metrics(replace(FAILED, job_id="5", outcome="cancelled", failure=None))
    report = usage.generate_usage_report(7)
    assert (report.jobs, report.done, report.failed, report.cancelled) == (5, 3, 1, 1)
    assert report.success_rate == 0.75
    assert report.average_seconds == 4.2
    assert report.frames == 240, "a photo is no frame of a video"
    assert report.frames_per_second == 20.0
    assert [(share.name, share.jobs) for share in report.faces] == [("alice", 4), ("bob", 1)]
    assert [(share.name, share.jobs) for share in report.formats] == [("mp4", 4), ("jpg", 1)]
    assert [(stage.stage, stage.seconds, stage.share) for stage in report.stages] == [
        ("swap", 6.0, 0.75),
        ("encode", 2.0, 0.25),
    ]
    assert report.latest_failures[0].message == "damaged"
    assert len(report.latest_results) == 3


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot change a process's time zone")
@pytest.mark.usefixtures("tokyo")
def test_days_are_the_persons_own_and_days_without_work_are_there(tmp_path: Path) -> None:
    noon = datetime(2025, 3, 10, 12, 0).timestamp()
    just_after_midnight = datetime(2025, 3, 8, 0, 30).timestamp()
    usage = usage_at(tmp_path, noon + 60)
    usage.track_processing_metrics(replace(DONE, finished_at=noon))
    usage.track_processing_metrics(replace(DONE, job_id="2", finished_at=just_after_midnight))
    report = usage.generate_usage_report(3)
    assert [(day.day, day.done) for day in report.per_day] == [
        ("2025-03-08", 1),
        ("2025-03-09", 0),
        ("2025-03-10", 1),
    ]
    assert usage.generate_usage_report(1).jobs == 1


def test_figures_outlive_the_process_that_kept_them(tmp_path: Path) -> None:
    first = usage_at(tmp_path)
    first.track_processing_metrics(DONE)
    first.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["analytics.sqlite3"]
    assert usage_at(tmp_path).generate_usage_report().done == 1


def test_a_job_counts_once_with_its_last_outcome(tmp_path: Path) -> None:
    usage = usage_at(tmp_path)
    usage.track_processing_metrics(FAILED)
    usage.track_processing_metrics(DONE)
    usage.track_processing_metrics(DONE)
    report = usage.generate_usage_report()
    assert (report.jobs, report.done, report.failed) == (1, 1, 0)
    assert report.stages[0].seconds == 3.0


def test_the_stored_error_report_equals_the_one_made_from_records(tmp_path: Path) -> None:
    failures = [
        replace(FAILED, job_id="1", finished_at=NOON - 3),
        replace(FAILED, job_id="2", failure=Failure(ErrorCategory.TIMEOUT, "slow", "r")),
        replace(FAILED, job_id="3", target=Path("b.mkv"), outcome="blocked", failure=None),
        replace(FAILED, job_id="4", target=Path("c.mkv")),
    ]
    usage = usage_at(tmp_path)
    for failure in failures:
        usage.track_processing_metrics(failure)
    assert usage.generate_error_report() == ErrorAnalyzer().generate_error_report(failures)


def test_a_database_that_is_none_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "analytics.sqlite3").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(StorageError, match=r"analytics\.sqlite3"):
        usage_at(tmp_path)


def test_memory_stays_flat_over_many_jobs(tmp_path: Path) -> None:
    import psutil

    usage = usage_at(tmp_path)
    process = psutil.Process()

    def track(first: int, last: int) -> None:
        for number in range(first, last):
            usage.track_processing_metrics(
                replace(DONE, job_id=str(number), target=Path(f"clip-{number}.mp4"), face_name=f"f{number}")
            )

    track(0, 500)
    usage.generate_usage_report()
    usage.generate_error_report()
    before = process.memory_info().rss
    track(500, 2500)
    usage.generate_usage_report()
    usage.generate_error_report()
    assert process.memory_info().rss - before < 5 * 2**20


def recent(record: JobRecord, job_id: str) -> JobRecord:
    return replace(record, job_id=job_id, finished_at=time.time())


def test_reports_follow_by_themselves_and_are_complete_at_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "outbox" / "analytics"
    with Analytics(folder, tmp_path / ".automation", rewrite_seconds=60) as analytics:
        analytics.track(recent(DONE, "1"))
        deadline = time.monotonic() + 10
        while not (folder / "report.html").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert json.loads((folder / "usage.json").read_text())["jobs"] == 1
        analytics.track(recent(FAILED, "2"))
        analytics.track(recent(DONE, "3"))
        assert json.loads((folder / "usage.json").read_text())["jobs"] == 1, "rewritten too often"
    usage = json.loads((folder / "usage.json").read_text())
    errors = json.loads((folder / "errors.json").read_text())
    assert (usage["schema"], usage["jobs"], usage["failed"]) == (1, 3, 1)
    assert errors["categories"][0]["category"] == "format_error"
    assert not [thread for thread in threading.enumerate() if thread.name == "analytics"]


def test_a_full_disk_costs_no_job_and_no_figure(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_text("a file where the folder should be")
    analytics = Analytics(tmp_path / "analytics", state, rewrite_seconds=0.01)
    analytics.track(recent(DONE, "1"))
    assert analytics.problem is not None
    state.unlink()
    analytics.track(recent(DONE, "2"))
    assert analytics.problem is None
    analytics.close()
    assert json.loads((tmp_path / "analytics" / "usage.json").read_text())["done"] == 2


class Page(HTMLParser):
    """Collects what a browser would make of the page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.attributes: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.links += [str(value) for name, value in attrs if name in ("href", "src")]
        if tag not in ("meta", "br", "wbr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(tmp_path: Path, *records: JobRecord) -> Page:
    folder = tmp_path / "outbox" / "analytics"
    with Analytics(folder, tmp_path / "state") as analytics:
        for record in records:
            analytics.track(record)
        analytics.write_reports()
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_the_page_is_whole_and_asks_for_nothing_from_elsewhere(tmp_path: Path) -> None:
    output = tmp_path / "outbox" / "clip 100%__alice.mp4"
    page = page_of(
        tmp_path, recent(replace(DONE, output=output), "1"), recent(FAILED, "2"), recent(DONE, "3")
    )
    assert page.open == []
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert page.links == ["../clip%20100%25__alice.mp4"]
    for told in ("66%", "alice", "mp4", "Export it again.", "File damaged or not supported", "Swap"):
        assert told in page.text


def test_names_of_faces_and_files_cannot_put_markup_into_the_page(tmp_path: Path) -> None:
    evil = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
    record = replace(
        DONE,
        face_name=evil,
        target=Path(evil + ".mp4"),
        output=tmp_path / "outbox" / (evil.replace("/", "") + ".mp4"),
        swap={"engine": evil, "frames": 3, "timings": {evil: 1.0}},
    )
    failure = replace(FAILED, face_name=evil, failure=Failure(evil, evil, "`" + evil))
    page = page_of(tmp_path, recent(record, "1"), recent(failure, "2"))
    assert page.open == []
    assert not {"script", "img"} & set(page.tags)
    assert not [name for name in page.attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in page.text


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux allows names that are no valid text")
def test_names_that_are_no_valid_text_do_not_stop_the_report(tmp_path: Path) -> None:
    odd = Path(os.fsdecode(b"caf\xe9.mp4"))
    page = page_of(tmp_path, recent(replace(DONE, target=odd, output=None), "1"))
    assert "caf\\xe9.mp4" in page.text


def test_before_the_first_job_the_page_says_what_to_do(tmp_path: Path) -> None:
    assert "inbox/faces" in page_of(tmp_path).text


def test_every_bar_has_a_name_and_every_count_its_noun(tmp_path: Path) -> None:
    output = tmp_path / "outbox" / "a-long-name__alice.mp4"
    remarked = {**(DONE.swap or {}), "frames": 1, "warnings": ["The picture is small."]}
    page = page_of(
        tmp_path,
        recent(replace(DONE, output=output, swap=remarked), "1"),
        recent(replace(FAILED, face_name="", target=Path("/in/videos/clip")), "2"),
    )
    for told in ("alice1 job", "no extension1 job", "mesh engine1 job", "profile balanced2 jobs", "1 remark"):
        assert told in page.text, told
    html = (tmp_path / "outbox" / "analytics" / "report.html").read_text(encoding="utf-8")
    assert 'title=""' not in html, "a job that had no face makes no bar without a name"
    for wrong in ("1 jobs", "1 frames", "1 remarks", "1 failures"):
        assert wrong not in page.text
    assert page.links == ["../a-long-name__alice.mp4", "../a-long-name__alice.json"]
    assert page.tags.count("wbr") >= 3, "a long name is broken between its words"


def test_a_result_in_an_earlier_outbox_is_linked_where_it_still_is(tmp_path: Path) -> None:
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    (earlier / "old 1__alice.mp4").touch()
    records = [replace(DONE, output=earlier / f"old {number}__alice.mp4") for number in (1, 2)]
    page = page_of(tmp_path, *(recent(record, str(number)) for number, record in enumerate(records)))
    assert page.links == [(earlier / "old 1__alice.mp4").as_uri()]
    assert page.links[0].startswith("file:///") and page.links[0].endswith("/old%201__alice.mp4")
    assert "old 2__alice.mp4" in page.text, "what is gone is named without a link"


def test_failures_of_one_category_keep_their_own_remedies(tmp_path: Path) -> None:
    remedies = ["It is empty; copy it again.", "Drop a video or a picture.", "It is empty; copy it again."]
    failures = [
        replace(FAILED, failure=Failure(ErrorCategory.FORMAT, "unusable", remedy)) for remedy in remedies
    ]
    page = page_of(tmp_path, *(recent(record, str(number)) for number, record in enumerate(failures)))
    told = json.loads((tmp_path / "outbox" / "analytics" / "errors.json").read_text(encoding="utf-8"))
    assert told["recommendations"] == ["It is empty; copy it again.", "Drop a video or a picture."]
    card = page.text[: page.text.index("Latest failures")]
    assert all(remedy in card for remedy in remedies)
    assert "player" not in card


def test_all_jobs_are_accounted_for_and_the_chart_says_what_it_shows(tmp_path: Path) -> None:
    page = page_of(
        tmp_path,
        recent(DONE, "1"),
        recent(replace(DONE, outcome="no_face", swap={"frames": 7}), "2"),
        recent(replace(FAILED, outcome="cancelled", failure=None), "3"),
    )
    for told in (
        "1 of 2 jobs have a result; 1 shows no face, which is no failure",
        "1 without a face, 1 cancelled",
        "120 frames written",
        "The last 14 days, as nothing was done before; up to 120 frames in a day",
    ):
        assert told in page.text, told
