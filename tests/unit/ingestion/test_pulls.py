"""Pulls of paged JSON against a local server that behaves as scripted: each page lands before it is read."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from pydantic import SecretStr

from nightledger import ingestion
from nightledger.ingestion import ContractError, landing
from nightledger.ingestion.contract import SourceContract
from nightledger.ingestion.pulling import pulls
from nightledger.night import plan

from .conftest import CONTRACT, NOW, Bank

TOKEN = "secret-token-4711"
NIGHT = date(2026, 1, 9)
"""The night whose cutoff has passed at NOW."""


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


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on this machine for one test."""
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


class Puller:
    """A bank with one contract that pulls, a clock, and the waits it would have slept."""

    def __init__(self, bank: Bank, server: Server) -> None:
        self.bank, self.server = bank, server
        self.now = NOW
        self.waits: list[float] = []

    def contract(self, **changes: Any) -> SourceContract:
        """Write and read the contract; `changes` are keys of `pull`, None takes one out."""
        pull = {
            "url": self.server.url,
            "cursor": {"parameter": "cursor", "path": "page.next"},
            "since": {"parameter": "from", "overlap": "2d", "first": "2026-01-01"},
            "attempts": 3,
        } | changes
        pull = {key: value for key, value in pull.items() if value is not None}
        values = {key: value for key, value in CONTRACT.items() if key != "files"}
        values |= {"format": {"type": "json", "records": "data"}}
        path = self.bank.contract("api", **values, pull=pull)
        content = path.read_text()
        path.write_text("\n".join(row for row in content.splitlines() if not row.startswith("files:")))
        return next(c for c in ingestion.load_contracts(self.bank.settings) if c.name == "api")

    def pull(self, contract: SourceContract) -> tuple[int, int]:
        """Pull now, without sleeping."""
        return pulls.pull(self.bank.settings, contract, lambda: self.now, self.waits.append)

    def pull_all(self, contract: SourceContract, night: date = NIGHT) -> pulls.PullReport:
        """Pull as a night does."""
        (report,) = pulls.pull_all(self.bank.settings, [contract], night, lambda: self.now, self.waits.append)
        return report

    @property
    def taken(self) -> list[str]:
        """Ids of the records that a night would load, in the order of arrival."""
        return [
            record["id"]
            for arrival in landing.arrivals(self.bank.settings)
            for record in json.loads(arrival.path.read_bytes())["data"]
        ]


@pytest.fixture
def puller(bank: Bank, server: Server) -> Puller:
    """A bank that pulls from the local server."""
    return Puller(bank, server)


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


def test_each_page_becomes_a_file_and_all_of_them_one_delivery(puller, server):
    """Catches pages that are read without being kept, and a pull of which a night takes a part."""
    contract = puller.contract()
    server.script = by_cursor([1, 2], [3, 4], [5])
    assert puller.pull(contract) == (3, 5)
    landed = landing.arrivals(puller.bank.settings)
    assert [arrival.file for arrival in landed] == [
        f"api.2026-01-01_2026-01-10_1.{page:05d}.json" for page in (1, 2, 3)
    ]
    assert {arrival.arrived_at for arrival in landed} == {NOW}
    assert puller.taken == ids(1, 2, 3, 4, 5)
    assert server.queries[0] == {"from": "2026-01-01"}
    assert [query.get("cursor") for query in server.queries] == [None, "1", "2"]


def test_the_next_pull_begins_at_the_day_of_the_last_whole_one_less_the_overlap(puller, server):
    """Catches a gap between two pulls, and a state that is kept anywhere but in the landing area."""
    contract = puller.contract()
    server.script = by_cursor([1])
    puller.pull(contract)
    puller.now += timedelta(days=1)
    server.script = by_cursor([1, 2])
    puller.pull(contract)
    assert server.queries[-1] == {"from": "2026-01-08"}


def test_a_pull_that_broke_off_goes_on_where_it_stopped_and_is_taken_when_it_is_whole(puller, server):
    """Catches pages that are asked for twice, lost, or taken before the rest has come."""
    contract = puller.contract()
    good = by_cursor([1, 2], [3, 4], [5])
    server.script = lambda query, n: good(query, n) if query.get("cursor") != "2" else Answer(status=503)
    with pytest.raises(pulls.PullError, match=r"page 3: status 503, after 3 tries · next: nothing by hand"):
        puller.pull(contract)
    assert puller.taken == []
    server.queries.clear()
    server.script = good
    puller.now += timedelta(minutes=5)
    assert puller.pull(contract) == (1, 1)
    assert server.queries == [{"cursor": "2", "from": "2026-01-01"}]
    assert puller.taken == ids(1, 2, 3, 4, 5)
    assert {arrival.arrived_at for arrival in landing.arrivals(puller.bank.settings)} == {puller.now}


