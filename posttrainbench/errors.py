"""Every failure that a user can meet, whose fault it is, and the exit code it ends with.

    PtbError
    ├── UsageError           2  what was typed: a name, a flag, a combination
    ├── ConfigError          3  a file that a person wrote: agent.toml, task.toml, ptb.toml
    ├── MissingError         4  something this machine lacks: an extra, a tool, data, a model
    ├── StorageError         5  the disk: full, read-only, not ours
    ├── InfrastructureError  6  our side broke during a run: rerun it, it is never a score
    ├── DigestError          7  what is stored is not what was sealed
    └── RunBusyError         8  another ptb is working on this run

0 is success, 1 a bug of ours (with a traceback), 130 an interrupt from the keyboard. An agent that fails, times out or
cheats is not an error: it is the outcome of a run, which ends with 0.

A message says what was found, what was expected, and what to do.
"""


class PtbError(Exception):
    """A failure that ends a command with one clear sentence."""

    exit_code = 1


class UsageError(PtbError):
    """What was typed cannot be done."""

    exit_code = 2


class ConfigError(PtbError):
    """A file that a person wrote is not well-formed."""

    exit_code = 3


class MissingError(PtbError):
    """This machine lacks something that the command needs."""

    exit_code = 4


class StorageError(PtbError):
    """The disk refused: full, read-only, or not permitted."""

    exit_code = 5


class InfrastructureError(PtbError):
    """Our own environment broke while a run was going on."""

    exit_code = 6


class DigestError(PtbError):
    """Something stored differs from what was sealed."""

    exit_code = 7


class RunBusyError(PtbError):
    """Another process is working on the same run."""

    exit_code = 8
