"""What one more frame of a run costs on the way to the browser, counted: changes and bytes, with every view on the screen."""

from __future__ import annotations

import numpy as np
import xarray as xr
from bokeh.document import Document
from bokeh.protocol import Protocol

from stabviz.app.live import Picture, Slot
from stabviz.lab import Lab


def lengthened(dataset: xr.Dataset, frames: int) -> xr.Dataset:
    """A short run repeated until it has so many frames: what goes over the wire depends on their number, not on what they say."""
    many = dataset.isel(step=np.resize(np.arange(dataset.sizes["step"]), frames))
    return many.assign_coords(step=10 * np.arange(frames))


def last_frame(lab: Lab, dataset: xr.Dataset, system: str) -> dict[str, tuple[int, int]]:
    """View -> (changes, bytes) that its last frame sends, the one before being on the page. Each change is a message at most."""
    frames, found = dataset.sizes["step"], {}
    for view in lab.views:
        if not view.suits(system, dataset):
            continue
        picture, slot = Picture(view), Slot(view)
        before, last = (picture.draw(n, dataset.isel(step=slice(0, n))) for n in (frames - 1, frames))
        slot.make(before)
        slot.show(before, follow=True)
        document, changes = Document(), []
        document.add_root(slot.box.get_root(document))
        document.on_change(changes.append)
        slot.show(last, follow=True)
        slot.moment(None if last.places is None else float(last.places[-1]))
        found[view.slug] = len(changes), sum(map(_size, changes))
    return found


def _size(change: object) -> int:
    message = Protocol().create("PATCH-DOC", [change])
    texts = len(message.header_json) + len(message.metadata_json) + len(message.content_json)
    return texts + sum(memoryview(buffer.to_bytes()).nbytes for buffer in message.buffers)
