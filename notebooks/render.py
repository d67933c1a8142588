"""Runs the notebooks and writes their outputs, so that they read well without being run: text, and PNG for all that is drawn.

    python notebooks/render.py [NAME ...]        all of them, if none is named

Each notebook is run in a kernel of its own with an empty store. What Jupyter shows live (figures, a lab's page, a page of the
server) is photographed in a headless Chromium; scripts are left out. No output is made by hand. Needs nbclient, ipykernel, Playwright.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
KEPT = ("image/png", "text/markdown", "text/latex", "text/plain")
WIDTH, TALLEST = 1120, 1500
"""Pixels of the picture of a lab's page."""
PATIENCE = 300
"""Seconds for a run and its pictures."""

# -- in the kernel ------------------------------------------------------------------------------------------------------------


def install() -> None:
    """Let this kernel show PNGs of what it would show live."""
    from holoviews.core.dimension import LabelledData
    from IPython import get_ipython
    from IPython.display import IFrame
    from panel.viewable import Viewable

    show = get_ipython().display_formatter.ipython_display_formatter
    show.for_type(LabelledData, _show(figure))
    show.for_type(Viewable, _show(live_lab))
    show.for_type(IFrame, _show(lambda frame: photograph(frame.src, WIDTH, frame.height)))


def _show(taken: Callable[[Any], tuple[bytes, int]]) -> Callable[[Any], None]:
    def show(thing: Any) -> None:
        from IPython.display import Image, display

        answer: list[Any] = []

        def work() -> None:  # Playwright wants a thread without an event loop
            try:
                answer.append(taken(thing))
            except BaseException as error:
                answer.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        if isinstance(answer[0], BaseException):
            raise answer[0]
        png, width = answer[0]
        display(Image(png, width=width))

    return show


def figure(element: Any) -> tuple[bytes, int]:
    """A HoloViews element as PNG, and its width in pixels."""
    import holoviews as hv
    from bokeh.embed import file_html
    from bokeh.resources import INLINE

    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "figure.html"
        page.write_text(file_html(hv.renderer("bokeh").get_plot(element).state, INLINE), encoding="utf-8")
        return photograph(page.as_uri(), 900, 500, only=".bk-Figure", scale=2)


def live_lab(shown: Any) -> tuple[bytes, int]:
    """A lab's page with its run at the end: the same page, served by this kernel for a moment."""
    import panel as pn

    from stabviz.app import link
    from stabviz.app.embedded import embed, page_of

    asked, served = page_of(shown), []

    def again() -> Any:
        made = embed(asked.lab, query=link.write(asked.lab, asked.state), scheduler=asked.scheduler)
        page = page_of(made)
        if page.run is None:
            page.start()
        served.append(page)
        return made

    def ready() -> bool:
        page = served[-1]
        drawn = [slot.frame is not None for frame, slot in page.stage.pairs if frame.visible]
        return page.run is not None and page.run.ended and page.scrubber.n == page.run.frames and all(drawn)

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = pn.serve(again, port=port, address="127.0.0.1", threaded=True, show=False, verbose=False)
    try:
        return photograph(f"http://127.0.0.1:{port}/", WIDTH, TALLEST, ready=lambda: bool(served) and ready())
    finally:
        server.stop()


def photograph(
    url: str, width: int, height: int, only: str = "", scale: float = 1.0, ready: Callable[[], bool] | None = None
) -> tuple[bytes, int]:
    """A page, or one element of it, once its Bokeh documents are drawn (and `ready`). Returns (PNG, width in pixels)."""
    from playwright.sync_api import Error, sync_playwright

    sys.path.insert(0, str(HERE.parent))
    from start import find_browser

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=find_browser(), args=arguments)
        page = browser.new_page(viewport={"width": width, "height": min(height, 700)}, device_scale_factor=scale)
        for _ in range(100):  # a server in another thread may not listen yet
            try:
                page.goto(url, timeout=PATIENCE * 1000)
                break
            except Error:
                page.wait_for_timeout(100)
        page.wait_for_function("() => window.Bokeh?.documents.length && Bokeh.documents.every(d => d.is_idle)", timeout=PATIENCE * 1000)
        end = time.monotonic() + PATIENCE
        while ready is not None and not ready():
            if time.monotonic() > end:
                raise TimeoutError(f"{url} was not ready after {PATIENCE} seconds")
            page.wait_for_timeout(100)
        page.wait_for_timeout(1000 if ready is not None else 300)  # the last frames on their way, and a browser's own drawing
        if only:
            place = page.locator(only).first
            png, wide = place.screenshot(), place.bounding_box()["width"]
        else:
            wide, tall = width, page.evaluate("document.scrollingElement.scrollHeight")
            png = page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": width, "height": min(tall, height)})
        browser.close()
        return small(png), int(wide)


def small(png: bytes) -> bytes:
    """The same picture in at most 256 colours: a third of the bytes."""
    import io

    from PIL import Image

    made = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(255, dither=Image.Dither.NONE).save(made, "PNG", optimize=True)
    return made.getvalue()


# -- outside ------------------------------------------------------------------------------------------------------------------


def clean(output: Any) -> Any | None:
    """An output without scripts and without what only one front end understands; None where nothing is left."""
    if output.output_type == "error":
        raise RuntimeError("\n".join(output.traceback))
    if output.output_type == "stream":
        return output if output.name == "stdout" and not output.text.startswith("Writing ") else None  # %%writefile names a folder
    data = {kind: value for kind, value in output.data.items() if kind in KEPT}
    if "image/png" in data:
        data["text/plain"] = "<picture>"
    if not data or (set(data) == {"text/plain"} and "application/javascript" in output.data):
        return None
    output.data = data
    output.metadata = {kind: value for kind, value in output.metadata.items() if kind in data}
    return output


def joined(outputs: list[Any]) -> list[Any]:
    """What was printed by a cell in one piece, however it came."""
    made: list[Any] = []
    for output in outputs:
        if made and made[-1].output_type == output.output_type == "stream":
            made[-1].text += output.text
        else:
            made.append(output)
    return made


def render(path: Path) -> float:
    """Run a notebook and write its outputs. Returns the seconds that its cells took."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    prelude = nbformat.v4.new_code_cell(f"import sys; sys.path.insert(0, {str(HERE)!r}); import render; render.install()")
    notebook.cells.insert(0, prelude)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["STABVIZ_STORE"] = str(Path(folder) / "store")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        start = time.monotonic()
        NotebookClient(notebook, timeout=2 * PATIENCE, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
        took = time.monotonic() - start
    notebook.cells.remove(prelude)
    for count, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), 1):
        cell.outputs = joined([kept for output in cell.outputs if (kept := clean(output)) is not None])
        cell.execution_count, cell.metadata = count, {}
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}, "language_info": {"name": "python"},
    }  # fmt: skip
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
    return took


def main() -> None:
    """Render the notebooks named, or all."""
    for path in [HERE / f"{name.removesuffix('.ipynb')}.ipynb" for name in sys.argv[1:]] or sorted(HERE.glob("*.ipynb")):
        print(f"{path.name}: {render(path):.1f} s, {path.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
