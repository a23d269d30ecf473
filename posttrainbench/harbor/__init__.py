"""Harbor's formats: a task of ours as a Harbor task, and the results of a Harbor job as what they are, foreign ones."""

from posttrainbench.harbor.jobs import ForeignJob, ForeignTrial, read_job
from posttrainbench.harbor.tasks import write_task

__all__ = ["ForeignJob", "ForeignTrial", "read_job", "write_task"]
