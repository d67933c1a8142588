"""One address for everything: the query decides which page a session shows."""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import os
import socket
import sys
import threading
import time
import weakref
from html import escape
from typing import Any
from urllib.parse import urlencode

import panel as pn
from bokeh.settings import settings

from stabviz.app import downloads, early, gallery, link, pace, runs, scores, shell
from stabviz.app.components import Browser
from stabviz.app.lab_page import LabPage
from stabviz.app.pace import again_and_again
from stabviz.control import ControlError
from stabviz.job import RunError
from stabviz.lab import UnknownLab, lab, labs, offer
from stabviz.limits import Limits
from stabviz.own import OwnFile, lab_of
from stabviz.scheduler import Scheduler, default_scheduler
from stabviz.store import Store, StoreError


def query() -> str:
    """The query of this session's request, from the question mark on."""
    arguments = pn.state.session_args or {}
    items = [(name, value.decode("utf-8", "replace")) for name, values in arguments.items() for value in values]
    return "?" + urlencode(items) if items else ""


def build(scheduler: Scheduler | None = None, own: OwnFile | None = None) -> Any:
    """The page that this session asks for. `own`: a file of one's own, loaded again where it has changed."""
    calm()
    scheduler = scheduler or default_scheduler(_from_environment)
    host = (pn.state.headers or {}).get("Host", "")
    if not scheduler.limits.knows(host):
        return not_found(f"This server does not go by the name {host[:80]!r}.", "")
    if own is not None:
        own.refresh()
        if own.error:
            return broken(own)
    arguments = pn.state.session_args or {}
    wanted = arguments.get("lab")
    if arguments.get("page") == [b"scoreboard"]:
        return scores.page()
    if arguments.get("page") == [b"runs"]:
        return runs.page(scheduler)
    if "run" in arguments and not wanted:
        return stored_page(scheduler, own)
    if not wanted:
        return gallery.page()
    slug = wanted[0].decode("utf-8", "replace")
    try:
        found = lab(slug)
    except UnknownLab as error:
        return not_found(str(error))
    if found.missing:
        return not_found(found.missing)
    return lab_page(found, scheduler, own)


def _from_environment() -> Scheduler:
    """The scheduler of `panel serve app.py`, with the limits that the environment says."""
    return limited(None, Limits.from_environment(os.environ))


def limited(store: Any, limits: Limits) -> Scheduler:
    """A scheduler with limits, of a store (or its address, or None for the usual one) that keeps to them too."""
    store = store if isinstance(store, Store) else Store(store)
    return Scheduler(store.limited(limits.read_only, limits.quota), limits=limits)


def stored_page(scheduler: Scheduler, own: OwnFile | None = None) -> Any:
    """The page of a run of the store, by its name alone (`?run=ID`); with `do=fork` that of a new run from its last state."""
    arguments = pn.state.session_args or {}
    name, do = (arguments.get(word, [b""])[0].decode("utf-8", "replace") for word in ("run", "do"))
    try:
        found, words = runs.link_of(scheduler, name, fork=do == "fork")
    except (LookupError, RunError, StoreError, ControlError) as error:
        return not_found(str(error), '<a href="?page=runs">All runs</a>')
    return lab_page(found, scheduler, own, words)


def broken(own: OwnFile) -> Any:
    """The page of a file that cannot be loaded; it becomes the lab's page when the file is saved and right."""
    browser = Browser()
    body = f'<div class="gal"><h1>{escape(own.path.name)} has an error</h1><p class="lead">{escape(own.error)}</p></div>'
    template = shell.page(window_title="stabviz", body=body, browser=browser)
    _reload_when_saved(own, browser)
    return template


def _reload_when_saved(own: OwnFile, browser: Browser) -> None:
    version = own.version

    def look() -> None:
        if own.changed() or own.version != version:
            browser.reload()

    again_and_again(look, lambda: 1.0)


def not_found(sentence: str, back: str = '<a href="?">All labs</a>') -> Any:
    """A page that says what is missing and leads back (`back`: HTML)."""
    body = f'<div class="gal"><h1>Nothing here</h1><p class="lead">{escape(sentence)}</p><p>{back}</p></div>'
    return shell.page(window_title="stabviz", body=body, browser=Browser())


