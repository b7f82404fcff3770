"""The documentation: every link leads somewhere, and something leads to every page and picture."""

import re
from pathlib import Path

import pytest

from nightledger.settings import PROJECT

PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "*/README.md", "tests/*/README.md", "sources/examples/*.md")
    for path in PROJECT.glob(pattern)
)


def links(page: Path) -> list[tuple[Path, str]]:
    """File and section of each link to a file of the project."""
    found = re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", page.read_text())
    return [((page.parent / path).resolve() if path else page, section) for path, section in found]


def sections(page: Path) -> set[str]:
    """Headings of a page as links name them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_link_leads_somewhere(page):
    """Catches a page or a section that was renamed, and readers who are sent to where it was."""
    for path, section in links(page):
        assert path.exists(), path
        assert not section or section in sections(path), f"{path} has no section {section}"


def test_something_leads_to_every_page_and_picture():
    """Catches a page that nobody finds, and pictures of what is no longer shown."""
    linked = {path for page in PAGES for path, _ in links(page)}
    there = {
        path for path in (PROJECT / "docs").rglob("*") if path.suffix in (".md", ".webp", ".png", ".svg")
    }
    assert there - linked == set()
