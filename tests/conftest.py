"""What every test gets: strict JAX, a store of its own, warm compilations, a browser where there is one."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import socket
import tempfile
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest

from start import find_browser

REPOSITORY = Path(__file__).resolve().parent.parent


def _machine() -> str:
    """A short name of this processor: compiled code is not carried from one kind to another."""
    try:
        flags = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        flags = platform.processor()
    return hashlib.sha256(f"{platform.machine()} {flags}".encode()).hexdigest()[:8]


def _environment(folder: str, quick: bool) -> dict[str, str]:
    """Environment of the tests and of every process that they start. quick: programs are made soon and run slower; most run once."""
    # In jaxlib 0.10 these two make compiling cost two fifths of the CPU. One that a later XLA does not know would end the process.
    flags = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
    quick = quick and version("jaxlib").startswith("0.10.")
    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return {
        "STABVIZ_STORE": str(Path(folder) / "store"),
        "JAX_PLATFORMS": os.environ.get("JAX_PLATFORMS", "cpu"),
        "JAX_COMPILATION_CACHE_DIR": os.environ.get("JAX_COMPILATION_CACHE_DIR", str(cache_home / "stabviz" / f"jax-tests-{_machine()}")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", flags if quick else ""),
    }


def pytest_configure(config: pytest.Config) -> None:
    folder = tempfile.mkdtemp(prefix="stabviz-tests-")
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ.update(_environment(folder, quick="not benchmark" in (config.option.markexpr or "")))
    import jax

    jax.config.update("jax_numpy_rank_promotion", "raise")


@cache
def browser_path() -> str | None:
    """A Chromium of the system, "" for the one that Playwright fetched, None where there is none."""
    if found := find_browser():
        return found
    from playwright.sync_api import Error, sync_playwright

    try:
        with sync_playwright() as playwright:
            playwright.chromium.launch().close()
    except Error:
        return None
    return ""


LONG = ("test_lab_page", "test_jupyter", "test_notebooks", "test_labs", "test_runs_page")
"""Files that take longest begin first, so that no process is left alone with one at the end."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark by place and by fixture; browser tests come last, since Playwright keeps an event loop in the main thread."""
    for item in items:
        if "benchmarks" in item.path.relative_to(REPOSITORY).parts:
            item.add_marker("benchmark")
        if {"page", "browser"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("browser")
    items.sort(key=lambda item: (item.get_closest_marker("browser") is not None, item.path.stem not in LONG))
    if any(item.get_closest_marker("browser") for item in items) and browser_path() is None:
        for item in items:
            if item.get_closest_marker("browser"):
                item.add_marker(pytest.mark.skip(reason="no Chromium on this machine: install one (chromium or google-chrome on PATH)"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The top of the checkout."""
    return REPOSITORY


@pytest.fixture
def store_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty store for this test alone, also for what it starts."""
    url = str(tmp_path / "store")
    monkeypatch.setenv("STABVIZ_STORE", url)
    return url


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict) -> dict:
    args = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    found = browser_path()
    return {**browser_type_launch_args, "args": args, **({"executable_path": found} if found else {})}


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict) -> dict:
    return {**browser_context_args, "viewport": {"width": 1440, "height": 900}}


@pytest.fixture(scope="session")
def profile(browser_type, browser_type_launch_args: dict, browser_context_args: dict, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """A browser with a folder of its own, as people have: it keeps scripts compiled, which is half of what opening a page costs it."""
    folder = tmp_path_factory.mktemp("profile")
    made = browser_type.launch_persistent_context(str(folder), **browser_type_launch_args, **browser_context_args)
    yield made
    made.close()


@pytest.fixture
def context(profile) -> Iterator:
    """The one browser of all tests that take a `page`; cookies, permissions and open pages do not outlive a test."""
    yield profile
    for page in profile.pages[1:]:  # without its first, blank one it would end
        page.close()
    profile.clear_cookies()
    profile.clear_permissions()


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the app, served by this process with a store of its own: tests and pages share its runs."""
    from stabviz.app import serve

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    here = f"127.0.0.1:{port}"
    server = serve(port=port, store=str(tmp_path_factory.mktemp("served")), threaded=True, websocket_origin=here)
    yield f"http://{here}/"
    server.stop()


@pytest.fixture
def quiet(page):
    """The page under watch: no console error, no exception, no request that leaves this machine."""
    seen: dict[str, list[str]] = {"errors": [], "foreign": []}
    local = ("http://127.0.0.1", "ws://127.0.0.1", "http://localhost", "ws://localhost", "data:", "blob:", "about:")
    page.on("console", lambda message: seen["errors"].append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: seen["errors"].append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(local) else seen["foreign"].append(request.url))
    yield seen
    assert seen == {"errors": [], "foreign": []}