def lab_page(found: Any, scheduler: Scheduler, own: OwnFile | None = None, words: str = "") -> Any:
    """The page of a lab, which looks for what is new. `words`: the link that it shows, if not that of the request."""
    browser = Browser()
    if own is not None and found.slug in own.labs:
        _reload_when_saved(own, browser)
    page = LabPage(found, words or query(), scheduler, browser)
    lesson, paper = page.state.lesson, found.paper
    venue = paper.venue.partition("(")[0].strip()
    when = venue if str(paper.year) in venue else f"{venue} {paper.year}".strip()
    source = f" {escape(paper.short.rsplit(' ', 1)[0])}, {escape(when)}" if paper.title else ""
    tagline = f"{escape(found.tagline.rstrip('.'))}.{source}"
    template = shell.page(
        found.title, tagline=tagline, description=found.tagline, browser=browser,
        left=[page.controls], middle=[page.notice, page.bar], views=page.stage.frames, dock=[page.scrubber],
        right=[part for word, part in (("claims", page.claims), ("questions", page.quiz.card)) if word not in lesson.hide],
        tabs=lesson.tabs(link.TABS), tab=page.state.tab, panes=page.parts.panes, share=[page.sharing.button], layout=lesson.layout,
    )  # fmt: skip
    template.sv_tabs.on("tab", page.tab)
    page.tabs = template.sv_tabs
    again_and_again(page.tick, lambda: page.pace.seconds)
    me = weakref.ref(page)
    pn.state.on_session_destroyed(lambda context: (p := me()) is not None and p.close())
    template.sv_page = page
    return template


def serve(port: int, address: str, show: bool, store: Any, of: Any = None, limits: Limits | None = None, **options: Any) -> Any:
    """See `stabviz.app.serve`."""
    own = OwnFile(of) if isinstance(of, str | os.PathLike) else None
    if of is not None and own is None:
        offer(lab_of(of))
    if limits is not None:
        scheduler = limited(store, limits)
    else:
        scheduler = default_scheduler() if store is None else Scheduler(store if isinstance(store, Store) else Store(store))
    if options.get("threaded") and not port:
        port = _free_port(address)
    if limits is not None and limits.hosts:
        given = options.get("websocket_origin") or []
        own_names = [f"{host}:{port}" for host in (*limits.hosts, "localhost", "127.0.0.1") if ":" not in host]
        options["websocket_origin"] = [*([given] if isinstance(given, str) else given), *limits.hosts, *own_names]
    options["extra_patterns"] = [*options.get("extra_patterns", []), *downloads.patterns(scheduler)]
    calm()
    early.install()
    threading.Thread(target=acquaint, name="stabviz-acquaint", daemon=True).start()
    server = pn.serve({"/": lambda: build(scheduler, own)}, port=port, address=address, show=show, title="stabviz", **options)
    if options.get("threaded"):
        _wait_for(port, address)
        server.port = port
    return server


def acquaint(rest: float = 0.5) -> None:
    """Import what the labs' pages need, one lab after the other, so that a lab's first visitor does not wait for it."""
    for found in labs().values():
        time.sleep(rest)
        with contextlib.suppress(Exception):  # its page will say what is wrong with it
            _ = found.systems, found.views, found.claims


def _free_port(address: str) -> int:
    """A port that nobody listens at: a server in another thread does not tell which one it took."""
    with socket.socket() as probe:
        probe.bind((address or "127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, address: str, seconds: float = 20) -> None:
    """Return when a server that starts in another thread listens."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex((address or "127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)


HARMLESS = ("WebSocketClosedError", "connection was closed", "CancelledError", "from periodic callback:")


class _Quiet(logging.Filter):
    """A page that is closed while frames are on their way is nothing to report."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage() + str(record.exc_info or "")
        return not any(words in text for words in HARMLESS)


@functools.cache
def calm() -> None:
    """Settings of a process that serves: threads take turns quickly, garbage is looked for rarely, closed pages are nothing to log.

    A worker gives the interpreter lock away at every file and every program that it waits for, and at Python's 5 ms a turn it
    would wait for the drawing thread most of the time. Looking for garbage stops all threads, for a third of a second when it goes
    through everything, which by default it does once in some five pages made: what was there before the first session (libraries, for the
    most part) is looked through no more, and the rest a tenth as often. Panel looks whenever a session has ended.
    """
    sys.setswitchinterval(0.0005)
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    settings.perform_document_validation.set_value(False)  # looks through every model of a new page for mistakes of ours
    for name in ("bokeh.server.views.ws", "bokeh.util.tornado", "tornado.application", "asyncio", pace.__name__):
        logger = logging.getLogger(name)
        if not any(isinstance(f, _Quiet) for f in logger.filters):
            logger.addFilter(_Quiet())
