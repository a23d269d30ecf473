"""Bundles: one run in one file, for people who were not there.

`seal` makes one from a run's folder, `verify` reads one as an attacker's file and says everything that is wrong with
it. What a bundle proves and what it does not stands in docs/submitting.md.
"""

from posttrainbench.bundle.archive import MAX_BYTES, SUFFIX
from posttrainbench.bundle.checks import Failure
from posttrainbench.bundle.rescoring import Rescored, rescore
from posttrainbench.bundle.sealing import Contents, seal
from posttrainbench.bundle.verifying import Report, check_weights, opened, verify

__all__ = [
    "MAX_BYTES",
    "SUFFIX",
    "Contents",
    "Failure",
    "Report",
    "Rescored",
    "check_weights",
    "opened",
    "rescore",
    "seal",
    "verify",
]
