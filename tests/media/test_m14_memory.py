"""M14 and M16: memory does not grow with the length of a video, nor with the slowness of the encoder."""

import itertools
import queue
import threading

import numpy as np
import psutil
import pytest
from media_clips import Audio, Clip, make_clip, pattern
from media_job import process, settings

from facefusion.media.plan import plan_output
from facefusion.media.probe import probe
from facefusion.media.reader import VideoReader
from facefusion.media.writer import VideoWriter


def resident():
    return psutil.Process().memory_info().rss / 2**20


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory):
    """Two minutes of 320x240 with sound."""
    frames = 3000
    shown = [pattern(i, 320, 240) for i in range(10)]
    clip = Clip(
        320,
        240,
        frames,
        codec="libx264",
        audio=[Audio(seconds=120)],
        pictures=list(itertools.islice(itertools.cycle(shown), frames)),
    )
    return make_clip(tmp_path_factory.mktemp("long") / "clip.mp4", clip)


def test_memory_is_flat_over_the_length_of_a_video(long_clip):
    info = probe(long_clip)
    plan = plan_output(info, settings())
    out = long_clip.with_name("result.mp4")
    marks = []
    with VideoReader(long_clip, info, threads=2) as reader, VideoWriter(out, info, plan, threads=2) as writer:
        for frame in reader:
            writer.write(frame)
            if frame.index % 500 == 499:
                marks.append(resident())
        writer.commit()
    # A frame is 0.11 MB; 2000 of them would be 230 MB.
    assert max(marks[2:]) - marks[1] < 30


def test_reader_decodes_no_further_ahead_than_its_threads(long_clip):
    info = probe(long_clip)
    before = resident()
    with VideoReader(long_clip, info, threads=2) as reader:
        frames = [next(reader) for _ in range(3)]
        assert resident() - before < 60
    assert frames[0].nbytes == pytest.approx(320 * 240 * 1.5, rel=0.35)


@pytest.mark.parametrize("slow", ["reader", "writer"])
def test_a_bounded_queue_between_reader_and_writer_is_enough(long_clip, slow):
    """What the pipeline builds on: `next` and `write` block, and hold nothing back but what codecs need."""
    info = probe(long_clip)
    plan = plan_output(info, settings())
    out = long_clip.with_name(f"result-{slow}.mp4")
    waiting: queue.Queue = queue.Queue(maxsize=4)
    pause = threading.Event()
    deepest = 0

    def read():
        with VideoReader(long_clip, info) as reader:
            for frame in itertools.islice(reader, 120):
                if slow == "reader":
                    pause.wait(0.002)
                waiting.put(frame)
        waiting.put(None)

    thread = threading.Thread(target=read)
    thread.start()
    before = resident()
    with VideoWriter(out, info, plan) as writer:
        while (frame := waiting.get()) is not None:
            deepest = max(deepest, waiting.qsize())
            if slow == "writer":
                pause.wait(0.002)
            writer.write(frame)
        writer.commit()
    thread.join()
    assert writer.frames == 120
    assert deepest <= 4
    assert resident() - before < 60


def test_encoding_and_decoding_release_the_interpreter(long_clip):
    """Another thread gets on while a video is read and written."""
    counted = 0
    stop = threading.Event()

    def count():
        nonlocal counted
        while not stop.is_set():
            counted += 1
            np.zeros(10).sum()

    thread = threading.Thread(target=count)
    thread.start()
    process(
        make_clip(long_clip.with_name("short.mp4"), Clip(640, 480, 20)), settings(encoder_preset="medium")
    )
    stop.set()
    thread.join()
    assert counted > 1000
