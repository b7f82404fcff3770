"""What a contract says of a pull: mistakes are told before any request, and the token is never told."""

import logging

import pytest
import yaml
from pydantic import SecretStr

from nightledger import ingestion
from nightledger.ingestion import ContractError
from nightledger.ingestion.pulling import pulls
from tests.unit.ingestion.conftest import CONTRACT
from tests.unit.ingestion.pulling.server import TOKEN, by_cursor


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