def test_what_broke_off_yesterday_is_finished_and_today_is_pulled_as_well(puller, server):
    """Catches a day that nobody asks for because yesterday's pull was still open."""
    contract = puller.contract()
    good = by_cursor([1], [2])
    server.script = lambda query, n: Answer(status=500) if "cursor" in query else good(query, n)
    with pytest.raises(pulls.PullError):
        puller.pull(contract)
    puller.now += timedelta(days=1)
    server.queries.clear()
    server.script = good
    assert puller.pull(contract) == (3, 3)
    assert [query["from"] for query in server.queries] == ["2026-01-01", "2026-01-08", "2026-01-08"]


@pytest.mark.parametrize("status", [404, 410, 400])
def test_a_pull_whose_cursor_has_expired_begins_anew(puller, server, status):
    """Catches a source that is dead forever after one broken night."""
    contract = puller.contract()
    good = by_cursor([1, 2], [3])
    server.script = lambda query, n: Answer(status=500) if "cursor" in query else good(query, n)
    with pytest.raises(pulls.PullError):
        puller.pull(contract)
    asked = len(server.queries)
    server.script = lambda query, n: Answer(status=status) if n == asked + 1 else good(query, n)
    assert puller.pull(contract) == (2, 3)
    assert puller.taken == ids(1, 2, 3)


@pytest.mark.parametrize("answer", [Answer(status=500), Answer(status=429), Answer({"data": []}, cut=True)])
def test_passing_failures_are_tried_again(puller, server, answer):
    """Catches a night that is late because a server hiccuped once."""
    contract = puller.contract()
    server.script = failing(2, by_cursor([1]), answer)
    assert puller.pull(contract) == (1, 1)
    assert len(puller.waits) == 2
    assert puller.waits[1] > puller.waits[0] >= 1, "each wait is longer"


def test_the_server_says_how_long_to_wait(puller, server):
    """Catches a client that hammers a server which asked for patience."""
    contract = puller.contract()
    later = {"retry-after": "Sat, 10 Jan 2026 01:00:40 GMT", "date": "Sat, 10 Jan 2026 01:00:00 GMT"}
    server.script = failing(1, by_cursor([1]), Answer(status=429, headers={"retry-after": "17"}))
    puller.pull(contract)
    assert puller.waits == [17]
    server.script = lambda query, n: Answer(status=503, headers=later) if n == 3 else by_cursor([1])(query, n)
    puller.pull(contract)
    assert len(puller.waits) == 2
    assert puller.waits[1] <= 60


def test_a_server_that_asks_for_an_hour_is_left_for_the_next_night(puller, server):
    """Catches a night that sleeps until noon."""
    contract = puller.contract()
    server.script = lambda *_: Answer(status=429, headers={"retry-after": "3600"})
    with pytest.raises(pulls.PullError, match="the server asks to wait 3,600 s"):
        puller.pull(contract)
    assert (puller.waits, len(server.queries)) == ([], 1)


@pytest.mark.parametrize(("drip", "text"), [(0.05, "did not come whole within"), (3, "no answer within")])
def test_a_server_that_stalls_is_given_up(puller, server, drip, text):
    """Catches a night that hangs on one socket, also on one that drips a byte now and then."""
    contract = puller.contract(timeout="1s", attempts=1)
    server.script = lambda *_: Answer({"data": [record(1)], "page": {}}, drip=drip)
    started = time.monotonic()
    with pytest.raises(pulls.PullError, match=text):
        puller.pull(contract)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (Answer(status=401), "401"),
        (Answer(status=403), "403"),
        (Answer(status=404), "404"),
        (Answer(status=301, headers={"location": "http://127.0.0.1:1/elsewhere"}), "redirect"),
        (Answer(b"<html>log in</html>", kind="text/html"), "html"),
        (Answer(b'{"data": [1, 2'), "json"),
        (Answer(b"[" * 3000), "deep"),
        (Answer({"data": {}}), "no_list"),
        (Answer({"data": [record(1)], "page": {"next": ["x"]}}), "cursor"),
        (Answer(b" " * 5000 + b"{}"), "long"),
    ],
)
def test_what_no_second_try_would_change_is_refused_at_once(puller, server, golden, answer, name):
    """Catches useless retries, and messages that quote a token, a query or a value."""
    puller.bank.settings.pull_tokens["api"] = SecretStr(TOKEN)
    contract = puller.contract(max_page_bytes=4096, token="bearer")
    server.script = lambda *_: answer
    with pytest.raises(pulls.PullError) as caught:
        puller.pull(contract)
    golden(f"pull_{name}", str(caught.value).replace(f":{server.server_port}", ""))
    assert len(server.queries) == 1
    assert landing.arrivals(puller.bank.settings) == []


