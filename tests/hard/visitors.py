"""Visitors of served pages, as browsers are: they read a page, open its socket, send what its components send, keep what those are told."""

from __future__ import annotations

import asyncio
import html
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

from bokeh.client.connection import HTTPRequest, websocket_connect
from bokeh.protocol import Protocol
from bokeh.protocol.receiver import Receiver

PROTOCOL = Protocol()
OPEN: set[Visitor] = set()
"""Those who are on a page."""


async def fetch(address: str, query: str = "") -> tuple[int, str]:
    """(status, text) of a page."""

    def get() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"{address}/{query}", timeout=120) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    return await asyncio.to_thread(get)


class Visitor:
    """One session. `open` a page, `send` what a component sends, look at `part`s, `until` something is so, `close`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.errors: list[str] = []
        self.html = ""
        self.said: list[Any] = []
        """What components were told beside their parameters."""
        self.messages = 0
        """Changes that the page was told."""
        self._parts: dict[str, str] = {}
        self._models: dict[str, dict[str, Any]] = {}
        self._hosts: dict[str, str] = {}
        self._sent: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._back: asyncio.Future[None] | None = None
        self._ws: Any = None
        self._reader: asyncio.Task[None] | None = None

    async def open(self, query: str = "", **words: Any) -> Visitor:
        """Open a page, as a browser does: its HTML, then its socket."""
        code, self.html = await fetch(self.address, query or "?" + urlencode(words))
        assert code == 200, (code, self.html[:300])
        token = re.search(r'"token":"([^"]+)"', self.html)
        assert token, self.html[:300]
        request = HTTPRequest(self.address.replace("http", "ws", 1) + "/ws", request_timeout=120, connect_timeout=120)
        OPEN.add(self)
        self._ws = await websocket_connect(request, subprotocols=["bokeh", token[1]], max_message_size=2**28)
        receiver = Receiver(PROTOCOL)
        assert (await self._receive(receiver)).msgtype == "ACK"
        await self._message(PROTOCOL.create("PULL-DOC-REQ"))
        while (message := await self._receive(receiver)).msgtype != "PULL-DOC-REPLY":
            pass
        self._learn(message.content)
        self._reader = asyncio.create_task(self._read(receiver))
        await self._event("document_ready", {"type": "map"})
        if "Browser" in self._parts:
            await self.send("Browser", "here")
        return self

    async def send(self, component: str, event: str, **fields: Any) -> None:
        """What a component sends when a person does something."""
        host = self._hosts[component]
        self._sent[component] = n = self._sent.get(component, 0) + 1
        data = _map({"event": event, "n": n, **fields})
        await self._event("data_event", _map({"model": {"id": host}}) | {"entries": [["model", {"id": host}], ["data", data]]})

    def part(self, component: str) -> dict[str, Any]:
        """The parameters of a component as the page knows them (those at their defaults are left out)."""
        return self._models[self._parts[component]]

    @property
    def status(self) -> str:
        """What the run bar says of the run."""
        return str(self.part("RunBar").get("status", ""))

    @property
    def frames(self) -> int:
        """Frames that the scrubber knows."""
        return int(self.part("Scrubber").get("n", 0))

    @property
    def query(self) -> str:
        """What stands in the address bar."""
        return str(self.part("Browser").get("query", ""))

    @property
    def notice(self) -> str:
        """What is said above the views."""
        return html.unescape(re.sub(r"<[^>]*>", "", str(self.part("Words").get("object", ""))))

    async def until(self, fact: Callable[[], Any], seconds: float = 120) -> Any:
        """Wait until something is so of the page (looked at with each change)."""
        end = time.monotonic() + seconds
        while not (found := fact()):
            self._changed.clear()
            left = end - time.monotonic()
            assert left > 0, f"never came true: {[self.part(p) for p in ('RunBar', 'Words') if p in self._parts]} {self.errors}"
            try:
                await asyncio.wait_for(self._changed.wait(), min(left, 1.0))
            except TimeoutError:
                assert not self._gone, "the server has closed the session"
        return found

    async def roundtrip(self) -> float:
        """Seconds until the server's loop has answered."""
        start = time.perf_counter()
        self._back = asyncio.get_running_loop().create_future()
        await self._message(PROTOCOL.create("SERVER-INFO-REQ"))
        await asyncio.wait_for(self._back, 120)
        return time.perf_counter() - start

    async def close(self) -> None:
        """Leave, as a tab that is closed."""
        OPEN.discard(self)
        if self._ws is not None:
            self._ws.close()
        if self._reader is not None:
            await asyncio.wait([self._reader], timeout=5)  # it ends when the server has said goodbye
            self._reader.cancel()

    # -- the protocol ---------------------------------------------------------------------------------------------

    @property
    def _gone(self) -> bool:
        return self._reader is not None and self._reader.done()

    async def _receive(self, receiver: Receiver) -> Any:
        while True:
            fragment = await self._ws.read_message()
            if fragment is None:
                raise ConnectionError("the server has closed the session")
            message = await receiver.consume(fragment)
            if message is not None:
                return message

    async def _message(self, message: Any) -> None:
        for part in (message.header_json, message.metadata_json, message.content_json):
            await self._ws.write_message(part)

    async def _event(self, name: str, values: dict[str, Any]) -> None:
        event = {"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": {"type": "event", "name": name, "values": values}}
        header = PROTOCOL.create("SERVER-INFO-REQ").header | {"msgtype": "PATCH-DOC"}
        for part in (header, {}, {"events": [event]}):
            await self._ws.write_message(json.dumps(part))

    async def _read(self, receiver: Receiver) -> None:
        while True:
            try:
                message = await self._receive(receiver)
            except ConnectionError:
                return
            if message.msgtype == "ERROR":
                self.errors.append(str(message.content)[:2000])
            elif message.msgtype == "SERVER-INFO-REPLY" and self._back is not None and not self._back.done():
                self._back.set_result(None)
            elif message.msgtype == "PATCH-DOC":
                self.messages += 1
                self._apply(message.content["events"])
                self._changed.set()

    def _learn(self, content: Any) -> None:
        for one in _objects(content):
            attributes = one["attributes"]
            self._models[one["id"]] = {name: _plain(value) for name, value in attributes.items()}
            data = attributes.get("data")
            if one["name"].endswith("ReactiveESM") and isinstance(data, dict) and attributes["class_name"] not in self._parts:
                self._parts[attributes["class_name"]], self._hosts[attributes["class_name"]] = data["id"], one["id"]

    def _apply(self, events: list[Any]) -> None:
        for event in events:
            self._learn(event)
            if event.get("kind") == "MessageSent":
                self.said.append(_plain(event["msg_data"].get("values", {})))
            if event.get("kind") == "ModelChanged":
                self._models.setdefault(event["model"]["id"], {})[event["attr"]] = _plain(event["new"])


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if value.get("type") == "object" and "attributes" in value:
            yield value
        for inner in value.values():
            yield from _objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(x) for x in value]
    if isinstance(value, dict) and value.get("type") == "map":
        return {_plain(k): _plain(v) for k, v in value.get("entries", [])}
    return value


def _map(values: dict[str, Any]) -> dict[str, Any]:
    return {"type": "map", "entries": [[k, _map(v) if isinstance(v, dict) else v] for k, v in values.items()]}
