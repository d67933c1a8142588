"""Labs of one's own without a package: a System, or a file with Systems, as a lab with the whole page."""

from __future__ import annotations

import hashlib
import inspect
import os
import pathlib
import re
import sys
import traceback
import types
from typing import Any

from .lab import Lab, Preset, offer, withdraw
from .system import System, controls


class OwnError(Exception):
    """A file of one's own cannot be used; the message says why, and the line where there is one."""


def lab_of(of: Any, slug: str = "", title: str = "") -> Lab:
    """A Lab as it is; or the lab of a System (class or instance): its views are made from its observables.

    Raises:
        OwnError: it is neither.
    """
    if isinstance(of, Lab):
        return of
    cls = of if isinstance(of, type) and issubclass(of, System) else type(of) if isinstance(of, System) else None
    if cls is None:
        raise OwnError(f"{of!r} is neither a lab nor a System.")
    try:
        plain = cls()
    except TypeError as error:
        raise OwnError(f"{cls.__name__} cannot be made without arguments ({error}): give its fields defaults.") from None
    name = re.sub(r"\W+", "_", cls.__name__).strip("_").lower() or "system"
    turned = {} if isinstance(of, type) else {n: s.value(getattr(of, n)) for n, s in controls(cls).items()}
    turned = {n: x for n, x in turned.items() if x != controls(cls)[n].default}
    doc = inspect.getdoc(cls) or ""
    first = doc.splitlines()[0] if doc else f"{cls.__name__}, a system of your own."
    made = Lab(
        slug or name, title=title or cls.__name__, wing="own", tagline=first,
        presets={"given": Preset("As given", controls=turned)} if turned else {}, order=0,
    )  # fmt: skip
    made.__dict__.update(systems={name: cls}, views=_views(plain), claims=(), experiments=(), boundaries=(), text=_text(doc), thumbnail="")
    return made


def _views(system: System) -> tuple[Any, ...]:
    from .generic_views import views_of

    return views_of(system.observables)


def _text(doc: str) -> str:
    return "## The system\n\n" + (doc or "It has no docstring yet. What stands in it is shown here, formulas between dollar signs too.")


class OwnFile:
    """A Python file with Systems, loaded again when it is saved.

    What it offers: `lab` (a `Lab`), or its instances and classes of Systems, each as a lab of its own.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = pathlib.Path(path).resolve()
        self.error = ""
        self.labs: dict[str, Lab] = {}
        self.version = 0
        """Grows with each load."""
        self._mark: Any = None
        self.refresh()

    def changed(self) -> bool:
        """Whether it has been saved since it was loaded."""
        return self._stat() != self._mark

    def _stat(self) -> Any:
        try:
            s = self.path.stat()
            return s.st_mtime_ns, s.st_size
        except OSError:
            return None

    def refresh(self) -> None:
        """Load it, if it has changed. What is wrong with it stands in `error`, and the labs stay those of the last good load."""
        if not self.changed():
            return
        self._mark, self.version = self._stat(), self.version + 1
        try:
            found = self._load()
        except OwnError as error:
            self.error = str(error)
            return
        for slug in self.labs:
            withdraw(slug)
        self.error, self.labs = "", found
        for made in found.values():
            offer(made)

    def _load(self) -> dict[str, Lab]:
        try:
            source = self.path.read_text(encoding="utf-8")
        except OSError as error:
            raise OwnError(f"{self.path.name} cannot be read: {error.strerror or error}.") from None
        name = f"stabviz_own_{self.path.stem}"
        module = types.ModuleType(name)
        module.__file__ = str(self.path)
        sys.modules[name] = module
        try:
            exec(compile(source, str(self.path), "exec"), module.__dict__)
        except SyntaxError as error:
            raise OwnError(f"{self.path.name}, line {error.lineno}: {error.msg}.") from None
        except Exception as error:
            raise OwnError(f"{self.path.name}, line {_line(error, str(self.path))}: {type(error).__name__}: {error}") from None
        given = getattr(module, "lab", None)
        if isinstance(given, Lab):
            return {given.slug: given}
        revision = int(hashlib.sha256(source.encode()).hexdigest()[:8], 16)  # other code is another run, whatever its controls
        values = {k: v for k, v in vars(module).items() if not k.startswith("_")}
        instances = {k: v for k, v in values.items() if isinstance(v, System)}
        classes = {k: v for k, v in values.items() if isinstance(v, type) and issubclass(v, System) and v.__module__ == name}
        for cls in classes.values():
            cls.revision = revision
        wanted = instances or classes
        if not wanted:
            raise OwnError(f"{self.path.name} has no System: write a class, or `lorenz = sv.Flow(...)` at the top level.")
        return {k.lower(): lab_of(of, k.lower(), title=k.replace("_", " ").capitalize()) for k, of in wanted.items()}


def _line(error: BaseException, path: str) -> int | str:
    """The last line of the file that the error came through."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path and frame.lineno]
    return lines[-1] if lines else "?"