def test_a_page_that_is_sent_again_by_mistake_counts_once(puller, server):
    """Catches a page in the place of the next one, which would then be missing."""
    contract = puller.contract()
    good = by_cursor([1, 2], [3])
    server.script = lambda query, n: good({} if n == 2 else query, n)
    assert puller.pull(contract) == (2, 3)
    assert puller.taken == ids(1, 2, 3)


@pytest.mark.parametrize("paging", [{}, OFFSET])
def test_a_server_that_always_sends_the_same_page_is_stopped(puller, server, paging):
    """Catches a pull that never ends."""
    contract = puller.contract(**paging)
    server.script = lambda query, n: Answer(
        {"data": [record(1)], "page": {"next": "same"}, "total": 10, "sent": n}
    )
    with pytest.raises(pulls.PullError, match="page 2 repeats the records of an earlier page · next: ask"):
        puller.pull(contract)
    assert puller.taken == []


def test_cursors_that_go_in_circles_are_stopped(puller, server):
    """Catches an endless pull whose pages all differ."""
    contract = puller.contract()
    server.script = lambda query, n: Answer(
        {"data": [record(n)], "page": {"next": {None: "a", "a": "b", "b": "a"}[query.get("cursor")]}}
    )
    with pytest.raises(pulls.PullError, match="names a cursor that was followed before"):
        puller.pull(contract)
    assert puller.taken == []


def test_an_endless_list_is_stopped_by_the_number_of_pages(puller, server):
    """Catches a night that pulls forever."""
    contract = puller.contract(max_pages=4)
    server.script = lambda query, n: Answer({"data": [record(n)], "page": {"next": str(n)}})
    with pytest.raises(pulls.PullError, match="it has 4 pages and no end · next: raise `pull"):
        puller.pull(contract)


@pytest.mark.parametrize("last", [{"next": "1"}, {"next": "x", "more": False}, {"next": ""}, {}])
def test_servers_end_in_several_ways(puller, server, last):
    """Catches a good list that is refused for its last page."""
    contract = puller.contract(cursor={"parameter": "cursor", "path": "page.next", "more_path": "page.more"})
    end = {"more": True} | last
    server.script = lambda query, n: Answer(
        {"data": [], "page": end}
        if "cursor" in query
        else {"data": [record(1)], "page": {"next": "1", "more": True}}
    )
    assert puller.pull(contract) == (2, 1)
    assert puller.taken == ids(1)


def test_nothing_new_is_a_whole_pull_without_anything_to_load(puller, server):
    """Catches an empty page that is refused each night, or a source that is called late on a quiet day."""
    contract = puller.contract()
    server.script = by_cursor([])
    assert not puller.pull_all(contract).is_late
    assert landing.arrivals(puller.bank.settings) == []


def test_offset_paging_reads_to_the_total(puller, server):
    """Catches a last page that is not asked for, or one page too many."""
    contract = puller.contract(**OFFSET)
    server.script = by_offset([1, 2, 3, 4, 5, 6])
    assert puller.pull(contract) == (2, 6)
    assert [query["offset"] for query in server.queries] == ["0", "3"]


def test_offset_paging_without_a_total_reads_until_a_page_is_empty(puller, server):
    """Catches a server with a smaller limit than asked for, whose first page looks like the last."""
    contract = puller.contract(cursor=None, offset={"parameter": "offset", "size": 100})
    script = by_offset([1, 2, 3, 4, 5], with_total=False)
    server.script = lambda query, n: script(query | {"limit": "2"}, n)
    puller.pull(contract)
    assert puller.taken == ids(1, 2, 3, 4, 5)


def test_a_total_that_grows_loses_nothing(puller, server):
    """Catches records that slip behind the reader when new ones are put in front."""
    contract = puller.contract(**OFFSET)
    numbers = [1, 2, 3, 4, 5]
    script = by_offset(numbers)

    def growing(query: dict[str, str], number: int) -> Answer:
        if number == 2:
            numbers.insert(0, 0)
        return script(query, number)

    server.script = growing
    puller.pull(contract)
    assert sorted(set(puller.taken)) == ids(1, 2, 3, 4, 5), "3 comes twice and its key counts it once"


