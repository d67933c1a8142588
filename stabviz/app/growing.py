"""A figure more on a page, without a walk through all that is there already."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from bokeh.document import Document
from bokeh.model import Model


@contextlib.contextmanager
def growing(document: Document | None, added: Model) -> Iterator[None]:
    """Inside, what changes of the document's models is that `added` comes, with all that it refers to.

    Bokeh else looks through each model of a page whenever one comes or goes: three quarters of what a new figure costs the loop that
    all sessions share, and the more the more are there.
    """
    if document is None:
        yield
        return
    manager: Any = document.models

    def attach() -> None:
        for model in added.references() - set(manager):
            model._attach_document(document)
            manager._new_models.add(model)
            manager._models[model.id] = model
            if model.name is not None:
                manager._models_by_name.add_value(model.name, model)

    manager.recompute = attach
    try:
        yield
    finally:
        del manager.recompute
