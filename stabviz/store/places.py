"""The two kinds of places that hold runs: a local folder, and anything that fsspec reaches (S3 and its like)."""

import contextlib
import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from zarr.abc.store import Store as ZarrStore
from zarr.storage import FsspecStore, LocalStore

from .errors import StoreBusy, StoreError
from .layout import CHECKPOINT, ROOT, is_id

try:
    import fcntl
except ImportError:  # Windows: leases are used there as on object stores
    fcntl = None  # type: ignore[assignment]

LEASE_SECONDS = 120.0
DELETED = ".deleted-"
"""What a deleted run is called until it is removed for good, with its name and when that was: no variable's name starts with a dot."""


class Hold(Protocol):
    """The right to write one run."""

    def check(self) -> None:
        """Raise a StoreError if the right, or the run's folder, is lost."""

    def release(self) -> None:
        """Give it back; twice does no harm."""


class Place(Protocol):
    """What Store and Writer need of a place. `run_id` has been checked by the caller; reads raise FileNotFoundError."""

    def where(self, run_id: str) -> str: ...
    def zarr(self, run_id: str, read_only: bool) -> ZarrStore: ...
    def read(self, run_id: str, name: str) -> bytes: ...
    def write(self, run_id: str, name: str, data: bytes) -> None: ...
    def write_all(self, run_id: str, files: dict[str, bytes]) -> None: ...
    def remove(self, run_id: str, name: str) -> None: ...
    def occupied(self, run_id: str) -> bool: ...
    def create(self, run_id: str, files: dict[str, bytes]) -> None: ...
    def delete(self, run_id: str) -> None: ...
    def discard(self, run_id: str) -> None: ...
    def restore(self, run_id: str, when: float) -> None: ...
    def discarded(self) -> list[tuple[str, float]]: ...
    def purge(self, run_id: str, when: float) -> None: ...
    def sizes(self, run_id: str) -> dict[str, int]: ...
    def used(self) -> int: ...
    def sweep(self, run_id: str, keep: str) -> None: ...
    def roots(self) -> Iterator[tuple[str, bytes | str]]: ...
    def stamps(self) -> dict[str, Any] | None: ...
    def hold(self, run_id: str) -> Hold: ...
    def held(self, run_id: str) -> bool: ...