def test_a_total_that_shrinks_makes_the_pull_begin_anew(puller, server):
    """Catches a record that moved to a page which had been read already."""
    contract = puller.contract(**OFFSET)
    numbers = [1, 2, 3, 4, 5, 6]
    script = by_offset(numbers)

    def shrinking(query: dict[str, str], number: int) -> Answer:
        if number == 2:
            numbers.pop(0)
        return script(query, number)

    server.script = shrinking
    puller.pull(contract)
    assert puller.taken == ids(2, 3, 4, 5, 6)


def test_a_total_that_never_rests_is_given_up(puller, server):
    """Catches a pull that begins anew for the rest of the night."""
    contract = puller.contract(**OFFSET)
    server.script = lambda query, n: Answer({"data": [record(n)], "total": 1000 - n})
    with pytest.raises(pulls.PullError, match="the total shrank from 99"):
        puller.pull(contract)
    assert len(server.queries) == 2 * (pulls.RESTARTS + 1)


def test_a_total_that_was_promised_and_not_sent_is_refused(puller, server):
    """Catches a short list that is taken for all of it."""
    contract = puller.contract(**OFFSET)
    server.script = lambda query, n: Answer({"data": [record(1)] if n == 1 else [], "total": 3})
    with pytest.raises(pulls.PullError, match="the bank counts 3 records and sent 1"):
        puller.pull(contract)
    assert puller.taken == []


def test_pulled_pages_are_loaded_once_and_again_in_a_replay_without_the_server(puller, server):
    """Catches records of the overlap that count twice, and pages that only a live server can explain."""
    contract = puller.contract(**OFFSET)
    numbers = [1, 2, 3, 4, 5]
    server.script = by_offset(numbers)
    puller.pull(contract)
    numbers.insert(0, 0)
    puller.now += timedelta(days=1)
    puller.pull(contract)
    server.shutdown()
    bank = puller.bank
    verdicts = bank.load()
    assert {verdict.verdict for verdict in verdicts.values()} <= {"loaded", "duplicate"}
    loaded = "select transaction_id, amount::varchar from raw.transactions group by all order by 1"
    assert bank.rows(loaded) == [(f"t{n}", f"-{n}.5000") for n in range(6)]
    keys = "select count(distinct transaction_key) from raw.transactions"
    assert bank.rows(keys) == [(6,)]
    bank.connection.execute("delete from raw.transactions")
    bank.connection.execute("delete from ops.loads")
    assert set(bank.load()) == set(verdicts)
    assert bank.rows(keys) == [(6,)]


def test_a_list_below_a_list_is_counted_as_it_is_read(puller, server):
    """Catches pages that look empty because their records lie one level deeper."""
    contract = puller.contract(**OFFSET)
    path = puller.bank.settings.sources / "api.yml"
    values = yaml.safe_load(path.read_text())
    values["format"]["records"] = "accounts.*.data"
    path.write_text(yaml.safe_dump(values))
    (contract,) = ingestion.load_contracts(puller.bank.settings)
    server.script = lambda *_: Answer(
        {"accounts": [{"data": [record(1), record(2)]}, {"data": [record(3)]}], "total": 3}
    )
    assert puller.pull(contract) == (1, 3)


def test_a_replay_reads_the_landing_area_and_asks_no_server(puller, server):
    """Catches a rebuilt night that depends on what a server says today."""
    contract = puller.contract()
    server.script = by_cursor([1])
    puller.pull(contract)
    puller.now += timedelta(days=1)
    puller.pull(contract)
    asked = len(server.queries)
    assert not puller.pull_all(contract, night=NIGHT - timedelta(days=1)).is_late
    assert len(server.queries) == asked


def test_a_server_that_fails_makes_its_source_late_and_disturbs_nobody(puller, server, caplog):
    """Catches a night that fails because of a source that it does not require."""
    contract = puller.contract()
    server.script = lambda *_: Answer(status=500)
    report = puller.pull_all(contract)
    assert report.is_late
    assert "status 500, after 3 tries" in report.message
    assert report.message in caplog.text


def test_a_required_server_that_fails_stops_the_night_like_a_missing_file(puller, server):
    """Catches numbers that are published without a source that the contract requires."""
    contract = puller.contract()
    contract = contract.model_copy(
        update={"delivery": contract.delivery.model_copy(update={"required": True})}
    )
    server.script = lambda *_: Answer(status=500)
    with pytest.raises(plan.RequiredSourceMissing, match=r"bank/cards could not be pulled for 2026-01-09\."):
        plan.require_pulled([puller.pull_all(contract)], NIGHT)
    server.script = by_cursor([1])
    plan.require_pulled([puller.pull_all(contract)], NIGHT)


