"""Whatever stands in a contract's file, it loads or says what is wrong."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from nightledger.clients import load_clients
from nightledger.ingestion import ContractError, load_contract
from tests.unit.ingestion.conftest import CONTRACT, Bank

FULL: dict[str, Any] = CONTRACT | {
    "timezone": "Europe/London",
    "currency": "GBP",
    "max_bad_share": 0.01,
    "totals": "none",
    "ignore": ["more"],
    "feeds": {
        "transactions": CONTRACT["feeds"]["transactions"]
        | {
            "sign": {"mode": "signed", "outflow": "negative"},
            "extra": {"tier": {"column": "tier", "type": "integer", "map": {"a": "1"}}},
        },
        "labels": {
            "known_at": {"mode": "column", "column": "at", "format": "%Y-%m-%d %H:%M:%S"},
            "columns": {
                "entity": {"constant": "transaction"},
                "entity_id": {"key_of": "transactions"},
                "label": {"constant": "fraud"},
                "value": "flag",
                "event_at": "at",
            },
        },
    },
}
WORDS = st.sampled_from(
    [
        "", "csv", "amount", "at", "transactions", "event", "1d", "%Y", "%Q", "(", "[a]", "\x00",
        "Europe/London", "../etc", "GBP", "a" * 300, "utf-16", "base64", "é", "\ud800", "(?P<rows>.*)",
        "-1d", "999999999999d",
    ]
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS | st.dates()
KEYS = WORDS | st.sampled_from(
    ["column", "columns", "mode", "lag", "type", "format", "client", "source", "extra"]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path in a nested mapping."""
    inner = value.items() if isinstance(value, dict) else []
    return [path] + [place for key, item in inner for place in places(item, (*path, key))]


@st.composite
def broken_contracts(draw: st.DrawFn) -> Any:
    """A contract of which a few parts are replaced by anything, or taken out."""
    contract = copy.deepcopy(FULL)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from([path for path in places(contract) if path]))
        parent = contract
        for key in place[:-1]:
            parent = parent[key]
        if draw(st.booleans()):
            parent[place[-1]] = draw(VALUES)
        elif draw(st.booleans()):
            parent[draw(KEYS | st.integers())] = draw(VALUES)
        else:
            del parent[place[-1]]
    return contract


def written(bank: Bank, contract: Any, *, flow: bool | None = None, sort: bool = False) -> Path:
    path = bank.settings.sources / "any.yml"
    path.write_text(
        yaml.safe_dump(contract, default_flow_style=flow, sort_keys=sort, allow_unicode=False),
        encoding="utf-8",
    )
    return path


@settings(max_examples=150)
@given(contract=broken_contracts() | VALUES)
def test_any_mapping_is_a_contract_or_a_contract_error(bank: Bank, contract: Any) -> None:
    """Catches a mistake in a contract that stops the night with a traceback instead of a sentence."""
    path = written(bank, contract)
    try:
        load_contract(path, load_clients(bank.settings))
    except ContractError as error:
        assert str(error).startswith("any.yml: ")


@settings(max_examples=100)
@given(data=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_are_a_contract_or_a_contract_error(bank: Bank, data: bytes) -> None:
    """Catches a file that was saved in another encoding, or is none of ours."""
    path = bank.settings.sources / "any.yml"
    path.write_bytes(data)
    with pytest.raises(ContractError):
        load_contract(path, load_clients(bank.settings))


@given(shuffle=st.randoms(use_true_random=False), flow=st.booleans())
def test_a_contract_is_what_it_says_however_it_is_written(bank: Bank, shuffle: Any, flow: bool) -> None:
    """Catches a contract whose meaning changes with the order or style of its keys."""

    def shuffled(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        items = list(value.items())
        shuffle.shuffle(items)
        return {key: shuffled(item) for key, item in items}

    clients = load_clients(bank.settings)
    first = load_contract(written(bank, FULL), clients)
    again = load_contract(written(bank, shuffled(FULL), flow=flow), clients)

    assert again == first
    assert sorted(again.read) == sorted(first.read)
