"""A notebook in a real JupyterLab, in a browser that reaches nothing but this machine."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

CELLS = (
    "import sys\nsys.path.insert(0, {tests!r})\nimport toy_lab\nimport stabviz as sv\nsv.notebook()",
    "lab = toy_lab.toy_lab()\ntoy_lab.PAUSE['seconds'] = 0.05\nlab.run(steps=40, frames=4).wait().view()",
    "lab.panel()",
    "print('the cells are done')",
)
SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension/tracker": {"autoStartDefaultKernel": True, "windowingMode": "none"},
}

RUN_ALL = """async () => {
  const app = window.jupyterapp, notebook = app.shell.currentWidget;
  await notebook.context.ready;
  await notebook.sessionContext.ready;
  await notebook.sessionContext.session.kernel.info;
  await app.commands.execute('notebook:run-all-cells');
}"""
MODELS = "window.Bokeh.documents.flatMap(d => [...d._all_models.values()])"
CURVES = f"() => {MODELS}.filter(m => m.type == 'ColumnDataSource' && m.data.mean)"
MARKED = f"() => {MODELS}.some(m => m.data?.marks?.length == 1)"
LENGTH = f"() => Math.max(0, ...({CURVES})().map(s => s.data.mean.length))"
DRAWN = f"() => Math.max(0, ...({CURVES})().map(s => s.data.mean.length)) > 6"


@pytest.fixture
def jupyter(tmp_path: Path, store_url: str) -> Iterator[str]:
    """Address of a notebook in a JupyterLab with settings of its own."""
    if importlib.util.find_spec("jupyterlab") is None:
        pytest.skip("JupyterLab is not installed")
    notebook = {
        "cells": [
            {"cell_type": "code", "execution_count": None, "id": f"cell-{i}", "metadata": {}, "outputs": [],
             "source": source.replace("{tests!r}", repr(str(Path(__file__).parent / "app")))}
            for i, source in enumerate(CELLS)
        ],
        "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
        "nbformat": 4, "nbformat_minor": 5,
    }  # fmt: skip
    files = tmp_path / "files"
    files.mkdir()
    (files / "toy.ipynb").write_text(json.dumps(notebook))
    for name, values in SETTINGS.items():
        place = tmp_path / "settings" / f"{name}.jupyterlab-settings"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(values))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {"CONFIG": "config", "DATA": "data", "RUNTIME": "run"}
    environment = os.environ | {f"JUPYTER_{name}_DIR": str(tmp_path / folder) for name, folder in own.items()} | {
        "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces"),
        "IPYTHONDIR": str(tmp_path / "ipython"), "PYTHONPATH": str(Path(__file__).parent.parent),
    }  # fmt: skip
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--IdentityProvider.token=",
        "--expose-app-in-browser", "--LabApp.extension_manager=readonly", f"--ServerApp.root_dir={files}",
    ]  # fmt: skip
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, env=environment, stdout=log, stderr=log) as server:
        try:
            end = time.monotonic() + 120
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status", timeout=5).close()
                    break
                except OSError:
                    assert server.poll() is None and time.monotonic() < end, (tmp_path / "log").read_text()
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/doc/tree/toy.ipynb"
        finally:
            server.terminate()


@pytest.mark.timeout(400)
def test_a_lab_is_live_in_jupyterlab_without_a_network(page, jupyter) -> None:
    """The cells come back at once, the plot grows while the run goes on, a slider answers, and nothing is asked of any other machine."""
    foreign: list[str] = []
    errors: list[str] = []
    here = re.match(r"http://([^/]+)/", jupyter)[1]

    def guard(route) -> None:
        url = route.request.url
        if re.match(rf"(http|ws)://{re.escape(here)}/|data:|blob:", url):
            route.continue_()
        else:
            foreign.append(url)
            route.abort()

    page.route("**/*", guard)
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_default_timeout(120_000)
    page.goto(jupyter)
    page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.context")
    page.evaluate(RUN_ALL)
    page.get_by_text("the cells are done", exact=True).wait_for()
    assert page.locator(".jp-OutputArea .bk-Figure canvas").count() >= 1, "a picture of a run"

    before = page.evaluate(LENGTH)
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_function(DRAWN)
    first = page.evaluate(LENGTH)
    page.wait_for_function(f"n => ({LENGTH})() > n + 5", arg=first)
    assert first > before or before <= 5

    rate = page.get_by_role("slider", name=re.compile("rate")).first
    value = page.get_by_role("textbox", name="rate", exact=True)
    was = value.input_value()
    rate.focus()
    rate.press("ArrowLeft")
    page.wait_for_function(MARKED)  # beside the scrubber: what was turned, and when
    assert value.input_value() != was
    length = page.evaluate(LENGTH)
    page.wait_for_function(f"n => ({LENGTH})() > n + 5", arg=length)  # the child run goes on
    page.get_by_role("button", name="Reset", exact=True).click()
    assert page.evaluate("location.search") == "", "the address is JupyterLab's"
    assert (foreign, errors) == ([], [])
