"""What the content gate refuses and what it looks at."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from gate_material import CLASS, RATE, Brightness, gate, shade, write_picture, write_scores
from hypothesis import given
from hypothesis import strategies as st

from facefusion.config import AutomationConfig, GateSettings, parse_config
from facefusion.errors import (
    CancelledError,
    ConfigError,
    ContentBlockedError,
    InputFileError,
)
from facefusion.media import photo_reader
from facefusion.media.frame import PackedFrame
from facefusion.media.probe import probe
from facefusion.media.skim import VideoSkimmer
from facefusion.trust.gate import ContentGate
from facefusion.trust.rules import Judge

HARD, SOFT = 0.45, 0.6
Looks = list[tuple[float, float]]


def judged(looks: Looks, **settings: float) -> bool:
    """Whether a video with these scores at these times is refused."""
    judge = Judge(GateSettings(**settings))
    return any(judge.video_frame(seconds, {CLASS: score}) for seconds, score in looks) or bool(
        judge.end_of_video()
    )


# ---- the rules --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("looks", "refused"),
    [
        ([(0, 0.1), (1, 0.2), (2, 0.1)], False),
        ([(0, 0.1), (5, 0.95), (9, 0.1)], False),  # a single frame is a slip
        ([(0, 0.1), (5, HARD), (6, HARD)], True),  # two within a second, hard
        ([(0, 0.1), (5, HARD), (5.5, 0.1), (5.9, HARD)], True),
        ([(0, 0.1), (5, HARD), (6.5, HARD)], False),  # too far apart for the hard one
        ([(0, 0.1), (5, HARD - 0.01), (5.5, HARD - 0.01)], False),
        ([(0, SOFT), (50, 0.1), (3600, SOFT)], True),  # two anywhere, soft
        ([(0, SOFT), (50, 0.1), (3600, SOFT - 0.01)], False),
        ([(9, SOFT), (4, 0.1), (1, SOFT)], True),  # in any order
        ([(5, 0.9), (5, 0.9), (5.0004, 0.9), (8, 0.1)], False),  # one frame, looked at again
        ([(0, HARD)], True),  # a video of one frame is a picture
        ([(0, HARD - 0.01)], False),
    ],
)
def test_two_frames_refuse_a_video(looks: Looks, refused: bool) -> None:
    assert judged(looks) is refused


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1)), max_size=12), st.floats(0.05, HARD))
def test_a_lower_threshold_never_lets_more_through(looks: Looks, lower: float) -> None:
    if judged(looks):
        assert judged(looks, hard_threshold=lower)
        assert judged(looks, soft_threshold=max(lower, 0.05))


def test_a_share_of_a_long_film_does_not_matter() -> None:
    clean = [(float(second), 0.05) for second in range(7200)]
    assert judged([*clean[:4000], (4000.0, 0.5), (4001.0, 0.5), *clean[4002:]])


@pytest.mark.parametrize(("score", "refused"), [(HARD - 0.01, False), (HARD, True), (0.99, True)])
def test_a_picture_is_judged_by_one_score(tmp_path: Path, score: float, refused: bool) -> None:
    path = write_picture(tmp_path / "a.png", score + 0.002)
    if not refused:
        gate().check_target(write_picture(path, score - 0.002))
        return
    with pytest.raises(ContentBlockedError, match=f"a.png is refused by the content gate: {CLASS}"):
        gate().check_target(path)


@pytest.mark.parametrize("upright", [False, True])
def test_a_panorama_is_looked_at_piece_by_piece(tmp_path: Path, upright: bool) -> None:
    picture = np.hstack([shade(0.05, width=3000, height=200), shade(0.95, width=250, height=200)])
    picture = np.hstack([picture, shade(0.05, width=700, height=200)])
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.ascontiguousarray(picture.transpose(1, 0, 2)) if upright else picture)
    model = Brightness()
    with pytest.raises(ContentBlockedError):
        gate(model).check_target(path)
    assert 12 <= model.looks <= 16
    cv2.imwrite(str(path), shade(0.05, width=1, height=900))
    gate().check_target(path)


def test_a_small_picture_of_a_panorama_s_shape_is_looked_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), shade(0.05, width=300, height=60))
    model = Brightness()
    gate(model).check_target(path)
    assert model.looks == 1


def test_thresholds_can_only_be_made_stricter() -> None:
    for key, most in (("hard_threshold", HARD), ("soft_threshold", SOFT)):
        with pytest.raises(ConfigError, match=rf"gate\.{key}.* is 0\.99"):
            parse_config(json.dumps({"gate": {key: 0.99}}))
        assert getattr(parse_config(json.dumps({"gate": {key: 0.2}})).gate, key) == 0.2
        assert getattr(AutomationConfig().gate, key) == most
    with pytest.raises(ConfigError, match="not a setting"):
        parse_config(json.dumps({"gate": {"enabled": False}}))
    # Not even code that goes round the checks makes it looser.
    looser = GateSettings.model_construct(hard_threshold=2.0, soft_threshold=2.0)
    assert Judge(looser).picture({CLASS: 0.5})


# ---- what is looked at ------------------------------------------------------------------------------------


def moments(path: Path) -> list[float]:
    skimmer = VideoSkimmer(path, probe(path))
    return [glance.seconds for glance in skimmer.spread(closest=1.0, farthest=2.0)]


def test_gaps_between_key_frames_are_filled(tmp_path: Path) -> None:
    found = moments(write_scores(tmp_path / "a.mp4", lambda t: t / 20, seconds=9.5))
    assert found[0] == 0
    assert found == sorted(found)
    assert max(np.diff([*found, 9.5])) <= 2.2
    assert len(found) <= 7


def test_key_frames_that_lie_close_are_not_all_looked_at(tmp_path: Path) -> None:
    found = moments(write_scores(tmp_path / "a.avi", lambda t: t / 20, seconds=5, codec="mjpeg"))
    assert found == pytest.approx([0, 1, 2, 3, 4], abs=0.06)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts"])
def test_the_frames_are_those_of_their_moment(tmp_path: Path, suffix: str) -> None:
    path = write_scores(tmp_path / f"a{suffix}", lambda t: 0.1 + t / 20, seconds=8, keys=45)
    skimmer = VideoSkimmer(path, probe(path))
    first = probe(path).start or 0.0
    wanted = [0.5, 3.25, 3.3, 7.0]
    found = list(skimmer.at([first + moment for moment in wanted]))
    for glance in found:
        shown = glance.frame.thumbnail(320)[0].mean() / 255
        assert shown == pytest.approx(0.1 + (glance.seconds - first) / 20, abs=0.03)
    assert found[-1].seconds - first == pytest.approx(7.0, abs=0.2)


def test_a_short_scene_far_from_any_key_frame_is_found(tmp_path: Path) -> None:
    path = write_scores(tmp_path / "a.mp4", lambda t: 0.9 if 3.6 <= t < 4.4 else 0.1, seconds=8)
    with pytest.raises(ContentBlockedError) as caught:
        gate().check_target(path)
    assert caught.value.detail.startswith(CLASS)
    assert 3.6 <= float(caught.value.detail.split(" at ")[1].removesuffix(" s")) <= 4.4


def test_around_a_suspicion_it_looks_closer(tmp_path: Path) -> None:
    # A regular look sees something dim; what is bright lies between two of them.
    at = moments(write_scores(tmp_path / "plain.mp4", lambda t: 0.05, seconds=8))[2]

    def score(t: float) -> float:
        return 0.3 if abs(t - at) < 0.12 else 0.8 if 0 < t - at < 0.7 else 0.05

    path = write_scores(tmp_path / "a.mp4", score, seconds=8)
    regular = moments(path)
    assert any(abs(moment - at) < 0.12 for moment in regular)
    assert not any(0.12 <= moment - at < 0.7 for moment in regular)
    with pytest.raises(ContentBlockedError):
        gate().check_target(path)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_picture_that_stands_still_in_a_video_is_judged_like_a_photo(tmp_path: Path, suffix: str) -> None:
    import av

    path = tmp_path / f"a{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = {"g": "1000", "sc_threshold": "0"}
        for tick in (*range(70), *range(130, 200)):  # the frame of tick 69 is shown for three seconds
            frame = av.VideoFrame.from_ndarray(shade(0.55 if tick == 69 else 0.05), format="bgr24")
            frame.pts = tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(ContentBlockedError, match=r"at 3\.[45] s"):
        gate().check_target(path)


def test_a_clean_video_passes_and_few_frames_are_looked_at(tmp_path: Path) -> None:
    model = Brightness()
    one = gate(model)
    beats: list[int] = []
    one.check_target(write_scores(tmp_path / "a.mp4", lambda t: 0.1, seconds=10), lambda: beats.append(1))
    assert 5 <= model.looks <= 7
    assert len(beats) == model.looks


def test_looking_can_be_stopped_and_shows_that_it_goes_on(tmp_path: Path) -> None:
    def stop() -> None:
        raise CancelledError("stopped")

    path = write_scores(tmp_path / "a.mp4", lambda t: 0.1, seconds=55)
    with pytest.raises(CancelledError):
        gate().check_target(path, stop)
    # Reading the packets of a long file takes time before the first look.
    model = Brightness()
    with pytest.raises(CancelledError):
        gate(model).check_target(path, stop)
    assert model.looks == 0


def test_animations_are_looked_at(tmp_path: Path) -> None:
    from PIL import Image

    def pictures(*scores: float) -> list[Image.Image]:
        return [Image.fromarray(shade(score)) for score in scores]

    first, *others = pictures(0.1, 0.9, 0.1)
    for suffix in ("gif", "webp", "png"):
        path = tmp_path / f"a.{suffix}"
        first.save(path, save_all=True, append_images=others, duration=[500, 1200, 500])
        with pytest.raises(ContentBlockedError):
            gate().check_target(path)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
@pytest.mark.parametrize("delay", [0, 10])
def test_animations_without_delays_are_looked_at_as_slowly_as_they_are_shown(
    tmp_path: Path, suffix: str, delay: int
) -> None:
    from PIL import Image

    scores = [0.1] * 10 + [0.9, 0.88] * 15  # with the tenth of a second that viewers give each: for 3 s
    first, *others = (Image.fromarray(shade(score)) for score in scores)
    path = tmp_path / f"a.{suffix}"
    first.save(path, save_all=True, append_images=others, duration=delay)
    with pytest.raises(ContentBlockedError):
        gate().check_target(path)


def test_deep_and_turned_videos_are_seen_as_shown(tmp_path: Path) -> None:
    import av

    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        stream.options = {"x265-params": "log-level=none:pools=1"}
        for _ in range(10):
            frame = av.VideoFrame.from_ndarray(shade(0.9), format="bgr24")
            container.mux(stream.encode(frame.reformat(format="yuv420p10le")))
        container.mux(stream.encode(None))
    with pytest.raises(ContentBlockedError, match=r"0\.(8|9)"):
        gate().check_target(path)


def test_source_pictures_are_looked_at(tmp_path: Path) -> None:
    clean, bad = write_picture(tmp_path / "a.png", 0.1), write_picture(tmp_path / "b.png", 0.9)
    broken = tmp_path / "c.png"
    broken.write_bytes(b"no picture")
    gate().check_sources([clean, broken])  # what cannot be read is not used for the face either
    with pytest.raises(ContentBlockedError, match=r"b\.png"):
        gate().check_sources([clean, bad])


def test_a_source_picture_that_cannot_be_read_at_the_moment_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine may be able to read it a second later."""
    pictures = [write_picture(tmp_path / name, 0.1) for name in ("a.png", "b.png")]

    def faulty(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(photo_reader, "os", SimpleNamespace(fstat=faulty))
    with pytest.raises(InputFileError, match=r"a\.png cannot be read"):
        gate().check_sources(pictures)


# ---- the result -------------------------------------------------------------------------------------------


def checked(path: Path, model: Brightness) -> ContentGate:
    one = gate(model)
    one.check_target(path)
    one.check_sources([write_picture(path.with_name("face.png"), 0.1)])
    return one


def test_one_output_frame_a_second_is_looked_at(tmp_path: Path) -> None:
    model = Brightness()
    one = checked(write_scores(tmp_path / "a.mp4", lambda t: 0.1, seconds=1), model)
    before, inspector = model.looks, one.inspector()
    for index in range(60 * RATE):
        inspector.inspect(PackedFrame(shade(0.1)), index / RATE)
    assert 60 <= model.looks - before <= 64
    assert one.result["verdict"] == "passed"
    one.require_passed()


def test_a_result_is_refused_and_looked_at_more_closely_around_a_suspicion(tmp_path: Path) -> None:
    one = checked(write_scores(tmp_path / "a.mp4", lambda t: 0.1, seconds=1), Brightness())
    inspector = one.inspector()
    with pytest.raises(ContentBlockedError, match=r"The result is refused .* at 7\.[0-5] s"):
        for index in range(20 * RATE):
            second = index / RATE
            inspector.inspect(PackedFrame(shade(0.9 if 7 <= second < 7.6 else 0.1)), second)
    assert one.result["verdict"] == "refused"
    with pytest.raises(ContentBlockedError):
        one.require_passed()


def test_a_picture_of_the_result_that_stands_still_is_judged_like_a_photo(tmp_path: Path) -> None:
    one = checked(write_scores(tmp_path / "a.mp4", lambda t: 0.1, seconds=1), Brightness())
    inspector = one.inspector()
    shown = [(0.0, 0.1), (2.0, 0.1), (4.0, 0.5), (6.0, 0.1)]
    with pytest.raises(ContentBlockedError, match=r"at 4\.0 s"):
        for second, score in shown:
            inspector.inspect(PackedFrame(shade(score)), second)


def test_a_video_of_one_frame_is_judged_like_a_photo_when_it_is_done(tmp_path: Path) -> None:
    one = checked(write_scores(tmp_path / "a.mp4", lambda t: 0.1, seconds=1 / RATE), Brightness())
    one.inspector().inspect(PackedFrame(shade(0.9)), 0.0)
    with pytest.raises(ContentBlockedError, match="The result is refused"):
        one.require_passed()
    assert one.result["verdict"] == "refused"


def test_looking_at_many_source_pictures_can_be_stopped(tmp_path: Path) -> None:
    def stopped() -> None:
        raise CancelledError("stopped")

    model = Brightness()
    with pytest.raises(CancelledError):
        gate(model).check_sources([write_picture(tmp_path / "face.png", 0.1)], stopped)
    assert model.looks == 0


def test_time_stamps_that_jump_back_do_not_blind_it(tmp_path: Path) -> None:
    one = checked(write_scores(tmp_path / "a.mp4", lambda t: 0.1, seconds=1), Brightness())
    inspector = one.inspector()
    with pytest.raises(ContentBlockedError):
        for second in (1000.0, 0.0, 0.3, 0.6, 0.9):
            inspector.inspect(PackedFrame(shade(0.1 if second == 1000 else 0.9)), second)


def test_a_result_nobody_looked_at_is_none(tmp_path: Path) -> None:
    one = checked(write_scores(tmp_path / "a.mp4", lambda t: 0.1, seconds=1), Brightness())
    one.inspector()
    assert one.result["verdict"] == "open"
    with pytest.raises(ContentBlockedError, match="has not looked at"):
        one.require_passed()


def test_the_account_is_plain_json(tmp_path: Path) -> None:
    one = checked(write_picture(tmp_path / "a.png", 0.2), Brightness())
    one.inspector().inspect(PackedFrame(shade(0.2)), 0.0)
    account = json.loads(json.dumps(one.result))
    assert account["verdict"] == "passed"
    assert account["target"] == {"frames": 1, "highest": {CLASS: pytest.approx(0.2, abs=0.01)}}
    assert account["sources"]["frames"] == account["output"]["frames"] == 1
    assert account["thresholds"] == {"hard": HARD, "soft": SOFT}
