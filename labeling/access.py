"""What every request must be before a route sees it, and what every reply carries: safe by default.

Host must be on the allow-list (DNS rebinding); a POST must come from our own page (Origin), say so in a header that no
foreign form can send, be JSON and small; each client has a rate, and each address (of IPv6 each /64) a greater one.
Replies forbid everything that our pages do not need. There is no CORS. Written as plain ASGI: a middleware that buffers
replies would hold up the live events.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "x-twoclips"
MAX_BODY_BYTES = 64 * 1024
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SESSION = re.compile(r"(?:^|; *)twoclips_[0-9a-f]{16}=([A-Za-z0-9_-]{43})(?= *;|$)")
"""The cookie of a session, as sessions.py names and labelers.py makes it; nothing else in a Cookie header tells people
apart."""
_ALWAYS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class RequestRefusedError(Exception):
    """The request is not one of ours; `status` is its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Rate:
    """A token bucket for each client: `burst` requests at once, `per_second` in the long run. Where there are too many
    clients the one that was quiet for longest is forgotten: its bucket is the likeliest to be full again."""

    _MAX_CLIENTS = 10_000

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._burst, self._clock = per_second, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # the latest to ask is the last

    def allows(self, client: str) -> bool:
        now = self._clock()
        left, since = self._buckets.pop(client, (self._burst, now))
        earned = max(0.0, now - since) * self._per_second  # a clock that jumps back gives nothing
        left = min(self._burst, left + earned)
        allowed = left >= 1.0
        if len(self._buckets) >= self._MAX_CLIENTS:
            self._buckets.popitem(last=False)
        self._buckets[client] = (left - 1.0 if allowed else left, now)
        return allowed


class SafeByDefault:
    """ASGI middleware around the whole application. `rate` is for each session, and for all at one address who come
    without one; `address_rate` for all of an address together, since anybody can make up cookies. A whole crowd may sit
    behind one address: it is allowed what one server process can serve."""

    def __init__(
        self, app: ASGIApp, hosts: Iterable[str], rate: Rate | None = None, address_rate: Rate | None = None
    ) -> None:
        self._app, self._hosts = app, frozenset(host.strip("[]").lower() for host in hosts)
        self._rate = rate or Rate(per_second=60.0, burst=240.0)
        self._address_rate = address_rate or Rate(per_second=1200.0, burst=4800.0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    headers[name] = value
                # Pages and modules are asked for each time, and mostly not changed: one of before, beside one of after
                # an upgrade, would send what the server no longer understands.
                headers["cache-control"] = "no-store" if scope["path"].startswith("/api/") else "no-cache"
            await send(message)

        try:
            self._check(scope)
        except RequestRefusedError as refusal:
            await _refuse(refusal, send_safely)
            return
        await self._bounded(scope, receive, send_safely)

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A body without a declared length is bounded while it arrives. The application sees its client go; unless it
        has begun to reply, what it says to that is not sent."""
        seen, has_begun = 0, False

        async def bounded() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            return {"type": "http.disconnect"} if seen > MAX_BODY_BYTES else message

        async def unless_too_large(message: Message) -> None:
            nonlocal has_begun
            has_begun = has_begun or seen <= MAX_BODY_BYTES
            if has_begun:
                await send(message)

        with suppress(ClientDisconnect):
            await self._app(scope, bounded, unless_too_large)
        if not has_begun and seen > MAX_BODY_BYTES:
            await _refuse(_too_large(), send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = _host_name(f"//{headers.get('host', '')}")
        if host not in self._hosts:
            raise RequestRefusedError(
                403, "the pages do not answer to this name: use the address that was printed, or set labeling.host"
            )
        address = _household((scope.get("client") or ("",))[0])
        if not (self._address_rate.allows(address) and self._rate.allows(f"{address} {_session(headers)}")):
            raise RequestRefusedError(429, "too many requests; slow down")
        if scope["method"] in ("GET", "HEAD"):
            return
        if scope["method"] != "POST":
            raise RequestRefusedError(405, "only GET and POST are served")
        origin = headers.get("origin")
        if origin is not None and _netloc(origin) != headers.get("host", "").lower():
            raise RequestRefusedError(403, "the request comes from another site's page")
        if headers.get(HEADER) != "1":
            raise RequestRefusedError(403, f"a POST needs the header {HEADER}: 1")
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise RequestRefusedError(415, "a POST must be application/json")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            raise _too_large()


def _too_large() -> RequestRefusedError:
    return RequestRefusedError(413, f"a body may have {MAX_BODY_BYTES} bytes at most")


def _household(address: str) -> str:
    """Whoever may come from this address: of an IPv6 one its /64, since whoever has one address of that has them all.
    What is no address stands for itself."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])  # a zone may follow it
    except ValueError:
        return address
    if parsed.version == 4 or parsed.ipv4_mapped:
        return str(parsed if parsed.version == 4 else parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def _session(headers: Headers) -> str:
    """A short digest of the first cookie that looks like a session of ours; "" without one."""
    found = _SESSION.search(headers.get("cookie", ""))
    return hashlib.blake2b(found[1].encode(), digest_size=16).hexdigest() if found else ""


def _netloc(address: str) -> str:
    try:
        return urlsplit(address).netloc.lower()
    except ValueError:  # e.g. an open bracket
        return ""


def _host_name(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:  # e.g. an open bracket
        return ""


async def _refuse(refusal: RequestRefusedError, send: Send) -> None:
    body = json.dumps({"error": str(refusal)}).encode()
    headers: list[Any] = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refusal.status == 429:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
