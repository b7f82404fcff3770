"""Pages by cursor and by offset: each lands before it is read, and the last one is known as such."""

import pytest
import yaml

from nightledger import ingestion
from nightledger.ingestion import landing
from nightledger.ingestion.pulling import pulls
from tests.unit.ingestion.conftest import NOW
from tests.unit.ingestion.pulling.server import OFFSET, Answer, by_cursor, by_offset, ids, record


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
