"""The idle daemon on an inbox with many files: processor time and memory while nothing happens.

    python benchmarks/idle_daemon.py
    python benchmarks/idle_daemon.py --files 10000 --minutes 5

The inbox holds small videos and no face, so every file waits for one: the daemon has something to watch and
nothing to do.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from common import ROOT, tell


def processor_seconds(daemon: object) -> float:
    times = daemon.cpu_times()  # type: ignore[attr-defined]
    return float(times.user + times.system)


def run(arguments: argparse.Namespace) -> None:
    import cv2
    import numpy as np
    import psutil

    from facefusion.checkup.benchmark_media import make_clip
    from facefusion.system.measure import machine_line, megabytes, table

    with TemporaryDirectory(prefix="benchmark-") as folder:
        root = Path(folder)
        videos = root / "inbox" / "videos"
        for name in ("inbox/videos", "inbox/faces", "inbox/photos", "outbox"):
            (root / name).mkdir(parents=True)
        picture = root / "picture.png"
        cv2.imwrite(str(picture), np.full((48, 64, 3), 128, np.uint8))
        clip = root / "clip.mp4"
        make_clip(picture, clip, width=64, height=48, frames=5)
        content = clip.read_bytes()
        for number in range(arguments.files):
            # Different contents: equal ones would count as one file dropped many times.
            (videos / f"clip{number:06}.mp4").write_bytes(content + number.to_bytes(4, "big"))
        command = [
            *(sys.executable, str(ROOT / "simple_auto_processor.py"), "--root", str(root)),
            *arguments.option,
        ]
        with (root / "daemon.log").open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            daemon = psutil.Process(process.pid)
            settled, before = 0, processor_seconds(daemon)
            tell("waiting until the daemon has seen everything")
            deadline = time.monotonic() + arguments.settle_limit
            while settled < 5 and time.monotonic() < deadline:
                time.sleep(2.0)
                now = processor_seconds(daemon)
                settled = settled + 1 if now - before < 0.2 else 0
                before = now
            started, used = time.monotonic(), processor_seconds(daemon)
            memories = []
            while time.monotonic() - started < arguments.minutes * 60:
                time.sleep(1.0)
                if process.poll() is not None:
                    text = (root / "daemon.log").read_text(errors="replace")[-2000:]
                    raise SystemExit(f"The daemon ended by itself (status {process.returncode}).\n{text}")
                memories.append(daemon.memory_info().rss)
            wall, cpu = time.monotonic() - started, processor_seconds(daemon) - used
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise
        third = max(1, len(memories) // 3)
        print(machine_line())
        print(f"{arguments.files} files, {wall:.0f} s of idling")
        print()
        print(
            table(
                ("of one core", "RSS at first", "RSS at last", "peak RSS"),
                [
                    (
                        f"{100 * cpu / wall:.2f} %",
                        megabytes(round(statistics.median(memories[:third]))),
                        megabytes(round(statistics.median(memories[-third:]))),
                        megabytes(max(memories)),
                    )
                ],
            )
        )


def main() -> None:
    options = argparse.ArgumentParser(description="Processor time and memory of the idle daemon.")
    options.add_argument("--files", type=int, default=10000, help="videos in the inbox")
    options.add_argument("--minutes", type=float, default=2.0, help="how long to watch")
    options.add_argument("--settle-limit", type=float, default=600.0, help="seconds to wait for quiet")
    options.add_argument("--option", action="append", default=[], help="passed on to the daemon")
    run(options.parse_args())


if __name__ == "__main__":
    main()
