"""A whole job over a plain transcode by the same encoder with the same settings, in turn in one run.

    python benchmarks/job_vs_transcode.py
    python benchmarks/job_vs_transcode.py --input clip.mp4 --face alice.jpg --preset fast --repeats 7

The session stays warm between runs, as it does in the daemon's worker. Memory is that of this process, which
holds the session and the transcode.
"""

from __future__ import annotations

from common import parser, prepared


def main() -> None:
    options = parser("Whole job over plain transcode.", sizes=["720p", "1080p"], seconds=10.0)
    options.add_argument("--repeats", type=int, default=5, help="runs of each kind")
    options.add_argument("--warmups", type=int, default=1, help="runs before them that do not count")
    arguments = options.parse_args()
    with prepared(arguments) as setting:
        from facefusion.checkup.benchmark_report import job_table

        jobs = [
            setting.benchmark.job_over_transcode(clip, repeats=arguments.repeats, warmups=arguments.warmups)
            for clip in setting.clips
        ]
        print(f"{arguments.repeats} runs of each kind in turn after {arguments.warmups} warm-up; medians")
        print()
        print(job_table(jobs))
        for job in jobs:
            print(f"slowest over fastest run, {job.clip}: job {job.job.spread:.2f}, ", end="")
            print(f"transcode {job.transcode.spread:.2f}")


if __name__ == "__main__":
    main()
