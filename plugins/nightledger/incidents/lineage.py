"""Which models and source columns a column comes from, read from the SQL of the dbt manifest.

dbt knows models, not columns. Here the expression behind a column's alias is looked at, and the columns of
the parents that it names, and so on. Where an expression names none (a count of rows, a name made by
Jinja), all that the model reads counts: rather one candidate too many than one too few.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

NAME = re.compile(r"(?:\b([a-z_]\w*)\.)?\b([a-z_]\w*)\b(?!\s*[(.])")
"""A column, with what stands before its dot; what has a bracket behind it is a function."""
WORDS = frozenset(
    [
        "and",
        "as",
        "asc",
        "between",
        "bigint",
        "boolean",
        "by",
        "case",
        "cast",
        "date",
        "day",
        "decimal",
        "desc",
        "distinct",
        "double",
        "else",
        "end",
        "false",
        "filter",
        "first",
        "float",
        "following",
        "from",
        "group",
        "having",
        "in",
        "integer",
        "interval",
        "is",
        "join",
        "last",
        "like",
        "not",
        "null",
        "nulls",
        "on",
        "or",
        "order",
        "over",
        "partition",
        "preceding",
        "range",
        "row",
        "rows",
        "select",
        "then",
        "timestamp",
        "true",
        "unbounded",
        "union",
        "varchar",
        "when",
        "where",
        "window",
        "with",
        "within",
    ]
)
KEYS = frozenset(
    [
        "account_id",
        "as_of_date",
        "business_date",
        "client_id",
        "customer_id",
        "cutoff_at",
        "days_ago",
        "known_at",
        "known_from",
        "known_until",
        "stretch_end",
        "superseded_at",
        "transaction_id",
        "transaction_key",
    ]
)
"""What rows are joined and counted by: it moves no feature of its own."""
_WHOLE = re.compile(r"(\w+)\s+as\s*\(\s*select\s+\*\s+from\s+\{\{\s*(?:ref|source)\(([^)]*)\)")
"""`name as (select * from {{ ref('model') }}`: a name for a parent."""
_NO_SQL = re.compile(r"\{#.*?#\}|--[^\n]*", re.S)
_SELECT = re.compile(r"\bselect(?:\s+distinct)?$")


class Lineage:
    """Column lineage of one dbt manifest.

    Args:
        manifest: of a publication.
    """

    def __init__(self, manifest: Mapping[str, Any]) -> None:
        self._nodes: dict[str, Mapping[str, Any]] = {
            name: node
            for name, node in {**manifest["nodes"], **manifest["sources"]}.items()
            if node["resource_type"] in ("model", "seed", "source")
        }
        self._macros = manifest["macros"]
        self._seen: dict[tuple[str, str], frozenset[str]] = {}

    def behind_feature(self, feature: str) -> frozenset[str]:
        """What a feature comes from.

        Args:
            feature: a column of a model of schema `features`; of another name nothing is known.

        Returns:
            Unique ids of models, seeds and macros, `raw.transactions` for a source, and
            `raw.transactions.city` for a column of one.
        """
        found: set[str] = set()
        for name, node in self._nodes.items():
            if node["schema"] == "features" and feature in node["columns"]:
                found |= self._behind(name, feature)
        return frozenset(found)

    def below(self, unique_id: str) -> frozenset[str]:
        """Everything that a node reads, and all that they read; the node itself is among them."""
        found: set[str] = set()
        queue = [unique_id]
        while queue:
            name = queue.pop()
            if name not in found and (name in self._nodes or name in self._macros):
                found.add(name)
                node = self._nodes.get(name) or self._macros[name]
                queue += [*self._parents(node), *node.get("depends_on", {}).get("macros", [])]
        return frozenset(found)

    def _behind(self, node_id: str, column: str) -> frozenset[str]:
        known = self._seen.get((node_id, column))
        if known is not None:
            return known
        found: set[str] = set()
        queue = [(node_id, column)]
        visited: set[tuple[str, str]] = set()
        while queue:
            here = queue.pop()
            if here in visited:
                continue
            visited.add(here)
            name, wanted = here
            node = self._nodes[name]
            found.add(name)
            if node["resource_type"] == "source":
                relation = f"{node['schema']}.{node['name']}"
                found |= {relation, f"{relation}.{wanted}"}
                continue
            steps = list(self._steps(name, node, wanted))
            if not steps and node["resource_type"] == "model":
                for other in self.below(name):
                    source = self._nodes.get(other)
                    found.add(other)
                    if source is not None and source["resource_type"] == "source":
                        relation = f"{source['schema']}.{source['name']}"
                        found |= {relation} | (
                            {f"{relation}.{wanted}"} if wanted in source["columns"] else set()
                        )
            queue += steps
        result = frozenset(found)
        self._seen[node_id, column] = result
        return result

    def _steps(self, name: str, node: Mapping[str, Any], column: str) -> Iterator[tuple[str, str]]:
        """Columns of this model and of its parents that the expression of a column names."""
        sql = _sql(node)
        parents = [parent for parent in self._parents(node) if parent in self._nodes]
        named = {
            cte: next((p for p in parents if p.endswith(f".{_last_word(arguments)}")), "")
            for cte, arguments in _WHOLE.findall(sql)
        }
        expressions = list(_expressions(sql, column))
        words = {pair for text in expressions for pair in NAME.findall(text) if pair[1] not in WORDS | KEYS}
        for before, word in sorted(words or {("", column)} - {("", "")}):
            if parent := named.get(before):
                yield parent, word
                continue
            if word != column and re.search(rf"\bas\s+{word}\b(?!\s*\()", sql):
                yield name, word
                continue
            yield from ((parent, word) for parent in parents if self._has(parent, word))

    def _has(self, node_id: str, column: str) -> bool:
        """Whether a node has a column, as far as can be told."""
        node = self._nodes[node_id]
        return column in node["columns"] or re.search(rf"\b{column}\b", _sql(node)) is not None

    @staticmethod
    def _parents(node: Mapping[str, Any]) -> list[str]:
        parents: list[str] = node.get("depends_on", {}).get("nodes", [])
        return parents


def _sql(node: Mapping[str, Any]) -> str:
    return _NO_SQL.sub(" ", node.get("raw_code", "")).lower()


def _last_word(arguments: str) -> str:
    return arguments.replace("'", " ").replace('"', " ").replace(",", " ").split()[-1]


def _expressions(sql: str, alias: str) -> Iterator[str]:
    """The text between a comma or `select` and each `as alias`, within its brackets."""
    for found in re.finditer(rf"\bas\s+{re.escape(alias)}\b", sql):
        depth, place = 0, found.start() - 1
        while place >= 0:
            sign = sql[place]
            if sign == ")":
                depth += 1
            elif sign == "(":
                depth -= 1
                if depth < 0:
                    break
            elif depth == 0 and (sign == "," or _SELECT.search(sql, max(0, place - 15), place + 1)):
                break
            place -= 1
        yield sql[place + 1 : found.start()]
