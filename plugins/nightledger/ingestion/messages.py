"""What a person is told about a file: five parts, always in the same order, never a value."""

from dataclasses import dataclass

import duckdb


def inert(text: str) -> str:
    """A text of the sender's as it may be shown: no line breaks, control sequences or marks of direction.

    Names of files and columns come from outside, and so do descriptions.
    """
    return "".join(character if character.isprintable() else "?" for character in text)


@dataclass(frozen=True)
class Message:
    """File, record, column, reason, next action.

    `record` is the number of the record in the file, the first after the header being 1.
    """

    file: str
    reason: str
    next_action: str
    record: int | None = None
    column: str | None = None

    def __str__(self) -> str:
        record = "–" if self.record is None else f"{self.record:,}"
        text = (
            f"file {self.file} · record {record} · column {self.column or '–'} · {self.reason} · "
            f"next: {self.next_action}"
        )
        return inert(text)


class Refused(Exception):
    """A file cannot be taken at all."""

    def __init__(self, message: Message) -> None:
        super().__init__(str(message))
        self.message = message


SHAPE_LENGTH = 40


def create_shape_macro(connection: duckdb.DuckDBPyConnection) -> None:
    """`shape(text)`: digits become 9, letters of any script A or a, marks stay; cut at 40 characters."""
    connection.execute(
        "create or replace temp macro shape(t) as regexp_replace(regexp_replace(regexp_replace("
        f"left(t, {SHAPE_LENGTH}), '\\p{{N}}', '9', 'g'), '[\\p{{Lu}}\\p{{Lt}}]', 'A', 'g'),"
        " '[\\p{Ll}\\p{Lo}\\p{Lm}\\p{M}]', 'a', 'g')"
    )
