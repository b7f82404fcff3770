"""Pulls that break off: what is tried again, what goes on where it stopped, what is given up."""

import time
from datetime import timedelta

import pytest
from pydantic import SecretStr

from nightledger.ingestion import landing
from nightledger.ingestion.pulling import pulls
from tests.unit.ingestion.pulling.server import TOKEN, Answer, by_cursor, failing, ids, record


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


def test_two_pulls_of_one_contract_never_run_at_once(puller, server):
    """Catches two processes that number their pages alike."""
    contract = puller.contract()
    server.script = lambda *_: Answer({"data": [record(1)], "page": {}})
    with (
        pulls._alone(puller.bank.settings, contract),
        pytest.raises(pulls.PullError, match="another process pulls it now"),
    ):
        puller.pull(contract)
