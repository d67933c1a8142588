"""What can go wrong with a store, each as one sentence that names the place."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager


class StoreError(Exception):
    """Something is wrong with a store; the message is a sentence for people."""


class RunNotFound(StoreError, LookupError):
    """The store has no run of this name."""


class StoreBusy(StoreError):
    """Another writer holds the run."""


class StoreReadOnly(StoreError):
    """The store may not be written."""


class StoreFull(StoreError):
    """No space is left; all that was committed is intact."""


class StoreDamaged(StoreError):
    """What is there is not a run, or not a whole one."""


_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def _has_errno(error: BaseException | None, codes: set[int]) -> bool:
    # h5py and object stores wrap the OSError that says why; the number is somewhere down the chain or in the text
    while error is not None:
        if getattr(error, "errno", None) in codes or any(f"errno = {code}," in str(error) for code in codes):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def sentences(place: str, doing: str) -> Iterator[None]:
    """Turn what the operating system or an object store raises inside into a StoreError that says where and at what.

    place: where it happened; doing: what was tried, as in "reading the run".
    """
    try:
        yield
    except StoreDamaged as error:
        if place in str(error):
            raise
        raise StoreDamaged(f"{place} is damaged, which stopped {doing}. {error}") from error
    except StoreError:
        raise
    except Exception as error:
        if _has_errno(error, _FULL):
            raise StoreFull(f"No space is left at {place} while {doing}; all that was committed before is intact.") from error
        if _has_errno(error, _FORBIDDEN):
            raise StoreReadOnly(f"{place} may not be changed or read with this user's rights, which stopped {doing}.") from error
        raise StoreError(f"{place}: {doing} failed ({type(error).__name__}: {error}).") from error
