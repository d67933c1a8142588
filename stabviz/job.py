"""What the scheduler carries out, a turn at a time, and anyone may watch, pause and cancel: a run, or a study of many."""

from __future__ import annotations

import importlib
import logging
import os
import pathlib
import threading
import time
from typing import TYPE_CHECKING, Any

from .control import ControlError
from .engine import ContractError
from .memory import TooLarge

if TYPE_CHECKING:
    from .scheduler import Scheduler

log = logging.getLogger("stabviz.job")

LIVE = ("waiting", "compiling", "running", "paused")


class RunError(RuntimeError):
    """What was asked of a run cannot be done; the message is one sentence."""


class Watch:
    """Somebody watching a job; `close` when done. An abandoned job is stopped after a while."""

    def __init__(self, job: Job):
        self._job: Job | None = job

    @property
    def going(self) -> bool:
        """Whether it is still watching something that has not ended."""
        job = self._job
        return job is not None and not job.ended

    def close(self) -> None:
        """Stop watching. Closing twice is harmless."""
        job, self._job = self._job, None
        if job is not None:
            with job._change:
                job._watchers -= 1
                job._left = time.monotonic()


class Job:
    """Status, watchers and requests of something that the scheduler's workers drive.

    It calls nobody: whoever is interested polls `version`.
    """

    computes = True
    """Whether it works on a device, and does not only wait for others."""

    def __init__(self, scheduler: Scheduler, lab: Any = None):
        self.lab = lab
        self.error = ""
        """One sentence, if it failed."""
        self._notice = ""
        self.version = 0
        """Grows with every change that a watcher should see."""
        self._scheduler = scheduler
        self._status = "waiting"
        self._change = threading.Condition()
        self._watchers, self._left, self._was_watched = 0, time.monotonic(), False
        self._queued = self._paused = self._cancel = False

    @property
    def id(self) -> str:
        """The name: the hash of what determines it."""
        raise NotImplementedError

    @property
    def notice(self) -> str:
        """One sentence about something that did not stop it (its store is full, say)."""
        return self._notice

    @property
    def status(self) -> str:
        """`waiting`, `compiling`, `running`, `paused`; at the end `finished`, `diverged`, another end's name, `cancelled`, `failed`."""
        return self._status

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._status not in LIVE

    def watch(self) -> Watch:
        """Say that somebody watches; close the handle when done."""
        with self._change:
            self._watchers += 1
            self._was_watched = True
        return Watch(self)

    @property
    def abandoned_for(self) -> float:
        """Seconds since the last watcher left; 0 if somebody watches or nobody ever did."""
        with self._change:
            return time.monotonic() - self._left if self._was_watched and self._watchers == 0 else 0.0

    def wait(self, timeout: float | None = None) -> Any:
        """Block until it has ended or `timeout` seconds are over; returns itself.

        Raises:
            RunError: it failed; the message is its `error`.
        """
        with self._change:
            self._change.wait_for(lambda: self.ended, timeout)
        if self._status == "failed":
            raise RunError(self.error)
        return self

    def report(self, path: str | os.PathLike[str], *beside: Any, frames: int | None = None) -> pathlib.Path:
        """Write what there is so far as one HTML file that opens offline: views with a scrubber, verdicts, text, how to reproduce it.

        Args:
            path: where it is written. beside: other runs to compare it with.
            frames: moments kept of each run; by default so many that the file stays below 5 MB.

        Raises:
            RunError: there is nothing to report yet, or it cannot be written there.
        """
        written: pathlib.Path = importlib.import_module("stabviz.report").write([self, *beside], path, frames)
        return written

    def pause(self) -> None:
        """Stop at the next chunk border, keeping everything."""
        self._ask(lambda: setattr(self, "_paused", True))

    def resume(self) -> None:
        """Go on."""
        self._ask(lambda: setattr(self, "_paused", False))

    def cancel(self) -> None:
        """End it at the next border. What was recorded is kept; asked for again, it goes on from there."""
        self._ask(lambda: setattr(self, "_cancel", True))

    def _ask(self, change: Any) -> None:
        with self._change:
            change()
        self._scheduler.wake(self)

    def _set(self, status: str, error: str = "") -> None:
        with self._change:
            self._status, self.error = status, error or self.error
            self.version += 1
            self._change.notify_all()

    def _published(self) -> None:
        self._set(self._status)

    def advance(self) -> bool:
        """One turn: whatever is due, at most a chunk. False when no further turn is needed for now."""
        try:
            return self._advance()
        except (ControlError, TooLarge, ContractError, RunError) as error:
            self._fail(str(error))
        except MemoryError:
            self._fail("there is not enough memory: make the system smaller or record fewer frames.")
        except Exception as error:
            log.exception("%s failed", self.id)
            text = str(error).strip().splitlines()
            if "RESOURCE_EXHAUSTED" in str(error):
                self._fail("there is not enough memory: make the system smaller or record fewer frames.")
            else:
                self._fail(f"the simulation raised {type(error).__name__}" + (f": {text[0][:200]}" if text else "."))
        return False

    def _advance(self) -> bool:
        raise NotImplementedError

    def _fail(self, sentence: str) -> None:
        self.release()
        self._set("failed", sentence)

    def release(self) -> None:
        """Let go of what it holds in the store."""

    def _wait_for(self, others: Any) -> bool:
        """Whether all the runs in `others` have ended well; if not, this job is woken when the next one ends.

        Raises:
            RunError: one of them ended badly.
        """
        for other in others:
            if not other.ended:
                self._scheduler.after(other, self)
                if not other.ended:
                    return False
            if other.status in ("failed", "cancelled", "diverged"):  # solved, say, is an end to start from
                why = other.error or f"ended as {other.status}"
                raise RunError(f"it starts from run {other.id}, which {why}.")
        return True
