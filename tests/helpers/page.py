"""The files that the page on own data shows, so that tests run what it says."""

import re

from nightledger.settings import PROJECT

PAGE = PROJECT / "docs" / "how-to" / "bring-your-own-data.md"


def files_of_the_page() -> dict[str, str]:
    """Every block of the page that begins with the name of its file, by that name below `mydata`."""
    return dict(re.findall(r"```(?:yaml|python)\n# mydata/(\S+)\n(.*?)```", PAGE.read_text(), re.S))
