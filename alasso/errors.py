"""What can end a run early, and what it may have to say; every message is one line."""

import difflib
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager


class BadInput(ValueError):
    """What the user gave cannot be used; the message names it and says what would be right."""


class Diverged(RuntimeError):
    """The loss is no longer a number, or absurdly large; the message says where and with which hyper-parameters."""


class Notice(UserWarning):
    """Nothing that ends a run, but whoever started it should know."""


@contextmanager
def notices() -> Iterator[None]:
    """Within, a Notice is a line of its own, without the place in the code that it comes from."""
    usual = warnings.formatwarning

    def one_line(message: Warning, category: type[Warning], *place) -> str:
        return f"alasso: {message}\n" if issubclass(category, Notice) else usual(message, category, *place)

    warnings.formatwarning = one_line
    try:
        yield
    finally:
        warnings.formatwarning = usual


class Interrupted(RuntimeError):
    """A signal asked for a stop, and what was done is saved, but for a fit; the message says how to go on."""

    def __init__(self, message: str, signal: int):
        super().__init__(message)
        self.signal = signal

    def __reduce__(self) -> tuple:
        return type(self), (str(self), self.signal)  # an exception is copied from one process to another


def require(condition: bool, name: str, value: object, right: str) -> None:
    """Raise BadInput, which names the setting and says what it must be, unless the condition holds."""
    if not condition:
        raise BadInput(f"{name}={value}: {name} must be {right}")


def check_name(what: str, name: str, known: Collection[str]) -> None:
    """Raise BadInput, which calls the name `what`, unless it is one of those known."""
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"choose from {', '.join(known)}"
        raise BadInput(f"{what}: unknown; {hint}")
