"""Servers in processes of their own, which may be killed: all is imported once, each server is a fork of that.

Run as a program it waits for one JSON line after another, each the settings of a server to fork, and answers with its process id.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
OWN = HERE / "wanderer.py"
COUNTED = ("LabPage", "RunsPage", "Slot", "RunBar", "Controls", "ViewFrame", "Document", "BokehSessionContext", "Batch", "Simulation")


class Nursery:
    """The process that servers are forked from. A context manager; at its end all of them are gone."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="stabviz-hard-")
        self._count = 0
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent.parent), os.environ.get("PYTHONPATH", "")])}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._servers: list[Server] = []

    def start(self, store: str | Path, **settings: Any) -> Server:
        """A server at a store. settings: `grace`, `workers`, `options` of `serve`."""
        self._count += 1
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        told = {"store": str(store), "port": port, "line": f"{self._folder.name}/{self._count}", **settings}
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()
        server = Server(int(self._process.stdout.readline()), port, told["line"])
        self._servers.append(server)
        end = time.monotonic() + 60
        while not server.listens:
            assert server.alive and time.monotonic() < end, "the server does not start"
            time.sleep(0.02)
        return server

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: Any) -> None:
        for server in self._servers:
            server.kill()
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()
        self._folder.cleanup()


class Server:
    """One server process: its address, and questions to it."""

    def __init__(self, pid: int, port: int, line: str) -> None:
        self.pid, self.port, self.address = pid, port, f"http://127.0.0.1:{port}"
        self._line_path, self._line = line, None
        self.killed = False

    def ask(self, question: str, *about: Any, seconds: float = 60) -> Any:
        """The answer of a function of `QUESTIONS` in the server's process."""
        if self._line is None:
            self._line = self._connect(seconds)
        self._line.send((question, about))
        assert self._line.poll(seconds), f"the server does not answer {question!r}"
        answer = self._line.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _connect(self, seconds: float) -> Connection:
        end = time.monotonic() + seconds
        while True:
            try:
                return Client(self._line_path, family="AF_UNIX")
            except OSError:
                assert time.monotonic() < end, "the server does not start"
                time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone."""
        if self.killed:
            return
        self.killed = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        end = time.monotonic() + 30
        while self.alive and time.monotonic() < end:
            time.sleep(0.005)
        if self._line is not None:
            self._line.close()

    @property
    def listens(self) -> bool:
        """Whether it can be reached."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def log(self) -> str:
        """What it has written."""
        return Path(self._line_path + ".log").read_text()

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    @property
    def rss(self) -> float:
        """Resident memory in MB."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmRSS"))) / 1024


# -- in the server's process ------------------------------------------------------------------------------------------


def _scheduler() -> Any:
    from stabviz.scheduler import default_scheduler

    return default_scheduler()


def jobs() -> list[tuple[str, str, int, int]]:
    """(name, status, frames, watchers) of every job in memory."""
    return [(job.id, job.status, getattr(job, "frames", 0), job._watchers) for job in _scheduler().runs()]


def count() -> dict[str, int]:
    """Objects that sessions and runs are made of, threads, arrays of JAX."""
    import jax

    gc.collect()
    kinds = Counter(type(x).__name__ for x in gc.get_objects())
    threads = sum(not t.name.startswith(("asyncio_", "ThreadPool", "bokeh")) for t in threading.enumerate())
    return {**{kind: kinds[kind] for kind in COUNTED}, "threads": threads, "arrays": len(jax.live_arrays())}


def forget() -> None:
    """Let go of runs, those too that nobody watches any more, and of the pictures of runs, as new ones would make it do."""
    from stabviz.app.live import studio

    for job in _scheduler().runs():
        if not job.ended and job.abandoned_for > 0:
            job.cancel()
            job.wait(20)
    for job in _scheduler().runs():
        _scheduler().forget(job.id)
    with studio._change:
        studio._pictures.clear()
    gc.collect()


_write, _replace, _time, _time_ns, _ns = Path.write_bytes, Path.replace, time.time, time.time_ns, 1_000_000_000


def disk(state: str) -> None:
    """From now on the store's disk is `full` (of large files only the first half is written), `denied`, or `well` again."""
    import stabviz.store.places as places

    root = str(_scheduler().store._place.root)

    def write(path: Path, data: bytes) -> int:
        if str(path).startswith(root) and state == "full":
            _write(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        if str(path).startswith(root) and state == "denied":
            raise OSError(errno.EROFS, "Read-only file system")
        return _write(path, data)

    def lock(folder: Path) -> Any:
        if state == "denied":
            raise OSError(errno.EROFS, "Read-only file system")
        return _lock(folder)

    pathlib.Path.write_bytes = write if state != "well" else _write  # type: ignore[method-assign, assignment]
    _lock = getattr(places.FileLock, "_whole", places.FileLock)
    lock._whole = _lock  # type: ignore[attr-defined]
    places.FileLock = lock if state == "denied" else _lock  # type: ignore[misc, assignment]


def clock(back: float) -> None:
    """From now on the wall clock is `back` seconds behind."""
    time.time = lambda: _time() - back
    time.time_ns = lambda: _time_ns() - int(back * _ns)


QUESTIONS = {f.__name__: f for f in (jobs, count, forget, disk, clock)}


def _answer(line: str) -> None:
    with Listener(line, family="AF_UNIX") as listener:
        while True:
            with contextlib.suppress(EOFError, OSError), listener.accept() as connection:
                while True:
                    question, about = connection.recv()
                    try:
                        connection.send(QUESTIONS[question](*about))
                    except Exception as error:
                        connection.send(RuntimeError(f"{question}: {type(error).__name__}: {error}"))


def _leave_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


def _serve(settings: dict[str, Any]) -> None:
    from stabviz.app import serve
    from stabviz.scheduler import Scheduler, default_scheduler
    from stabviz.store import Store

    about = {name: settings[name] for name in ("grace", "workers") if name in settings}
    default_scheduler(lambda: Scheduler(Store(settings["store"]), **about))
    threading.Thread(target=_answer, args=(settings["line"],), daemon=True).start()
    threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
    port = settings["port"]
    options = {"unused_session_lifetime_milliseconds": 1000, "check_unused_sessions_milliseconds": 200, **settings.get("options", {})}
    serve(str(OWN), port=port, websocket_origin=f"127.0.0.1:{port}", **options)


def main() -> None:
    """Fork a server for each line."""
    import stabviz.app.main
    import stabviz.labs  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a killed server
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            sys.stdin.close()
            log = os.open(json.loads(line)["line"] + ".log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try:
                _serve(json.loads(line))
            finally:
                os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent.parent))
    sys.modules["server_process"] = sys.modules["__main__"]
    main()
