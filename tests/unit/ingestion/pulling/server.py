"""A server on this machine that sends pages as it is told to."""

import json
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "secret-token-4711"


def record(number: int) -> dict[str, str]:
    """One transaction as the server sends it."""
    return {
        "id": f"t{number}",
        "customer": f"c{number % 3}",
        "card": f"4{number:015d}",
        "at": "2026-01-08 10:00:00",
        "amount": f"-{number}.50",
        "text": f"SHOP {number}",
    }


class Answer:
    """What the server does with one request."""

    def __init__(
        self,
        body: Any = None,
        *,
        status: int = 200,
        kind: str = "application/json",
        headers: dict[str, str] | None = None,
        drip: float = 0,
        cut: bool = False,
    ) -> None:
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.status, self.kind, self.headers = status, kind, headers or {}
        self.drip, self.cut = drip, cut


class Server(ThreadingHTTPServer):
    """Answers by a function of the query; remembers every query and header."""

    daemon_threads = True

    def __init__(self) -> None:
        self.queries: list[dict[str, str]] = []
        self.tokens: list[str | None] = []
        self.script: Callable[[dict[str, str], int], Answer] = lambda query, number: Answer(status=500)
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        """Where the records are."""
        return f"http://127.0.0.1:{self.server_port}/v1/transactions"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        query = {name: values[-1] for name, values in parse_qs(urlsplit(self.path).query).items()}
        self.server.queries.append(query)
        self.server.tokens.append(self.headers.get("authorization"))
        answer = self.server.script(query, len(self.server.queries))
        self.send_response(answer.status)
        self.send_header("content-type", answer.kind)
        self.send_header("content-length", str(len(answer.body) + (10 if answer.cut else 0)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            if answer.drip:
                for byte in answer.body:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(answer.drip)
            else:
                self.wfile.write(answer.body)
        except OSError:
            pass  # the client has had enough

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


def by_cursor(*lists: list[int]) -> Callable[[dict[str, str], int], Answer]:
    """A server that names the next page by cursor."""

    def script(query: dict[str, str], _number: int) -> Answer:
        page = int(query.get("cursor", "0"))
        following = str(page + 1) if page + 1 < len(lists) else None
        return Answer({"data": [record(n) for n in lists[page]], "page": {"next": following}})

    return script


def by_offset(numbers: list[int], *, with_total: bool = True) -> Callable[[dict[str, str], int], Answer]:
    """A server that cuts a list by offset and limit; the list may change between two requests."""

    def script(query: dict[str, str], _number: int) -> Answer:
        start = int(query["offset"])
        chosen = numbers[start : start + int(query["limit"])]
        total = {"total": len(numbers)} if with_total else {}
        return Answer({"data": [record(n) for n in chosen], **total})

    return script


OFFSET = {"cursor": None, "offset": {"parameter": "offset", "size": 3, "total_path": "total"}}


def ids(*numbers: int) -> list[str]:
    return [f"t{number}" for number in numbers]


def failing(first: int, then: Callable[[dict[str, str], int], Answer], answer: Answer) -> Any:
    """A server that gives `answer` to its first requests."""
    return lambda query, number: answer if number <= first else then(query, number)
