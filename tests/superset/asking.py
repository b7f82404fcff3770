"""People who ask Superset, and what it answers."""

import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any

PASSWORD = "only-for-tests"
COUNT = {"expressionType": "SQL", "label": "n", "sqlExpression": "count(*)"}


@dataclass
class Answer:
    """What the server said: its status, and the content if that was JSON."""

    status: int
    content: Any
    text: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Rows of the first query of a chart's data."""
        assert self.status == 200, self.text[:500]
        found: list[dict[str, Any]] = self.content["result"][0]["data"]
        return found


class Person:
    """Somebody who is logged in, or a guest with a token."""

    def __init__(
        self, app: Any, name: str | None = None, token: str | None = None, password: str = PASSWORD
    ) -> None:
        self._client = app.test_client()
        self._headers = {"X-GuestToken": token} if token else {}
        if name:
            reply = self._client.post("/login/", data={"username": name, "password": password})
            assert reply.status_code == 302, reply.status_code
            assert reply.headers["Location"] != "/login/", f"{name} could not log in"

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        """Send a request; `body` as JSON."""
        reply = self._client.open(path, method=method, json=body, headers=self._headers, **more)
        return Answer(reply.status_code, reply.get_json(silent=True), _text(reply.get_data()))

    def data(self, dataset: int, query: dict[str, Any] | None = None, **more: Any) -> Answer:
        """Ask the chart-data API about a data set; `query` alters the query, `more` what is around it."""
        asked = {"columns": ["client_id"], "metrics": [COUNT], "row_limit": 1000, **(query or {})}
        body = {"datasource": {"id": dataset, "type": "table"}, "queries": [asked], **more}
        return self.ask("POST", "/api/v1/chart/data", body)


def _text(content: bytes) -> str:
    """What stands in an answer; of a workbook, what stands in its parts."""
    if not content.startswith(b"PK"):
        return content.decode()
    with zipfile.ZipFile(io.BytesIO(content)) as workbook:
        return "".join(workbook.read(name).decode() for name in workbook.namelist())


def of_client(answer: Answer) -> set[str]:
    """Clients whose rows an answer holds, wherever in it they stand."""
    text = json.dumps(answer.content) if answer.content is not None else answer.text
    return {client for client in ("demo_bank", "demo_wallet", "demo_lender") if f'"{client}"' in text}
