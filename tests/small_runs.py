"""Runs of eighteen steps, for tests of what a run survives; the fixture `small_runs` makes them quick."""

import os
import signal
import sys
import warnings
from pathlib import Path

from alasso import fast
from alasso import run as runner
from alasso.experiments import experiment

ALASSO = [sys.executable, "-c", "import sys; from alasso import cli; sys.exit(cli.main())"]
"""The command line, in a process of its own."""

SETTINGS = {"tasks": "3", "epochs": "2", "batch_size": "32", "hidden": "8"}


def start(folder: Path, method="alasso-published", settings=SETTINGS, **way):
    return runner.run(experiment("pmnist-tiny", method, settings), 0, folder, progress=False, **way)


def stop_after(steps: int, folder: Path) -> None:
    """A run that is killed after so many steps, each with a checkpoint."""

    def killed():
        step, calls = fast.FastLearner.step, []

        def last(*arguments):
            if len(calls) == steps:
                os.kill(os.getpid(), signal.SIGKILL)
            calls.append(None)
            return step(*arguments)

        fast.FastLearner.step = last
        start(folder)

    assert forked(killed) == -signal.SIGKILL


def forked(function) -> int:
    """Run the function in a process of its own, and return how that ended, as subprocess has it."""
    pid = os.fork()
    if pid == 0:
        warnings.simplefilter("ignore")
        try:
            function()
        except SystemExit as error:
            os._exit(error.code)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(99)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
