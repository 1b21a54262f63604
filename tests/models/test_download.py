"""Downloads end in the right bytes or in a sentence, whatever the server does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_server import Site, serve_site

from facefusion.errors import CancelledError, NetworkError, StorageError
from facefusion.models.download import Downloader, Patience, WrongFileError, discard

CONTENT = bytes(range(251)) * 12000  # 3 MB, does not repeat at round offsets
PATIENCE = Patience(silence=0.5, slow_bytes=1000, slow_seconds=1.0, attempts=3, pause=0.01)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve_site() as running:
        yield running


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx.part"


def fetch(
    url: str,
    part: Path,
    *,
    limit: int = 1 << 30,
    sizes: frozenset[int] = frozenset(),
    patience: Patience = PATIENCE,
) -> list[tuple[int, int]]:
    told: list[tuple[int, int]] = []
    Downloader(patience=patience).fetch(
        url, part, limit=limit, sizes=sizes, on_bytes=lambda done, total: told.append((done, total))
    )
    return told


def test_a_file_arrives_whole_and_tells_how_far_it_is(site: Site, part: Path) -> None:
    told = fetch(site.add("/m", CONTENT), part, sizes=frozenset({len(CONTENT)}))
    assert part.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_dropped_connection_goes_on_where_it_stopped(site: Site, part: Path) -> None:
    fetch(site.add("/m", CONTENT, "drop:1000000", "drop:500000"), part)
    assert part.read_bytes() == CONTENT
    assert [wanted for _, wanted in site.asked] == ["", "bytes=1000000-", "bytes=1500000-"]
    assert site.bytes_sent == len(CONTENT), "nothing was sent twice"


def test_a_later_start_goes_on_where_the_earlier_one_stopped(site: Site, part: Path) -> None:
    url = site.add("/m", CONTENT, "drop:2000000", "status:500", "status:500", "status:500")
    with pytest.raises(NetworkError, match="500"):
        fetch(url, part)
    assert part.stat().st_size == 2000000
    fetch(url, part)
    assert part.read_bytes() == CONTENT
    assert site.bytes_sent == len(CONTENT)


def test_another_server_can_go_on(site: Site, part: Path) -> None:
    first = site.add("/a", CONTENT, "drop:2000000", "status:500", "status:500", "status:500")
    with pytest.raises(NetworkError):
        fetch(first, part)
    fetch(site.add("/b", CONTENT), part)
    assert part.read_bytes() == CONTENT
    assert site.asked[-1] == ("/b", "bytes=2000000-")


def test_a_file_that_changed_meanwhile_is_begun_anew(site: Site, part: Path) -> None:
    with pytest.raises(NetworkError):
        fetch(site.add("/m", CONTENT, "drop:2000000", "status:500", "status:500", "status:500"), part)
    changed = CONTENT[::-1]
    fetch(site.add("/m", changed), part)
    assert part.read_bytes() == changed


def test_a_server_without_ranges_sends_everything_again(site: Site, part: Path) -> None:
    fetch(site.add("/m", CONTENT, "drop:1000000", "ignore"), part)
    assert part.read_bytes() == CONTENT


def test_a_server_that_sends_another_range_is_not_believed(site: Site, part: Path) -> None:
    fetch(site.add("/m", CONTENT, "drop:1000000", "shift"), part)
    assert part.read_bytes() == CONTENT


def test_a_file_that_is_complete_already_is_not_sent_again(site: Site, part: Path) -> None:
    part.write_bytes(CONTENT)
    fetch(site.add("/m", CONTENT), part)
    assert part.read_bytes() == CONTENT
    assert site.bytes_sent == 0


def test_too_much_from_an_earlier_time_is_thrown_away(site: Site, part: Path) -> None:
    part.write_bytes(CONTENT + b"and more")
    fetch(site.add("/m", CONTENT), part)
    assert part.read_bytes() == CONTENT


def test_a_stalled_server_is_left_and_taken_up_again(site: Site, part: Path) -> None:
    fetch(site.add("/m", CONTENT, "stall:1500000"), part)
    assert part.read_bytes() == CONTENT
    assert site.asked[1] == ("/m", "bytes=1500000-")


def test_a_server_that_only_drips_counts_as_stalled(site: Site, part: Path) -> None:
    url = site.add("/m", CONTENT, "drip:100", "drip:100", "drip:100")
    with pytest.raises(NetworkError, match="drips"):
        fetch(url, part)


def test_a_server_that_always_drops_is_given_up(site: Site, part: Path) -> None:
    url = site.add("/m", CONTENT, *["drop:100"] * 10)
    with pytest.raises(NetworkError, match=r"connection ended early \(3 tries\)"):
        fetch(url, part)
    assert len(site.asked) == 3


def test_tries_that_get_on_do_not_count_against_it(site: Site, part: Path) -> None:
    url = site.add("/m", CONTENT * 3, *["drop:1500000"] * 5)
    fetch(url, part)
    assert part.read_bytes() == CONTENT * 3


def test_a_busy_server_is_asked_again_when_it_wishes(site: Site, part: Path) -> None:
    started = time.monotonic()
    fetch(site.add("/m", b"small", "busy:1"), part)
    assert part.read_bytes() == b"small"
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize(
    ("trick", "says"),
    [
        ("status:404", "404"),
        ("status:403", "403"),
        ("html", "web page"),
        ("gzip", "packs"),
        ("long:99999999", "announces 99999999 bytes and the file has 3012000"),
        ("more", None),
    ],
)
def test_a_server_that_does_not_have_the_file_is_left_at_once(
    site: Site, part: Path, trick: str, says: str | None
) -> None:
    url = site.add("/m", CONTENT, trick, "status:404")
    if says is None:  # the announced length is kept to; what comes after it is not read
        fetch(url, part, sizes=frozenset({len(CONTENT)}))
        assert part.read_bytes() == CONTENT
        return
    with pytest.raises(WrongFileError, match=says):
        fetch(url, part, sizes=frozenset({len(CONTENT)}))
    assert len(site.asked) == 1
    assert not part.exists() or part.stat().st_size == 0


def test_more_than_is_allowed_is_never_taken(site: Site, part: Path) -> None:
    with pytest.raises(WrongFileError, match="more than is allowed"):
        fetch(site.add("/m", CONTENT), part, limit=1_000_000)
    assert not part.exists() or part.stat().st_size == 0
    with pytest.raises(WrongFileError, match="more than"):
        fetch(site.add("/m", CONTENT, "silent"), part, limit=1_000_000)
    assert part.stat().st_size == 0


def test_a_file_without_an_announced_length_arrives(site: Site, part: Path) -> None:
    fetch(site.add("/m", CONTENT, "silent"), part)
    assert part.read_bytes() == CONTENT


def test_redirects_are_followed_and_the_range_with_them(site: Site, part: Path) -> None:
    site.add("/real", CONTENT, "drop:1000000")
    site.add("/middle", b"", redirect="/real")
    fetch(site.add("/m", b"", redirect=site.url + "/middle"), part)
    assert part.read_bytes() == CONTENT
    assert ("/real", "bytes=1000000-") in site.asked


@pytest.mark.parametrize("target", ["/m", "file:///etc/hostname", "ftp://127.0.0.1/x"])
def test_redirects_in_circles_or_out_of_the_web_are_refused(site: Site, part: Path, target: str) -> None:
    with pytest.raises(WrongFileError):
        fetch(site.add("/m", b"", redirect=target), part)
    assert not part.exists()


def test_nobody_there_is_a_network_error(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(NetworkError, match=r"127\.0\.0\.1:9: .*3 tries"):
        fetch("http://127.0.0.1:9/m", part)


def test_the_proxy_of_the_environment_is_used(
    site: Site, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", site.url)
    monkeypatch.delenv("NO_PROXY")
    site.add("http://models.invalid/m", CONTENT)
    fetch("http://models.invalid/m", part)
    assert part.read_bytes() == CONTENT


def test_a_stop_is_heeded_and_keeps_what_arrived(site: Site, part: Path) -> None:
    url = site.add("/m", CONTENT)
    stop = threading.Event()

    def on_bytes(done: int, total: int) -> None:
        if done > 1_000_000:
            stop.set()

    downloader = Downloader(patience=PATIENCE, should_stop=stop.is_set)
    with pytest.raises(CancelledError):
        downloader.fetch(url, part, limit=1 << 30, sizes=frozenset(), on_bytes=on_bytes)
    assert 1_000_000 < part.stat().st_size < len(CONTENT)
    fetch(url, part)
    assert part.read_bytes() == CONTENT


def test_a_full_disk_is_a_storage_error(site: Site, part: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no device that is always full")
    part.symlink_to("/dev/full")
    with pytest.raises(StorageError, match="No space left"):
        fetch(site.add("/m", b"a few bytes"), part)


def test_a_small_file_is_read_and_a_large_one_refused(site: Site) -> None:
    downloader = Downloader(patience=PATIENCE)
    assert downloader.read_small(site.add("/hash", b"5a6c6364\n", "status:503")) == b"5a6c6364\n"
    with pytest.raises(WrongFileError, match="too large"):
        downloader.read_small(site.add("/hash", CONTENT))
    with pytest.raises(WrongFileError, match="404"):
        downloader.read_small(site.url + "/nothing")


def test_a_small_file_that_only_drips_is_given_up(site: Site) -> None:
    url = site.add("/hash", b"5a6c6364\n" * 100, "drip:800", "drip:800", "drip:800")
    with pytest.raises(NetworkError, match="drips"):
        Downloader(patience=PATIENCE).read_small(url)


@pytest.mark.parametrize("number", ["\u00b2", "9" * 5000, "-5", "", "0x10"])
def test_numbers_that_are_none_are_not_believed(site: Site, part: Path, number: str) -> None:
    url = site.add("/m", CONTENT, f"busy:{number}", "drop:1500000", f"range:{number}")
    fetch(url, part)
    assert part.read_bytes() == CONTENT


def test_a_discarded_download_leaves_nothing(site: Site, part: Path) -> None:
    fetch(site.add("/m", CONTENT), part)
    discard(part)
    assert list(part.parent.iterdir()) == []
