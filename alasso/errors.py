"""What can end a run early, and what it may have to say; every message is one line."""


class BadInput(ValueError):
    """What the user gave cannot be used; the message names it and says what would be right."""


class Diverged(RuntimeError):
    """The loss is no longer a number, or absurdly large; the message says where and with which hyper-parameters."""


class Notice(UserWarning):
    """Nothing that ends a run, but whoever started it should know."""


class Interrupted(RuntimeError):
    """A signal asked the run to stop, and it did, saved; the message says how to go on."""

    def __init__(self, message: str, signal: int):
        super().__init__(message)
        self.signal = signal

    def __reduce__(self) -> tuple:
        return type(self), (str(self), self.signal)  # an exception is copied from one process to another