def test_what_was_pulled_before_the_day_was_over_does_not_cover_it(puller, server):
    """Catches the first hours of a day that are taken for the whole day."""
    contract = puller.contract()
    server.script = by_cursor([1])
    puller.pull(contract)
    server.script = lambda *_: Answer(status=500)
    puller.now += timedelta(days=1)
    assert puller.pull_all(contract, night=NIGHT + timedelta(days=1)).is_late


def test_the_token_is_sent_and_never_told(puller, server, caplog):
    """Catches a secret, a cursor or a value in a log."""
    caplog.set_level(logging.DEBUG)
    puller.bank.settings.pull_tokens["api"] = SecretStr(TOKEN)
    contract = puller.contract(token="bearer", parameters={"account": "hidden-account"})
    server.script = by_cursor([1], [2])
    puller.pull(contract)
    assert set(server.tokens) == {f"Bearer {TOKEN}"}
    for secret in (TOKEN, "hidden-account", "SHOP 1", "cursor="):
        assert secret not in caplog.text
    landed = "".join(path.read_text() for path in puller.bank.settings.landing.rglob("*.json"))
    assert TOKEN not in landed


def test_a_contract_without_its_token_names_the_setting(puller, server):
    """Catches a request without a token, and a message that leaves the operator searching."""
    contract = puller.contract(token="bearer")
    with pytest.raises(pulls.PullError, match=r'add "api": "<token>" to NIGHTLEDGER_PULL_TOKENS'):
        puller.pull(contract)
    assert server.queries == []


def test_two_pulls_of_one_contract_never_run_at_once(puller, server):
    """Catches two processes that number their pages alike."""
    contract = puller.contract()
    server.script = lambda *_: Answer({"data": [record(1)], "page": {}})
    with (
        pulls._alone(puller.bank.settings, contract),
        pytest.raises(pulls.PullError, match="another process pulls it now"),
    ):
        puller.pull(contract)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"url": "http://bank.example/v1"}, "http is for this machine only"),
        ({"url": "https://bank.example/v1?key=1"}, "carries no query, user or password"),
        ({"url": "https://me:pass@bank.example/v1"}, "carries no query, user or password"),
        ({"url": "ftp://bank.example"}, "write a whole address"),
        ({"cursor": None}, "give exactly one of cursor and offset"),
        ({"parameters": {"from": "x"}}, "the parameter from has two meanings"),
        ({"timeout": "30"}, "is no duration"),
        ({"since": {"parameter": "from", "overlap": "5h"}}, "overlap is a number of whole days"),
        ({"sinse": {}}, r"pull.sinse: unknown key. Did you mean since\?"),
        (
            {"cursor": {"parametr": "x", "path": "y"}},
            r"pull.cursor.parametr: unknown key. Did you mean parameter\?",
        ),
    ],
)
def test_a_wrong_pull_is_told_before_any_request(puller, changes, text):
    """Catches a token sent in the clear, and keys that nobody reads."""
    with pytest.raises(ContractError, match=text):
        puller.contract(**changes)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"files": "x_*"}, "give exactly one of files and pull"),
        ({"format": {"type": "csv"}}, "a pull brings pages of JSON"),
        ({"totals": "manifest"}, "pages have no manifest"),
        (
            {"feeds": {"transactions": CONTRACT["feeds"]["transactions"] | {"key": "occurrence"}}},
            "natural key",
        ),
    ],
)
def test_a_contract_that_cannot_be_pulled_is_refused(puller, changes, text):
    """Catches pages that could not be read, or whose overlap would be counted twice."""
    contract = puller.contract()
    path = puller.bank.settings.sources / f"{contract.name}.yml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))
    with pytest.raises(ContractError, match=text):
        ingestion.load_contracts(puller.bank.settings)


def test_the_command_pulls_by_hand(puller, server, monkeypatch, capsys):
    """Catches a command that stores nothing, or shows a trace where a message is due."""
    from nightledger.ingestion import __main__ as command

    for name in ("home", "inbox", "sources", "clients"):
        monkeypatch.setenv(f"NIGHTLEDGER_{name.upper()}", str(getattr(puller.bank.settings, name)))
    puller.contract(attempts=1)
    server.script = by_cursor([1, 2], [3])
    assert command.main(["pull", "--source", "api"]) == 0
    assert "2 pages with 3 records" in capsys.readouterr().out
    server.script = lambda *_: Answer(status=404)
    assert command.main(["pull", "--source", "api"]) == 1
    assert "status 404 · next" in capsys.readouterr().err
