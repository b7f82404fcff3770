"""The reference of features says what the dbt project defines."""

from collections import Counter
from pathlib import Path

from nightledger.dbt import reference

ROOT = Path(__file__).resolve().parents[3]


def test_the_page_of_features_is_fresh():
    """Catches a definition that was changed without `make reference`."""
    definitions = reference.read_definitions(ROOT / reference.DEFINITIONS)
    assert (ROOT / reference.PAGE).read_text() == reference.render(definitions), "run `make reference`"


def test_there_are_75_features_in_their_groups():
    """Catches a feature that was added, dropped or moved to another group."""
    definitions = reference.read_definitions(ROOT / reference.DEFINITIONS)
    counted = [one for one in definitions if one.model in reference.COUNTED]
    assert Counter((one.entity, one.group) for one in counted) == {
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


def test_further_features_are_counted_apart():
    """Catches a table of one model whose features swell the 75, or that stands nowhere on the page."""
    definitions = reference.read_definitions(ROOT / reference.DEFINITIONS)
    apart = Counter(one.model for one in definitions if one.model not in reference.COUNTED)
    page = reference.render(definitions)
    assert apart["features_velocity"] == 18
    assert f"## Counted apart: {sum(apart.values())} more\n\nBeside the 75 above" in page
    for model, count in apart.items():
        assert f"## `{model}`: {count} of a " in page
    first = page.index("## Counted apart")
    assert all(page.index(f"| `{one.name}` |") > first for one in definitions if one.model in apart)
