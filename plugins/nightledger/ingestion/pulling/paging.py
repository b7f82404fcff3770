"""What the pages of one pull say about the next request, and whether they belong together.

The same rules read a page that has just come and one that was landed before: a pull that broke off goes on
from its landed pages alone, and there is no other state that could be lost.
"""

import hashlib
import json
from datetime import date

from nightledger.ingestion.contract import SourceContract
from nightledger.ingestion.landing import Page
from nightledger.ingestion.pulling.contract import Pull, at


class PageRefused(Exception):
    """A page cannot be used; `reason` and `next_action` are for people and quote no value."""

    def __init__(self, reason: str, next_action: str) -> None:
        super().__init__(reason)
        self.reason, self.next_action = reason, next_action


class Repeated(PageRefused):
    """The server has sent the same records or the same cursor before in this pull."""


class Moved(PageRefused):
    """The pages taken so far and the rest no longer make one list: the pull begins anew."""


class Window:
    """One pull: the days it asks for, and what its pages have said so far.

    Args:
        contract: with `pull`.
        since: first day that is asked for; None asks for everything.
        through: the local day on which the pull began.
        number: of the window among those of the contract.
    """

    def __init__(self, contract: SourceContract, since: date | None, through: date, number: int) -> None:
        self.contract, self.pull = contract, pull_of(contract)
        self.since, self.through, self.number = since, through, number
        self.pages = self.records = 0
        self.is_complete = False
        self._total: int | None = None
        self._cursor: str | None = None
        self._cursors: set[str] = set()
        self._digests: set[str] = set()

    @property
    def file(self) -> str:
        """Name of the next page's file."""
        days = f"{self.since or 'start'}_{self.through}_{self.number}"
        return f"{self.contract.name}.{days}.{self.pages + 1:05d}.json"

    def parameters(self) -> dict[str, str]:
        """Query of the next request."""
        query = dict(self.pull.parameters)
        if self.pull.since and self.since:
            query[self.pull.since.parameter] = self.pull.since.text(self.since)
        if self.pull.cursor and self._cursor is not None:
            query[self.pull.cursor.parameter] = self._cursor
        if self.pull.offset:
            query[self.pull.offset.parameter] = str(self.records)
            query[self.pull.offset.size_parameter] = str(self.pull.offset.size)
        return query

    def take(self, body: bytes) -> Page:
        """Read one page and move on to the next; a page that is refused changes nothing.

        Raises:
            PageRefused: it is no page, or not one of this pull.
        """
        document = _parse(body)
        records = _records_of(document, self.contract.format.records)
        if not isinstance(records, list):
            place = self.contract.format.records or "its top"
            raise PageRefused(
                f"the page has no list of records at {place}",
                f"compare `format.records` in sources/{self.contract.name}.yml with the bank's description",
            )
        digest = hashlib.sha256(json.dumps(records, sort_keys=True).encode()).hexdigest()
        if records and digest in self._digests:
            raise Repeated(
                f"page {self.pages + 1} repeats the records of an earlier page",
                f"ask the bank; compare the paging in sources/{self.contract.name}.yml with its description",
            )
        is_last = (
            self._follow_cursor(document, records)
            if self.pull.cursor
            else self._follow_offset(document, records)
        )
        self._digests.add(digest)
        self.pages += 1
        self.records += len(records)
        self.is_complete = is_last
        return Page(self.number, self.since, self.through, self.pages, len(records), is_last)

    def _follow_cursor(self, document: object, records: list[object]) -> bool:
        """Find the next cursor; returns whether there is none."""
        paging = self.pull.cursor
        found = at(document, paging.path) if paging else None
        if found in (None, "", False) or (paging and paging.more_path and not at(document, paging.more_path)):
            return True
        if not isinstance(found, str | int):
            raise PageRefused(
                "the cursor of the page is neither text nor number",
                f"mend `pull.cursor.path` in sources/{self.contract.name}.yml",
            )
        cursor = str(found)
        if cursor == self._cursor and not records:
            return True  # some servers end by pointing at the end
        if cursor in self._cursors:
            raise Repeated(
                f"page {self.pages + 1} names a cursor that was followed before, which would never end",
                "ask the bank; if it marks its last page in another way, "
                f"write `pull.cursor.more_path` in sources/{self.contract.name}.yml",
            )
        self._cursor = cursor
        self._cursors.add(cursor)
        return False

    def _follow_offset(self, document: object, records: list[object]) -> bool:
        """Compare with the stated total; returns whether everything has come.

        A total that grows while pages are read moves records towards pages that are still to come: they
        come twice at worst, and their key counts them once. One that shrinks moves records towards pages that
        have been read: they would be missed, so everything is asked for again.
        """
        paging = self.pull.offset
        received = self.records + len(records)
        if paging is None or paging.total_path is None:
            return not records
        total = at(document, paging.total_path)
        if not isinstance(total, int) or isinstance(total, bool) or total < 0:
            raise PageRefused(
                f"the page has no total at {paging.total_path}",
                f"mend `pull.offset.total_path` in sources/{self.contract.name}.yml, or leave it out",
            )
        if self._total is not None and total < self._total:
            raise Moved(
                f"the total shrank from {self._total:,} to {total:,} records between two pages",
                "pull again when the bank is not changing its list, or ask the bank for a cursor",
            )
        if not records and received < total:
            raise PageRefused(
                f"the bank counts {total:,} records and sent {received:,}",
                "ask the bank; where its total is only an estimate, leave `pull.offset.total_path` out",
            )
        self._total = total
        return received >= total


def _records_of(document: object, path: str) -> object:
    """The list of records; `*` in the path goes through the objects of a list to a list in each."""
    above, star, below = path.partition("*")
    found = at(document, above.strip("."))
    if not star or not isinstance(found, list):
        return found
    inner = [at(item, below.strip(".")) for item in found]
    return [record for records in inner if isinstance(records, list) for record in records]


def pull_of(contract: SourceContract) -> Pull:
    """The contract's `pull`, which must be there."""
    if contract.pull is None:
        raise ValueError(f"sources/{contract.name}.yml has no `pull`")
    return contract.pull


def _parse(body: bytes) -> object:
    try:
        document: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        place = f" at character {error.pos:,}" if isinstance(error, json.JSONDecodeError) else ""
        raise PageRefused(f"the page is not valid JSON{place}", "ask the bank to mend its answer") from None
    return document
