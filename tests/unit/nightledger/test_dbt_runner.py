"""What is kept of the results of dbt's runs."""

import json
from pathlib import Path

from nightledger.dbt import runner


def test_a_retry_adds_to_what_the_first_try_has_built(tmp_path: Path) -> None:
    """Catches models that the first try built and a retry makes forgotten: the next night would rebuild them
    whole, as if their definition had changed. dbt itself says of a retry that it was a build."""
    new, kept = tmp_path / "run_results.json", tmp_path / "run_results_marts.json"

    def tried(is_retry: bool, **statuses: str) -> dict[str, str]:
        rows = [{"unique_id": name, "status": status} for name, status in statuses.items()]
        new.write_text(json.dumps({"args": {"which": "build"}, "results": rows}))
        runner._keep_results(new, kept, is_retry=is_retry)
        return {row["unique_id"]: row["status"] for row in runner._results(kept)}

    assert tried(False, a="success", b="error") == {"a": "success", "b": "error"}
    assert tried(True, b="success") == {"a": "success", "b": "success"}
    assert tried(False, c="success") == {"c": "success"}
