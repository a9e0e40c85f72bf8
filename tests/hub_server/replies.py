"""Questions and answers of HTTP, as the server's parts pass them on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tests.hub_server.repository import Blob

NAME = r"(?P<name>[^/]+(?:/[^/]+)?)"


@dataclass(frozen=True)
class Request:
    """A question; the path is quoted as it came."""

    method: str
    path: str
    query: str
    token: str | None
    body: bytes = b""

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    """An answer; only a file (`blob`) respects Range. The connection ends after `cut` bytes, by a reset or in good order."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    blob: Blob = field(default_factory=Blob)
    cut: int | None = None
    resets: bool = True


class RefusedError(Exception):
    """An answer that is an error, with the code by which the client tells its kind."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.reply = Reply(status, {"X-Error-Code": code, "X-Error-Message": message})


def json_reply(value: object, status: int = 200) -> Reply:
    return Reply(status, {"Content-Type": "application/json"}, Blob(json.dumps(value).encode()))
