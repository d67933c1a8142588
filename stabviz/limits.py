"""What visitors of a server may ask of it: how long, how large, how many, and whether anything is computed, written or deleted at all.

The scheduler and the store keep to it, so that no way of asking gets round them; the pages tell beforehand what cannot be done.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .control import ControlError
from .job import Job, RunError, Watch

if TYPE_CHECKING:
    from .plan import Plan

READ_ONLY = "This server is read only: what is stored can be opened, compared and downloaded; nothing is computed, changed or deleted."
HERE = ("localhost", "127.0.0.1", "::1")
UNITS = {"": 1e0, "B": 1e0, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KIB": 2.0**10, "MIB": 2.0**20, "GIB": 2.0**30, "TIB": 2.0**40}


class LimitError(RunError):
    """More was asked for than this server gives; the message says which limit it was and what can be done."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a server gives. Nothing set: no limit, but that one run or sweep may need half of the memory that is free.

    `Limits.public()` is for a server that anybody reaches (`stabviz serve --public`): runs of 200,000 steps, which is more than any claim
    of the labs here takes; 2 GB of memory for a run or a sweep; 4 runs at once in a session, since a claim may be decided by several;
    sweeps of 1,000 points; a store of 20 GB; visitors delete nothing. A single number is changed as in `Limits.public(max_steps=10_000)`.

    Attributes:
        max_steps: steps of one run, all its stretches together.
        max_memory: bytes that one run or sweep may need; None: half of what is free.
        runs_per_session: runs and sweeps under way that one session may watch. Those that it leaves are stopped after half a minute.
        max_cases: points of a sweep.
        quota: bytes that the store may take, what was deleted a short while ago with it. Runs beyond it are carried out and kept in
            memory only, and their page says so: somebody in the middle of an experiment loses nothing of what is on the screen, what is
            stored stays as it is, and who keeps the server can make room at any time.
        read_only: nothing is computed, written or deleted; what is stored can be opened, scrubbed, compared, downloaded, reported.
        deleting: whether visitors may delete runs, and bring deleted ones back.
        hosts: names, such as `example.org` or `example.org:8000`, by which visitors may reach the server; empty: any, for pages and files
            (a socket is opened only from a page of this server's own address, which is Bokeh's rule). With a name, requests in another
            name get nothing, so that no foreign name that was pointed at this machine reads what is here. This machine's own stay allowed.
    """

    max_steps: int | None = None
    max_memory: float | None = None
    runs_per_session: int | None = None
    max_cases: int | None = None
    quota: float | None = None
    read_only: bool = False
    deleting: bool = True
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("max_steps", "max_memory", "runs_per_session", "max_cases", "quota"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf):
                raise ControlError(name, f"{name} cannot be {value!r}: it takes a number above zero, or None for no limit.")
        object.__setattr__(self, "hosts", tuple(host.strip().lower() for host in self.hosts if host.strip()))
        for host in self.hosts:
            if not re.fullmatch(r"(\[[0-9a-f:.]+\]|[\w.\-]+)(:\d{1,5})?", host):
                raise ControlError("hosts", f"hosts cannot have {host[:60]!r}: a host is a name such as example.org or example.org:8000.")

    @classmethod
    def public(cls, **changes: Any) -> Limits:
        """A sensible set for a server that anybody reaches, with `changes`."""
        base = cls(max_steps=200_000, max_memory=2e9, runs_per_session=4, max_cases=1_000, quota=20e9, deleting=False)
        return dataclasses.replace(base, **changes)

    @classmethod
    def read(cls, words: Mapping[str, Any]) -> Limits:
        """Limits from texts: `public`, and the names of the attributes; what is None, False or "" is not said.

        Raises:
            ControlError: a text that cannot be read.
        """
        said = {name: text for name, text in words.items() if text not in (None, False, "", (), [])}
        changes: dict[str, Any] = {}
        for name, text in said.items():
            if name in ("max_memory", "quota"):
                changes[name] = size(name, str(text))
            elif name in ("max_steps", "runs_per_session", "max_cases"):
                changes[name] = _whole(name, str(text))
            elif name in ("read_only", "deleting"):
                changes[name] = _yes(name, text)
            elif name == "hosts":
                changes[name] = tuple(re.split(r"[,\s]+", text)) if isinstance(text, str) else tuple(text)
        return (cls.public if "public" in said and _yes("public", said["public"]) else cls)(**changes)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Limits:
        """For `panel serve app.py`: `STABVIZ_PUBLIC=1`, and `STABVIZ_` with each attribute, as in `STABVIZ_MAX_MEMORY=2GB`."""
        names = ("public", *(field.name for field in dataclasses.fields(cls)))
        return cls.read({name: environment.get(f"STABVIZ_{name.upper()}") for name in names})

    # -- what is asked --------------------------------------------------------------------------------------------

    def check_plans(self, plans: Iterable[Plan]) -> None:
        """Refuse runs that are to be computed and may not be.

        Raises:
            LimitError: the server is read only, or one of them is too long.
        """
        self.check_computing()
        for plan in plans:
            steps = plan.schedule.steps
            if self.max_steps is not None and steps > self.max_steps:
                raise LimitError(f"This run would have {steps:,} steps, and {self.max_steps:,} is the most here: take fewer steps.")

    def check_cases(self, count: int) -> None:
        """Refuse a sweep of too many points, before its plans are made."""
        if self.max_cases is not None and count > self.max_cases:
            raise LimitError(f"This sweep would have {count:,} points, and {self.max_cases:,} is the most here: take fewer of them.")

    def check_computing(self) -> None:
        """Refuse to compute where the server is read only."""
        if self.read_only:
            raise LimitError(READ_ONLY)

    def check_deleting(self) -> None:
        """Refuse to delete, or to bring back."""
        if self.read_only:
            raise LimitError(READ_ONLY)
        if not self.deleting:
            raise LimitError("Visitors of this server delete nothing: ask whoever keeps it.")

    def knows(self, host: str) -> bool:
        """Whether a request may come in this name (its header `Host`)."""
        if not self.hosts:
            return True
        host = host.strip().lower()
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in HERE or host in self.hosts or name in self.hosts


class Visitor:
    """One session, and what it has under way."""

    def __init__(self, limits: Limits):
        self.limits = limits
        self._watches: list[Watch] = []

    @property
    def going(self) -> int:
        """Runs and sweeps under way that it watches."""
        self._watches = [watch for watch in self._watches if watch.going]
        return len(self._watches)

    def watch(self, job: Job) -> Watch:
        """Watch a job, which counts until it has ended or the watch is closed."""
        watch = job.watch()
        self._watches = [*self._watches, watch]
        return watch

    def admit(self, leaving: Watch | None = None) -> None:
        """Refuse one more run, if it has as many as it may. `leaving`: what it watches so far instead of the new one.

        Raises:
            LimitError: it has.
        """
        most = self.limits.runs_per_session
        going = self.going - (leaving is not None and leaving.going)
        if most is not None and going >= most:
            runs = "one run" if going == 1 else f"{going} runs"
            raise LimitError(f"You have {runs} under way, and {most} at once is the most here: wait for one of them, or stop it.")


def size(name: str, text: str) -> float:
    """Bytes from a text such as `2GB` or `500 MB`."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([A-Za-z]{0,3})\s*", text)
    if found is None or found[2].upper() not in UNITS or not float(found[1]) > 0:
        raise ControlError(name, f"{name} cannot be {text[:40]!r}: it takes a size such as 500MB, 2GB or 1.5TB.")
    return float(found[1]) * UNITS[found[2].upper()]


def _whole(name: str, text: str) -> int:
    if not re.fullmatch(r"[0-9_,]{1,15}", text.strip()) or not int(text.replace(",", "")) > 0:
        raise ControlError(name, f"{name} cannot be {text[:40]!r}: it takes a whole number from 1.")
    return int(text.replace(",", ""))


def _yes(name: str, value: Any) -> bool:
    words: dict[str, bool] = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    try:
        return words[str(value).strip().lower()]
    except KeyError:
        raise ControlError(name, f"{name} cannot be {str(value)[:40]!r}: it takes yes or no.") from None
