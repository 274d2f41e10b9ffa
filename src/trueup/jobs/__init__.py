"""What can be run by its name: on a schedule, by another program, on another machine."""

from trueup.jobs.registry import JOBS, Done, Job, run_job

__all__ = ["JOBS", "Done", "Job", "run_job"]
