"""RunBar: run, pause, step, reset, and what the run is doing. Its height never changes.

Parameters
    status    "" (no run yet) "waiting" "compiling" "running" "paused" "finished" "diverged" "failed" "cancelled" or a named stop
    progress  {"step", "steps", "rate" (steps a second), "left" (seconds or None)}
    sentence  said instead of the usual words (why it failed, at which step it diverged)
    mark      "" | "bad" | "held": colour of the words and of the line; by default from the status
    label     text of the first button instead of Run, Pause, Resume, Run again; it then means `run`
    can       {"run": bool, "step": bool, "reset": bool}
Events
    run()  pause()  resume()  step()  reset(): from the buttons (keys come through Browser)
"""

from __future__ import annotations

from typing import Any

import param

from stabviz.app.components.base import Component, module


class RunBar(Component):
    """The bar above the views. Parameters and events: see the head of this file."""

    status = param.String("")
    progress = param.Dict({"step": 0, "steps": 0, "rate": 0.0, "left": None})
    sentence = param.String("")
    mark = param.String("")
    label = param.String("")
    can = param.Dict({"run": True, "step": True, "reset": True})

    _esm = module("run_bar.js")
    reserve = 44

    def show(self, status: str, step: int, steps: int, rate: float = 0.0, left: float | None = None, sentence: str = "") -> None:
        """Set status, progress and sentence at once; nothing is sent where nothing changed."""
        left = None if left is None else float(left)
        progress = {"step": int(step), "steps": int(steps), "rate": float(rate or 0.0), "left": left}
        new: dict[str, Any] = {"status": status, "sentence": sentence, "progress": progress}
        self.param.update(**{name: value for name, value in new.items() if getattr(self, name) != value})
