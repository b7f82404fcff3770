"""What of the dbt project a night need not build again: it stands in the warehouse as the project defines it.

A view shows what its tables hold, so one that is defined as before is built already; a seed with the same
content too. Nights of whole tests build everything.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

OF_THIS_RUN = re.compile(
    r"\bflags\b|\bis_incremental\b|\bvar\s*\(|\benv_var\b|\badapter\.(?!dispatch)|\bthis\b|\btarget\b"
    r"|\brun_query\b|\brun_started_at\b|\binvocation_id\b"
)
"""What makes the SQL of a view depend on the run that builds it, and not on its definition alone."""


def standing(
    manifest: Mapping[str, Any],
    definition_of: Callable[[str], str],
    known: Mapping[str, str],
    present: Collection[tuple[str, str]],
) -> set[str]:
    """Views and seeds that need not be built again, and the tests that read nothing but such seeds.

    Args:
        manifest: of the project.
        definition_of: hash of what decides a node's rows.
        known: that hash as it was when the node was built last.
        present: (schema, name) of the relations of the warehouse.

    Returns:
        Unique ids.
    """
    nodes: Mapping[str, Any] = manifest["nodes"]
    same = {
        name
        for name, node in nodes.items()
        if (node["schema"], node.get("alias")) in present
        and known.get(name) == definition_of(name)
        and (_is_plain_seed(node) or _is_plain_view(node, manifest))
    }
    seeds = {name for name in same if nodes[name]["resource_type"] == "seed"}
    tests = {
        name
        for name, node in nodes.items()
        if node["resource_type"] == "test"
        and node["depends_on"]["nodes"]
        and seeds.issuperset(node["depends_on"]["nodes"])
    }
    return same | tests


def _is_plain_seed(node: Mapping[str, Any]) -> bool:
    """Whether dbt has hashed the content of a seed; of large ones it only knows the path."""
    return bool(node["resource_type"] == "seed" and node["checksum"]["name"] != "path")


def _is_plain_view(node: Mapping[str, Any], manifest: Mapping[str, Any]) -> bool:
    """Whether nothing but its definition decides what a view is, and building it does nothing else."""
    if node["resource_type"] != "model" or node["config"]["materialized"] != "view":
        return False
    if node["config"]["pre-hook"] or node["config"]["post-hook"]:
        return False
    text, queue, seen = node["raw_code"], list(node["depends_on"]["macros"]), set()
    while queue:
        name = queue.pop()
        macro = manifest["macros"].get(name)
        if name not in seen and macro and not macro["package_name"].startswith("dbt"):
            text += macro["macro_sql"]
            queue += macro["depends_on"]["macros"]
        seen.add(name)
    return OF_THIS_RUN.search(text) is None
