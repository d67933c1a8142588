"""What our browser components share: plain JavaScript without a build, messages up, parameters down.

The browser never writes parameters. It sends messages, `on(event, callback)` receives them with their fields as keyword
arguments; Python answers by setting parameters. What a person is turning at that moment is not overwritten by an older
answer: each message carries a counter, and the state that Python sends back says up to which one it has seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import panel as pn
import param

HERE = Path(__file__).parent


@cache
def module(name: str) -> str:
    """The source of a component: what all share, then its own file."""
    shared = (HERE / "base.js").read_text(encoding="utf-8")
    return shared + "\n" + (HERE / name).read_text(encoding="utf-8")


class Component(pn.custom.JSComponent):
    """A browser component of ours. `reserve` is the height in pixels that the page keeps free until it is there."""

    css = param.String("", doc="The style sheet, only where the page around does not have it (a notebook).")
    seen = param.Integer(0, doc="Counter of the last message that Python has dealt with.")

    _esm = "export function render() {}"
    _bundle_path = None  # else Panel looks through the folders of all packages around for a bundle, for each component
    reserve: int = 0

    def __init__(self, **params: Any):
        params.setdefault("sizing_mode", "stretch_width")
        params.setdefault("margin", 0)
        param.parameterized.no_instance_params(type(self))  # none is set for one alone, and copies are a sixth of a page's price
        super().__init__(**params)
        self._listeners: dict[str, list[Callable[..., None]]] = {}

    def _get_properties(self, doc: Any) -> dict[str, Any]:
        """Say that the source is ready as it is: Panel would translate it from TypeScript in the browser, once for each component there."""
        ready = hashlib.sha256(str(self._esm).encode()).hexdigest()
        return {**super()._get_properties(doc), "bundle": f"{type(self).__name__}-{ready[:16]}"}

    @classmethod
    def _patch_datamodel_ref(cls, props: Any, ref: str) -> None:
        """Tell the data which page they belong to, as Panel does at every change, but without a walk through all that they show.

        That is a figure of a hundred models and more, and took longer than all else that a frame costs the loop. Parts that bring data
        of their own are components, which do this themselves.
        """
        tag = f"__ref:{ref}"
        if tag not in props.tags:
            props.tags.append(tag)

    def _link_props(self, *args: Any, **options: Any) -> None:
        """Nothing: Panel would listen to each parameter of each part, though the browser writes none, and none is taken from it."""

    def on(self, event: str, callback: Callable[..., None]) -> None:
        """Call `callback(**fields)` when the browser sends `event`."""
        self._listeners.setdefault(event, []).append(callback)

    def emit(self, event: str, **fields: Any) -> None:
        """Tell the listeners of `event`."""
        for callback in self._listeners.get(event, []):
            callback(**fields)

    def _handle_msg(self, data: Any) -> None:
        fields = {str(name): value for name, value in data.items()}
        event, count = str(fields.pop("event")), int(fields.pop("n", 0))
        with param.parameterized.batch_call_watchers(self):
            self.seen = max(self.seen, count)
            handler = getattr(self, f"_got_{event}", None)
            if handler is None:
                self.emit(event, **fields)
            else:
                handler(**fields)
