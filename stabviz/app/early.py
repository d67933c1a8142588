"""The head of a page is sent before the page is made: it is the same for all, and the browser runs its scripts meanwhile."""

from __future__ import annotations

import weakref
from typing import Any, ClassVar

import panel as pn
from bokeh.server.auth_provider import NullAuth
from bokeh.server.urls import per_app_patterns
from panel.io.server import DocHandler

from stabviz.app import theme

OWN = "<!-- what is this page's own -->"
"""Stands in the template where that begins; all before it is the head that is sent early."""


class Page(DocHandler):
    """Panel's handler of a page. The first page of a kind is sent as Panel does it; the next ones begin with the head that it had."""

    _heads: ClassVar[weakref.WeakKeyDictionary[Any, dict[Any, str]]] = weakref.WeakKeyDictionary()
    """Of each application, the heads by what they depend on."""
    _sent = ""

    @property
    def _kind(self) -> Any:
        arguments = self.request.arguments
        return "lab" in arguments or "run" in arguments, arguments.get("page", [b""])[0], self.get_cookie(theme.COOKIE) == "dark"

    async def get(self, *args: Any, **options: Any) -> None:
        """Send the head, if it is known and nothing but the page can follow, then the rest."""
        head = self._heads.get(self.application_context, {}).get(self._kind)
        open_to_all = isinstance(self.application.auth_provider, NullAuth) and pn.config.authorize_callback is None
        asked = {name for name in self.request.arguments if name.startswith("bokeh-") or name == "layout"}
        if head and open_to_all and not asked and not self.application.prefix:
            self.set_header("Content-Type", "text/html")
            self.set_header("Cache-Control", "no-store")  # as Panel says it of the whole page
            super().write(head)
            try:
                await self.flush()
            except OSError:  # the visitor has gone: no page is made
                return
            self._sent = head
        await super().get(*args, **options)

    def write(self, chunk: Any) -> None:
        """Send a page, without the head where that has been sent."""
        head, own, rest = chunk.partition(OWN) if isinstance(chunk, str) else ("", "", "")
        if own and "layout" not in self.request.arguments:
            known = self._heads.setdefault(self.application_context, {})
            known[self._kind] = head
            while len(known) > 16:
                known.pop(next(iter(known)))
        if own and self._sent:
            sent = set(self._sent.splitlines())
            new = [line for line in head.splitlines() if line not in sent]  # a script that was not needed when that head was made
            chunk = "\n".join([*new, own + rest])
        super().write(chunk)


def install() -> None:
    """Servers that are made from now on send heads early."""
    per_app_patterns[:] = [(route, Page if handler is DocHandler else handler, *more) for route, handler, *more in per_app_patterns]
