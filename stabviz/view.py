"""A view: a picture of a run and one sentence with its numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr


@dataclasses.dataclass(frozen=True)
class View:
    """A picture of a run, the same one live, replayed, in a notebook and in a report.

    Attributes:
        draw: pure function of a Dataset that returns a HoloViews element, of the same structure whatever the number of frames.
        sentence: pure function of the same Dataset: one sentence with the numbers that the picture shows.
        kind: `"history"` gets all frames (the page marks the moment shown); `"moment"` gets those up to the moment.
        systems: names of the lab's Systems that it can show (None: all). wide: across the whole column. height: pixels of the plot.
        square: drawn on a square, for a picture whose two axes have one scale.
        when: whether it has anything to show of a run, from its Dataset (its controls, say); the page leaves it out otherwise.
        instrument: the one that must be at work.
    """

    slug: str
    title: str
    draw: Callable[[xr.Dataset], Any]
    sentence: Callable[[xr.Dataset], str]
    kind: str = "history"
    systems: tuple[str, ...] | None = None
    wide: bool = False
    height: int = 190
    square: bool = False
    doc: str = ""
    when: Callable[[xr.Dataset], bool] | None = None
    instrument: str = ""

    def suits(self, system: str, dataset: xr.Dataset | None = None) -> bool:
        """Whether it can show runs of a System of the lab, and this one if it has begun."""
        *instruments, base = system.split(":")
        if (self.instrument and self.instrument not in instruments) or (self.systems is not None and base not in self.systems):
            return False
        return self.when is None or dataset is None or not dataset.sizes.get("step") or bool(self.when(dataset))

    def picture(self, dataset: xr.Dataset, width: int = 720) -> Any:
        """The view by itself, with a title and a size in pixels: a HoloViews element for a notebook."""
        element, height = self.draw(dataset), max(self.height, 280)
        size = {"frame_width": height, "frame_height": height} if self.square else {"width": width, "height": height}
        return element.opts(title=self.title, show_legend=False, **size)
