"""The browser components of the pages. Each file says its parameters and events at its head."""

from stabviz.app.components.browser import Browser
from stabviz.app.components.claims import Claims, TryThis, card
from stabviz.app.components.compare import Compare
from stabviz.app.components.controls import Controls, kick_row, row
from stabviz.app.components.instruments import Instruments
from stabviz.app.components.run_bar import RunBar
from stabviz.app.components.runs import Runs
from stabviz.app.components.scrubber import Scrubber
from stabviz.app.components.share import Share
from stabviz.app.components.sweep import Sweep
from stabviz.app.components.tabs import Tabs
from stabviz.app.components.view_frame import ViewFrame
from stabviz.app.components.words import Words

__all__ = [
    "Browser", "Claims", "Compare", "Controls", "Instruments", "RunBar", "Runs", "Scrubber", "Share", "Sweep", "Tabs", "TryThis",
    "ViewFrame", "Words", "card", "kick_row", "row",
]  # fmt: skip
