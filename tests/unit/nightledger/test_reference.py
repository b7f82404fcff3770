"""The reference of features says what the dbt project defines."""

from collections import Counter
from pathlib import Path

from nightledger import reference

ROOT = Path(__file__).resolve().parents[3]


def test_the_page_of_features_is_fresh():
    """Catches a definition that was changed without `make reference`."""
    definitions = reference.read_definitions(ROOT / reference.DEFINITIONS)
    assert (ROOT / reference.PAGE).read_text() == reference.render(definitions), "run `make reference`"


def test_there_are_75_features_in_their_groups():
    """Catches a feature that was added, dropped or moved to another group."""
    definitions = reference.read_definitions(ROOT / reference.DEFINITIONS)
    assert Counter((one.entity, one.group) for one in definitions) == {
        ("customer", "recency"): 3,
        ("customer", "monetary"): 17,
        ("customer", "frequency"): 8,
        ("customer", "behavioural"): 7,
        ("customer", "temporal"): 6,
        ("customer", "trend"): 4,
        ("customer", "category"): 20,
        ("transaction", "context"): 4,
        ("transaction", "pattern"): 4,
        ("transaction", "basic"): 2,
    }


def test_every_feature_stands_on_the_page(tmp_path):
    """Catches a group or entity that the page does not know and drops."""
    definitions = reference.read_definitions(ROOT / reference.DEFINITIONS)
    page = reference.render(definitions)
    assert [one.name for one in definitions if f"| `{one.name}` |" not in page] == []
    assert "Pattern is four here" in page
