"""Opens the workbook on its standard input, in a process of its own: hostile ones end the process.

The reader asks for the memory that a workbook claims to need, and whoever does not get it is aborted, with
the whole night. Ends with 0, with PROTECTED, or in any other way. Imports nothing of the project: it is run
for every workbook.
"""

import io
import resource
import sys

PROTECTED = 3
MEMORY = 3 << 30


def main() -> int:
    """Open every sheet."""
    from python_calamine import CalamineWorkbook, PasswordError

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(sys.stdin.buffer.read()))
        for name in book.sheet_names:
            book.get_sheet_by_name(name)
    except PasswordError:
        return PROTECTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
