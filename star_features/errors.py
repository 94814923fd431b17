"""
Every error that star-features raises on purpose.

    StarError                    base; has `exit_code`, which the `star` command exits with
    ├── UsageError        (2)    a setting or an argument is wrong
    ├── DataError         (3)    an input file or table cannot be used at all
    │   └── EmptyInput    (3)    nothing is left to work on
    ├── MissingStage      (4)    an earlier stage has not run
    ├── SpaceMismatch     (5)    vectors of two spaces were about to be compared or mixed
    ├── ArtefactError     (6)    a model folder or file is not what its manifest says
    ├── StoreError        (7)    an online or offline store did not do what was asked
    ├── GateRed           (8)    a release's figures are beyond their bounds
    └── Fenced            (9)    somebody else holds this slot by now

A message says what arrived, what was wanted, and which command to run next. Bad *rows* never
raise: they go to quarantine with a reason, and the rest goes on.
"""


class StarError(Exception):
    """Base of all our errors. `exit_code` is what the command line exits with."""

    exit_code = 1


class UsageError(StarError):
    """A setting or an argument is wrong: raised before anything slow starts."""

    exit_code = 2


class DataError(StarError):
    """An input file or table cannot be used at all.

    Args:
        where: the file or table.
        got: what arrived.
        wanted: what would have been right, and what to do.
    """

    exit_code = 3

    def __init__(self, where: object, got: str, wanted: str) -> None:
        self.where, self.got, self.wanted = str(where), got, wanted
        super().__init__(f"{where}: {got}\n{wanted}")


class EmptyInput(DataError):
    """Nothing is left to work on."""


class MissingStage(StarError):
    """An earlier stage has not run, or its output was removed."""

    exit_code = 4

    def __init__(self, missing: object, command: str) -> None:
        self.missing, self.command = str(missing), command
        super().__init__(f"{missing} is not there yet.\nRun this first: {command}")


class SpaceMismatch(StarError):
    """Vectors of one space arrived where another space was asked for."""

    exit_code = 5

    def __init__(self, got: str, wanted: str) -> None:
        self.got, self.wanted = got, wanted
        super().__init__(
            f"these vectors live in {got}, but {wanted} was asked for.\n"
            f"Two vectors may be compared only within one space: read both from {wanted}."
        )


class ArtefactError(StarError):
    """A model folder or file is not what its manifest says."""

    exit_code = 6

    def __init__(self, path: object, got: str, wanted: str) -> None:
        self.path, self.got, self.wanted = str(path), got, wanted
        super().__init__(f"{path}: {got}\nWanted: {wanted}")


class StoreError(StarError):
    """An online or offline store did not do what was asked."""

    exit_code = 7


class GateRed(StarError):
    """A version does not keep what its readers need, by the bounds of the gate."""

    exit_code = 8


class Fenced(StarError):
    """The slot that this process worked on has passed to another: it may not write any more."""

    exit_code = 9

    def __init__(self, job: str, slot_us: int, token: int) -> None:
        self.job, self.slot_us, self.token = job, slot_us, token
        super().__init__(
            f"try {token} of {job} for slot {slot_us} is over: its lease passed to somebody else.\n"
            "Nothing of it is written from here on. Who holds it: star jobs"
        )