class LocalPlace:
    """A folder of this machine. A run is a folder in it; beside it lies its lock while it is written."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def where(self, run_id: str) -> str:
        """The run's folder, for sentences."""
        return str(self.root / run_id)

    def zarr(self, run_id: str, read_only: bool) -> ZarrStore:
        """The Zarr store of one run."""
        return LocalStore(self._without_links(run_id), read_only=read_only)

    def read(self, run_id: str, name: str) -> bytes:
        """One file of a run."""
        with open(self._inside(run_id) / name, "rb", opener=_no_link) as file:
            return file.read()

    def _inside(self, run_id: str) -> Path:
        """The run's folder. A link would lead out of the store, to whatever whoever made the store wanted read or overwritten."""
        path = self.root / run_id
        if path.is_symlink():
            raise StoreError(f"{path} is not a folder of this store, but a link or a file: remove it by hand.")
        return path

    def _without_links(self, run_id: str) -> Path:
        """The run's folder, if nothing in it is a link."""
        folders = [os.fspath(self._inside(run_id))]
        while folders:
            with contextlib.suppress(FileNotFoundError), os.scandir(folders.pop()) as entries:  # gone meanwhile
                for entry in entries:
                    if entry.is_symlink():
                        raise StoreError(f"{entry.path} is a link, which no run has: remove the run by hand.")
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        return self.root / run_id

    def write(self, run_id: str, name: str, data: bytes) -> None:
        """Replace one file atomically; never makes the folder anew, so that a deleted run stays deleted."""
        path = self._inside(run_id) / name
        fresh = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
        try:
            fresh.write_bytes(data)
            fresh.replace(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise

    def write_all(self, run_id: str, files: dict[str, bytes]) -> None:
        """Replace files, each atomically."""
        for name, data in files.items():
            self.write(run_id, name, data)

    def remove(self, run_id: str, name: str) -> None:
        """Remove one file, if it is there."""
        (self.root / run_id / name).unlink(missing_ok=True)

    def occupied(self, run_id: str) -> bool:
        """Whether anything of that name is there."""
        return os.path.lexists(self.root / run_id)

    def create(self, run_id: str, files: dict[str, bytes]) -> None:
        """Make a run's folder whole under another name, then rename it: nobody ever sees half of it."""
        fresh = self.root / f".new-{run_id}-{uuid.uuid4().hex}"
        try:
            for key, data in files.items():
                path = fresh / key
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            fresh.rename(self.root / run_id)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise

    def delete(self, run_id: str) -> None:
        """Rename the folder away, then remove it, with what earlier deletions that were cut off left."""
        self._remove(self._folder(run_id), run_id)

    def _folder(self, run_id: str) -> Path:
        path = self._inside(run_id)
        if not path.is_dir():
            raise StoreError(f"{path} is not a folder of this store, but a link or a file: remove it by hand.")
        return path

    def _remove(self, path: Path, run_id: str) -> None:
        path.rename(self.root / f".trash-{run_id}-{uuid.uuid4().hex}")
        for trash in self.root.glob(".trash-*"):
            shutil.rmtree(trash, ignore_errors=True)

    def discard(self, run_id: str) -> None:
        """Rename the folder, so that it is no run any more and can be one again: one step of the file system, whole or not at all."""
        self._folder(run_id).rename(self.root / f"{DELETED}{run_id}-{time.time_ns() // 1_000_000}")

    def restore(self, run_id: str, when: float) -> None:
        """Rename a discarded folder back; where a run of that name was made meanwhile, an OSError."""
        (self.root / f"{DELETED}{run_id}-{round(when * 1000)}").rename(self.root / run_id)

    def discarded(self) -> list[tuple[str, float]]:
        """(name, when) of what was discarded and is still there."""
        if not self.root.exists():
            return []
        with os.scandir(self.root) as entries:
            return [found for entry in entries if (found := _parted(entry.name))]

    def purge(self, run_id: str, when: float) -> None:
        """Remove what was discarded."""
        with contextlib.suppress(FileNotFoundError):
            self._remove(self.root / f"{DELETED}{run_id}-{round(when * 1000)}", run_id)

    def sizes(self, run_id: str) -> dict[str, int]:
        """Bytes of each file of a run."""
        root = self._without_links(run_id)
        found: dict[str, int] = {}
        for folder, _, names in os.walk(root):
            prefix = Path(folder).relative_to(root)
            found |= {(prefix / name).as_posix(): os.stat(os.path.join(folder, name)).st_size for name in names}
        return found

    def used(self) -> int:
        """Bytes of all that lies in the store, discarded runs too; links are not followed."""
        total, folders = 0, [os.fspath(self.root)]
        while folders:
            with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:  # gone meanwhile, or not there yet
                for entry in entries:
                    with contextlib.suppress(OSError):
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(entry.path)
                        else:
                            total += entry.stat(follow_symlinks=False).st_size
        return total

    def sweep(self, run_id: str, keep: str) -> None:
        """Remove what a killed writer left: unfinished files, folders, and checkpoints other than `keep`. Call it under the lock."""
        for folder, _, names in os.walk(self.root / run_id):
            for name in names:
                stale = name.startswith(CHECKPOINT) and name != keep
                if stale or name.endswith((".partial", ".tmp")):
                    os.unlink(os.path.join(folder, name))
        for unfinished in self.root.glob(f".new-{run_id}-*"):
            shutil.rmtree(unfinished, ignore_errors=True)

    def roots(self) -> Iterator[tuple[str, bytes | str]]:
        """(name, root document or one sentence why there is none) of all that lies in the store."""
        if not self.root.exists():
            return
        with os.scandir(self.root) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and not (entry.name.endswith(".lock") and is_id(entry.name[:-5])):
                    yield entry.name, self._root(entry)

    def stamps(self) -> dict[str, Any] | None:
        """For each run something that changes whenever its root document does."""
        found: dict[str, Any] = {}
        if self.root.exists():
            with os.scandir(self.root) as entries:
                for entry in entries:
                    with contextlib.suppress(OSError):
                        if is_id(entry.name) and entry.is_dir(follow_symlinks=False):
                            root = os.stat(os.path.join(entry.path, ROOT))
                            found[entry.name] = root.st_mtime_ns, root.st_ino, root.st_size
        return found

    def _root(self, entry: os.DirEntry) -> bytes | str:
        if not entry.is_dir(follow_symlinks=False):
            return "It is a file or a link, not a run's folder."
        if not is_id(entry.name):
            return "Its name is not the name of a run."
        try:
            with open(os.path.join(entry.path, ROOT), "rb", buffering=0, opener=_no_link) as file:
                return file.read()
        except FileNotFoundError:
            return "It has no zarr.json, so it is not a run."
        except OSError as error:
            return f"Its zarr.json cannot be read ({error.strerror})."

    def hold(self, run_id: str) -> Hold:
        """Take the run for writing, or raise StoreBusy. The kernel gives the lock back when the process dies."""
        self.root.mkdir(parents=True, exist_ok=True)
        if fcntl:
            return FileLock(self.root / run_id)
        return Lease(fsspec_file(), (self.root / run_id).as_posix(), self.where(run_id))

    def held(self, run_id: str) -> bool:
        """Whether a process that lives has taken the run for writing, as its lock's file says: the lock itself is not asked for."""
        if not fcntl:
            return Lease.taken(fsspec_file(), (self.root / run_id).as_posix())
        try:
            owner = (self.root / f"{run_id}.lock").read_text().strip()
        except OSError:
            return False
        return not owner.isdigit() or _alive(f"{socket.gethostname()}:{owner}")


def _no_link(path: str, flags: int) -> int:
    """Opens a file, but not through a link."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def fsspec_file() -> Any:
    """The local file system, as leases see it."""
    import fsspec

    return fsspec.filesystem("file")


class FileLock:
    """An exclusive `flock` on FOLDER.lock; it also notices when the folder was deleted or replaced."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder.with_name(folder.name + ".lock")
        self.folder_seen: os.stat_result | None = None
        while True:
            self.file = open(self.path, "a+", opener=_no_link)  # noqa: SIM115  stays open as long as the lock is held
            try:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with self.file as file:
                    file.seek(0)
                    owner = file.read(40).strip() or "unknown"
                raise StoreBusy(f"The run at {folder} is being written by another writer (process {owner}).") from None
            # the holder before us may have removed the file between our open and our lock: then it is no lock any more
            if self._holds_path():
                break
            self.file.close()
        self.file.truncate(0)
        self.file.write(str(os.getpid()))
        self.file.flush()

    def _holds_path(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self.file.fileno()), os.stat(self.path))
        except FileNotFoundError:
            return False

    def check(self) -> None:
        """Raise StoreError if the folder is not the one that was there at the first check."""
        try:
            now = os.stat(self.folder)
        except FileNotFoundError:
            now = None
        self.folder_seen = self.folder_seen or now
        if now and self.folder_seen and os.path.samestat(now, self.folder_seen) and (self.folder / ROOT).exists():
            return
        raise StoreError(f"The run at {self.folder} was deleted while it was being written.")

    def release(self) -> None:
        """Unlock, and remove the lock's file while it is still ours."""
        if not self.file.closed:
            if self._holds_path():
                self.path.unlink(missing_ok=True)
            self.file.close()


