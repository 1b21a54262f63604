"""Many short clips of one face: together in a warm session, and each with a session of its own.

    python benchmarks/many_clips.py
    python benchmarks/many_clips.py --counts 20 --seconds 3

`over pure work` is the time of the batch over the time in which frames were processed; `second starts after`
is the time from the start of the second job to its first finished frame.
"""

from __future__ import annotations

from common import parser, prepared


def main() -> None:
    options = parser("Clips of one face, together and one by one.", sizes=["720p"], seconds=2.0)
    options.add_argument("--counts", type=int, nargs="+", default=[1, 5, 10, 20], help="clips in a batch")
    arguments = options.parse_args()
    with prepared(arguments, count=4) as setting:
        from facefusion.checkup.benchmark_report import batch_table

        setting.benchmark.batches(setting.clips, [1])  # warm-up: compiled helpers, file cache
        print(f"clips of {arguments.seconds:g} s; one warm-up")
        print()
        print(batch_table(setting.benchmark.batches(setting.clips, arguments.counts)))


if __name__ == "__main__":
    main()
