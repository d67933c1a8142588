"""The pages: one app at one address, whose query decides what is shown."""

from __future__ import annotations

from typing import Any


def serve(
    of: Any = None, *, port: int = 5006, address: str = "127.0.0.1", show: bool = False, store: Any = None, limits: Any = None,
    **options: Any,
) -> Any:  # fmt: skip
    """Start the server and serve until it is stopped (`threaded=True`: return at once with the server; its `port` says which one).

    Args:
        of: a lab or a System of your own, or the path of a file with some, which is loaded again when it is saved.
        port: 0 takes a free one. address: who may connect; the loopback address keeps it on this machine.
        store: where runs are kept, if not at the default place.
        limits: what visitors may ask for (`stabviz.Limits`): `Limits.public()` for a server that anybody reaches.
    """
    from stabviz.app.main import serve as start

    return start(port, address, show, store, of, limits, **options)


def embed(lab: Any, **options: Any) -> Any:
    """A lab's page as a Panel object, for a notebook."""
    from stabviz.app.embedded import embed as build

    return build(lab, **options)


def notebook() -> None:
    """Let pictures and pages appear in this notebook, also without a network. Call it once, at the top."""
    from stabviz.app.embedded import prepare

    prepare()