class RemotePlace:
    """A prefix of an object store, or of any file system that fsspec knows. Each object is replaced atomically there."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        import fsspec  # only stores that are not local need it

        self.url, self.options = url.rstrip("/"), options
        # listings are asked anew each time: another process may have written
        self.fs, self.root = fsspec.url_to_fs(self.url, **({"use_listings_cache": False} | options))

    def _path(self, *names: str) -> str:
        return "/".join((self.root.rstrip("/"), *names))

    def where(self, run_id: str) -> str:
        """The run's address, for sentences."""
        return f"{self.url}/{run_id}"

    def zarr(self, run_id: str, read_only: bool) -> ZarrStore:
        """The Zarr store of one run."""
        return FsspecStore.from_url(self.where(run_id), storage_options=dict(self.options), read_only=read_only)

    def read(self, run_id: str, name: str) -> bytes:
        """One object of a run."""
        return self.fs.cat_file(self._path(run_id, name))

    def write(self, run_id: str, name: str, data: bytes) -> None:
        """Replace one object."""
        self.fs.pipe_file(self._path(run_id, name), data)

    def write_all(self, run_id: str, files: dict[str, bytes]) -> None:
        """Replace objects, each atomically, many at once."""
        if files:
            self.fs.pipe({self._path(run_id, name): data for name, data in files.items()})

    def remove(self, run_id: str, name: str) -> None:
        """Remove one object, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(self._path(run_id, name))

    def occupied(self, run_id: str) -> bool:
        """Whether a run is there; objects without a root document are what a cut-off creation left, and are no run."""
        return self.fs.exists(self._path(run_id, ROOT))

    def create(self, run_id: str, files: dict[str, bytes]) -> None:
        """Put all objects, the root document last; what was discarded under that name goes."""
        self.purge(run_id, 0.0)
        self.write_all(run_id, {key: data for key, data in files.items() if key != ROOT})
        self.write(run_id, ROOT, files[ROOT])

    def delete(self, run_id: str) -> None:
        """Remove the root document, by which the run is gone, then the rest."""
        self.remove(run_id, ROOT)
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm(self._path(run_id), recursive=True)

    def discard(self, run_id: str) -> None:
        """Keep a copy of the root document under another name, then remove it, by which the run is gone."""
        self.write(run_id, f"{DELETED}{run_id}-{time.time_ns() // 1_000_000}", self.read(run_id, ROOT))
        self.remove(run_id, ROOT)

    def restore(self, run_id: str, when: float) -> None:
        """Put the root document back."""
        name = f"{DELETED}{run_id}-{round(when * 1000)}"
        self.write(run_id, ROOT, self.read(run_id, name))
        self.remove(run_id, name)

    def discarded(self) -> list[tuple[str, float]]:
        """(name, when) of what was discarded and is still there."""
        found = [_parted(path.rsplit("/", 1)[-1]) for path in self.fs.glob(f"{self.root.rstrip('/')}/*/{DELETED}*")]
        return [pair for pair in found if pair and not self.occupied(pair[0])]

    def purge(self, run_id: str, when: float) -> None:
        """Remove what was discarded."""
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm(self._path(run_id), recursive=True)

    def sizes(self, run_id: str) -> dict[str, int]:
        """Bytes of each object of a run."""
        root = self._path(run_id) + "/"
        found = self.fs.find(self._path(run_id), detail=True)
        return {path.removeprefix(root): int(entry["size"] or 0) for path, entry in found.items()}

    def used(self) -> int:
        """Bytes of all objects, of discarded runs too."""
        return sum(int(entry["size"] or 0) for entry in self.fs.find(self.root, detail=True).values())

    def sweep(self, run_id: str, keep: str) -> None:
        """Remove checkpoints other than `keep`; unfinished uploads are never visible."""
        for name in self.sizes(run_id):
            if name.startswith(CHECKPOINT) and name != keep:
                self.remove(run_id, name)

    def roots(self) -> Iterator[tuple[str, bytes | str]]:
        """(name, root document or one sentence why there is none) of all that lies in the store."""
        try:
            entries = self.fs.ls(self.root, detail=True)
        except FileNotFoundError:
            return
        names = {entry["name"].rstrip("/").rsplit("/", 1)[-1]: entry["type"] for entry in entries}
        folders = [name for name, kind in names.items() if kind == "directory" and is_id(name)]
        documents = self.fs.cat([self._path(name, ROOT) for name in folders], on_error="return") if folders else {}
        for name, kind in names.items():
            if name in folders:
                data = documents.get(self._path(name, ROOT))
                if isinstance(data, bytes) or not self.fs.glob(self._path(name, f"{DELETED}*")):
                    yield name, data if isinstance(data, bytes) else "It has no zarr.json, so it is not a run."
            elif kind == "directory":
                yield name, "Its name is not the name of a run."
            elif not name.startswith(".") and not name.endswith(".lease"):
                yield name, "It is an object, not a run's folder."

    def stamps(self) -> dict[str, Any] | None:
        """Not to be had here without reading everything."""
        return None

    def hold(self, run_id: str) -> Hold:
        """Take the run for writing by a lease, or raise StoreBusy."""
        return Lease(self.fs, self._path(run_id), self.where(run_id))

    def held(self, run_id: str) -> bool:
        """Whether there is a lease that has not run out."""
        return Lease.taken(self.fs, self._path(run_id))


class Lease:
    """An object RUN.lease with owner and time of expiry, renewed by each commit: best effort, for places without locks.

    Two writers that start within the same fraction of a second may both believe that they hold it; the one whose name stands in the
    object goes on, the other stops at its next commit. A writer that is silent for longer than the lease loses it only if another asks.
    """

    def __init__(self, fs: Any, folder: str, where: str, seconds: float | None = None) -> None:
        self.fs, self.folder, self.where = fs, folder, where
        self.path, self.seconds = folder + ".lease", LEASE_SECONDS if seconds is None else seconds
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex}"
        held = self._read()
        if self.taken(fs, folder) and held:
            raise StoreBusy(f"The run at {where} is being written by another writer ({held['owner']}); its lease may be renewed any time.")
        self._renew()
        held = self._read()
        if not held or held["owner"] != self.owner:
            raise StoreBusy(f"The run at {where} was taken by another writer at the same moment.")

    @staticmethod
    def taken(fs: Any, folder: str) -> bool:
        """Whether there is a lease that has not run out, of a process that may live."""
        held = _lease(fs, folder + ".lease")
        return held is not None and held["expires"] > time.time() and _alive(held["owner"])

    def _read(self) -> dict[str, Any] | None:
        return _lease(self.fs, self.path)

    def _renew(self) -> None:
        self.expires = time.time() + self.seconds
        self._renewed = time.monotonic()  # a clock that is set back must not make it late
        self.fs.pipe_file(self.path, json.dumps({"owner": self.owner, "expires": self.expires}).encode())

    def check(self) -> None:
        """Raise StoreBusy if another writer has taken over, StoreError if the run is gone; renew when half of the time is over."""
        held = self._read()
        if held and held["owner"] != self.owner:
            raise StoreBusy(f"The run at {self.where} was taken over by another writer ({held['owner']}) after this one's lease ran out.")
        if not self.fs.exists(f"{self.folder}/{ROOT}"):
            raise StoreError(f"The run at {self.where} was deleted while it was being written.")
        if not held or time.monotonic() - self._renewed > self.seconds / 2:
            self._renew()

    def release(self) -> None:
        """Remove the lease if it is still ours."""
        held = self._read()
        if held and held["owner"] == self.owner:
            with contextlib.suppress(FileNotFoundError):
                self.fs.rm_file(self.path)


def _lease(fs: Any, path: str) -> dict[str, Any] | None:
    try:
        held = json.loads(fs.cat_file(path))
        return {"owner": str(held["owner"]), "expires": float(held["expires"])}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _parted(name: str) -> tuple[str, float] | None:
    """Run and time of what was discarded under this name."""
    run_id, _, when = name.removeprefix(DELETED).partition("-")
    return (run_id, int(when) / 1000) if name.startswith(DELETED) and is_id(run_id) and when.isdecimal() else None


def _alive(owner: str) -> bool:
    # a writer of this machine that died need not be waited for
    host, _, rest = owner.partition(":")
    pid = rest.partition(":")[0]
    if host != socket.gethostname() or not pid.isdigit() or os.name != "posix":
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
