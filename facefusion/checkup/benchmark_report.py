"""What a benchmark found, as figures and as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from facefusion.system.measure import Series, megabytes, table


@dataclass(frozen=True)
class JobOverTranscode:
    """A whole job compared with a plain transcode by the same encoder with the same settings.

    Attributes:
        clip: what was processed, e.g. `1280x720, 250 frames`.
        frames: of the clip.
        encoder: encoder and settings of both.
        job: runs of the whole job.
        transcode: runs of the plain transcode, in turn with the jobs.
    """

    clip: str
    frames: int
    encoder: str
    job: Series
    transcode: Series

    @property
    def ratio(self) -> float:
        """Wall time of the job over that of the transcode."""
        return self.job.wall / self.transcode.wall

    @property
    def cpu_ratio(self) -> float:
        """Processor time of the job over that of the transcode."""
        return self.job.cpu / self.transcode.cpu

    @property
    def frames_per_second(self) -> float:
        """Of the whole job."""
        return self.frames / self.job.wall


@dataclass(frozen=True)
class BatchTiming:
    """Clips of one face, run in a batch and one by one.

    Attributes:
        size: number of clips.
        together: seconds for all of them in one warm session.
        one_by_one: seconds when every clip gets a session of its own (models loaded, source prepared anew).
        pure: seconds between the first and the last frame, summed over the batch.
        second_start: seconds from the start of the second job to its first frame; None for one clip.
    """

    size: int
    together: float
    one_by_one: float
    pure: float
    second_start: float | None

    @property
    def overhead(self) -> float:
        """Time for the batch over the time in which frames were processed."""
        return self.together / self.pure

    @property
    def gain(self) -> float:
        """One by one over together."""
        return self.one_by_one / self.together


@dataclass(frozen=True)
class BenchmarkReport:
    """Everything one benchmark found.

    Attributes:
        machine: in one line.
        settings: that were measured, in one line.
        jobs: whole jobs against plain transcodes.
        batches: batches against single runs.
        interrupted: not everything was measured.
    """

    machine: str
    settings: str
    jobs: tuple[JobOverTranscode, ...]
    batches: tuple[BatchTiming, ...]
    interrupted: bool = False

    def text(self) -> str:
        """The report as plain text with tables."""
        if self.interrupted and not (self.jobs or self.batches):
            return "Interrupted; nothing was measured."
        parts = [self.machine, self.settings]
        if self.interrupted:
            parts.insert(0, "Interrupted; what was measured until then follows.")
        if self.jobs:
            parts += ["", "Whole job against plain transcode (medians):", job_table(self.jobs)]
        if self.batches:
            parts += ["", "Clips of one face, together and one by one:", batch_table(self.batches)]
        return "\n".join(parts)


def job_table(jobs: Sequence[JobOverTranscode]) -> str:
    """Whole jobs against plain transcodes, as a table."""
    headers = ("clip", "encoder", "transcode", "job", "ratio", "CPU ratio", "frames/s", "peak RSS")
    return table(
        headers,
        [
            (
                job.clip,
                job.encoder,
                f"{job.transcode.wall:.2f} s",
                f"{job.job.wall:.2f} s",
                f"{job.ratio:.2f}",
                f"{job.cpu_ratio:.2f}",
                f"{job.frames_per_second:.0f}",
                megabytes(job.job.peak_rss),
            )
            for job in jobs
        ],
    )


def batch_table(batches: Sequence[BatchTiming]) -> str:
    """Batches against single runs, as a table."""
    headers = ("clips", "together", "over pure work", "second starts after", "one by one", "gain")
    return table(
        headers,
        [
            (
                str(batch.size),
                f"{batch.together:.2f} s",
                f"{batch.overhead:.2f}",
                "" if batch.second_start is None else f"{batch.second_start:.2f} s",
                f"{batch.one_by_one:.2f} s",
                f"{batch.gain:.2f}",
            )
            for batch in batches
        ],
    )
