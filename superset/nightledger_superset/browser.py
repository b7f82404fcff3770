"""Looks at the dashboards as people do, in headless Chromium: queries, pictures, times, errors.

Needs Playwright (requirements-dev), a Chromium of the system and a server that runs (`make superset`);
nothing of Superset itself. `python -m nightledger_superset.browser harvest | screenshots`.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Error, FloatRect, Locator, Page, Request, Response, sync_playwright

from nightledger_superset.settings import ADMIN, FOLDER, PROJECT, Settings

CONTEXTS = FOLDER / "query_contexts.json"
TALL = 3200
"""Height of the window: charts below it would not be drawn."""

LEAST_WIDTH = 1440
"""Pixels from which on nothing may be cut off."""

NARROW = ("start", "executive", "customers")
"""Dashboards on which nothing may be cut off in narrower windows either, but by a box that scrolls."""

PATIENCE = 90.0
"""Seconds after which something that should be there is missed; a busy machine needs most of them."""

_FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
]
_ASKED = "/api/v1/chart/data"
_READY = """() => {
    const shown = [...document.querySelectorAll('.dashboard-component-chart-holder')]
        .filter(e => e.offsetParent && e.getBoundingClientRect().top < innerHeight)
        .filter(e => !e.closest('.dashboard-markdown'));
    const waits = '.loading, [data-test="loading-indicator"], .ant-spin-spinning';
    const stands = 'canvas, svg, table, .header-line, .ant-empty, [role="alert"], .missing-chart-container';
    // The title's menu is drawn with an icon, before there is a chart.
    const outside = part => !part.closest('[data-test="slice-header"]');
    const drawn = e => [...e.querySelectorAll(stands)].some(outside);
    return shown.every(e => !e.querySelector(waits) && drawn(e));
}"""
_WRONG = """() => [...document.querySelectorAll('.dashboard-component-chart-holder')]
    .filter(e => e.offsetParent && !e.closest('.dashboard-markdown'))
    .flatMap(e => {
        const title = e.querySelector('[data-test="editable-title"], .header-title')?.innerText || '?';
        const alert = e.querySelector('[role="alert"], .ant-alert-error, .missing-chart-container');
        if (alert) return [[title, 'error', alert.innerText]];
        const rows = e.querySelector('table') && !e.querySelector('tbody tr td:not(.dt-no-results)');
        const number = e.querySelector('.header-line')?.innerText === 'No data';
        return e.querySelector('.ant-empty') || rows || number ? [[title, 'no data', '']] : [];
    })"""
_CUT = """narrow => [...document.querySelectorAll('.dashboard-component-chart-holder')]
    .filter(e => e.offsetParent)
    .flatMap(e => {
        const title = e.querySelector('[data-test="editable-title"], .header-title')?.innerText || '?';
        return [...e.querySelectorAll('*')]
            .filter(p => p.clientWidth > 8 && p.clientHeight > 8 && !p.closest('svg, canvas, .ant-badge'))
            .filter(p => {
                const style = getComputedStyle(p);
                const scrolls = style => narrow && ['auto', 'scroll'].includes(style);
                if (scrolls(style.overflowX) || scrolls(style.overflowY)) return false;
                const wide = style.overflowX !== 'visible' && p.scrollWidth > p.clientWidth + 2;
                const tall = style.overflowY !== 'visible' && p.scrollHeight > p.clientHeight + 2;
                return wide || tall;
            })
            .slice(0, 1)
            .map(p => [p.scrollWidth - p.clientWidth, p.scrollHeight - p.clientHeight, p.innerText])
            .map(([wide, tall, text]) => [title, 'cut off', `${wide} × ${tall} px: ${text.slice(0, 40)}`]);
    })"""
_CUT_LABELS = """() => {
    // The picture's own object is only held by the React component that drew it.
    const drawing = holder => {
        let node = holder[Object.keys(holder).find(name => name.startsWith('__reactFiber$'))];
        for (let above = 0; node && above < 6; above++, node = node.return)
            for (let hook = node.memoizedState; hook?.next !== undefined; hook = hook.next)
                if (hook?.memoizedState?.current?.getZr) return hook.memoizedState.current.getZr();
    };
    // What a legend of several pages has on another page is clipped.
    const clipped = part => part && (part.getClipPath() || clipped(part.parent || part.__hostTarget));
    return [...document.querySelectorAll('[_echarts_instance_]')].filter(e => e.offsetParent).flatMap(e => {
        const chart = e.closest('.dashboard-component-chart-holder');
        const title = chart?.querySelector('[data-test="editable-title"], .header-title')?.innerText || '?';
        const drawn = drawing(e);
        if (!drawn) return [[title, 'cut off', 'not known: its picture was not found']];
        const labels = new Set();
        const collect = part => {
            if (part.ignore || part.invisible) return;
            if (part.type === 'text' && part.style.text) labels.add(part);
            if (part.getTextContent?.()) collect(part.getTextContent());
            part.children?.().forEach(collect);
        };
        drawn.storage.getRoots().forEach(collect);
        const cut = [...labels].filter(label => {
            if (label.isTruncated) return true;
            const box = label.getBoundingRect().clone();
            if (label.transform) box.applyTransform(label.transform);
            const beyond = Math.max(
                -box.x, -box.y, box.x + box.width - drawn.getWidth(), box.y + box.height - drawn.getHeight());
            return beyond > 2 && !clipped(label);
        });
        const told = cut.slice(0, 3).map(label => label.style.text).join(' | ');
        return cut.length ? [[title, 'cut off', `${cut.length} labels: ${told.slice(0, 80)}`]] : [];
    });
}"""

_BROKEN = """() => [...document.querySelectorAll('.dashboard-component-chart-holder')]
    .filter(e => e.offsetParent)
    .flatMap(e => {
        const title = e.querySelector('[data-test="editable-title"], .header-title');
        const texts = document.createTreeWalker(title || e, NodeFilter.SHOW_TEXT);
        const broken = [];
        while (title && texts.nextNode()) {
            for (const word of texts.currentNode.data.matchAll(/\\S+/g)) {
                const range = document.createRange();
                range.setStart(texts.currentNode, word.index);
                range.setEnd(texts.currentNode, word.index + word[0].length);
                const lines = new Set([...range.getClientRects()].map(line => Math.round(line.top)));
                if (lines.size > 1) broken.push([title.innerText, 'cut off', `the title breaks ${word[0]}`]);
            }
        }
        const drawn = e.querySelector('canvas');
        if (drawn && drawn.clientWidth < 280) {
            broken.push([title?.innerText || '?', 'cut off', `drawn only ${drawn.clientWidth} px wide`]);
        }
        return broken;
    })"""


@dataclass
class Seen:
    """A tab that was opened: how long it took until every chart stood, and what is wrong with it."""

    dashboard: str
    tab: str
    seconds: float
    wrong: list[tuple[str, str, str]]
    """Chart, `error`, `no data` or `cut off`, and the message."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    """What the page asked the chart-data API."""
    failed: list[str] = field(default_factory=list)
    """Addresses of our own server that did not answer well."""


class Visitor:
    """Somebody who is logged in, with one window."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address
        self._asked: list[dict[str, Any]] = []
        self._failed: list[str] = []
        page.set_default_timeout(PATIENCE * 1000)
        page.on("request", self._note)
        page.on("response", self._note_failure)

    def log_in(self, name: str, password: str) -> None:
        """Fill in the page of the log-in."""
        self.page.goto(f"{self.address}/login/")
        self.page.locator('#username, [data-test="username-input"]').first.fill(name)
        self.page.locator('#password, [data-test="password-input"]').first.fill(password)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(lambda url: "/login" not in url, wait_until="commit")

    def dashboard(self, slug: str, *, timeout: float = PATIENCE) -> Iterator[Seen]:
        """Open a dashboard and then each of its tabs, every one until it stands.

        Yields:
            What was seen of each tab, while the window still shows it.
        """
        self._asked, self._failed = [], []
        began = time.monotonic()
        self.page.goto(f"{self.address}/superset/dashboard/{slug}/")
        names = self._tabs(timeout)
        yield self._seen(slug, names[0] if names else "", began, timeout)
        for number, name in enumerate(names[1:], start=1):
            self._asked, self._failed = [], []
            began = time.monotonic()
            self.page.locator(".dashboard-component-tabs .ant-tabs-tab").nth(number).click()
            yield self._seen(slug, name, began, timeout)

    def choose(self, filter_title: str, value: str, *, timeout: float = PATIENCE) -> Seen:
        """Choose a value of a native filter, and wait until the charts follow."""
        self._asked, self._failed = [], []
        began = time.monotonic()
        wrapper = ".filter-item-wrapper, [data-test='form-item-value']"
        box = self.page.locator(wrapper, has_text=filter_title).locator("input").first
        box.click(force=True)  # the chosen value lies above it
        box.fill(value)
        self.page.locator(".ant-select-item-option", has_text=value).first.click()
        apply = self.page.locator("[data-test='filter-bar__apply-button']")
        if apply.count() and apply.first.is_enabled():
            apply.first.click()
        return self._seen("", "", began, timeout)

    def cell(self, chart: str, column: str) -> Locator:
        """The first cell of a column in a table on the page."""
        table = self.page.locator(".dashboard-component-chart-holder", has_text=chart)
        heads = [head.strip() for head in table.locator("thead th").all_inner_texts()]
        return table.locator("tbody tr").first.locator("td").nth(heads.index(column))

    def narrow(self, chart: str, column: str, *, timeout: float = PATIENCE) -> tuple[str, Seen]:
        """Click what stands first in a column of a table; the other charts follow (cross-filter).

        Returns:
            What was clicked, and what was seen and asked then.
        """
        self._asked, self._failed = [], []
        began = time.monotonic()
        cell = self.cell(chart, column)
        value = cell.inner_text().strip()
        with self.page.expect_request(lambda request: _ASKED in request.url):
            cell.click()
        return value, self._seen("", "", began, timeout)

    def drill(self, chart: str, column: str, by: str) -> dict[str, Any]:
        """Drill from the first cell of a column by another column; returns the question that this asked."""
        self.cell(chart, column).click(button="right")
        self.page.get_by_text("Drill by", exact=True).last.hover()
        with self.page.expect_request(lambda request: _ASKED in request.url) as told:
            # Without the pointer: on its way to a name the menu closes when it leaves the entry above.
            name = self.page.locator('[data-test="drill-by-submenu"]').get_by_text(by, exact=True)
            name.dispatch_event("click")
        self.page.wait_for_selector('[data-test="drill-by-chart"]')
        self.page.locator('[data-test="close-drill-by-modal"]').last.click()
        return told.value.post_data_json or {}

    def picture(self) -> bytes:
        """The page as Superset's own menu gives it away."""
        self.page.locator('[data-test="actions-trigger"]').first.click()
        self.page.get_by_text("Download", exact=True).last.hover()
        with self.page.expect_download() as told:
            # Without the pointer, as in `drill`.
            self.page.get_by_text("Download as Image", exact=True).last.dispatch_event("click")
        return told.value.path().read_bytes()

    def cut(self, *, narrow: bool = False) -> list[tuple[str, str, str]]:
        """What is shown and does not fit: titles, numbers, texts and tables of the page, and in the pictures
        that ECharts draws the labels that it shortened or that reach over the edge. In a narrow window a box
        may scroll and a label be shortened, but no title may break within a word, and no chart be narrower
        than the window.

        Not seen: labels that lie over each other, and those that ECharts left out for want of room.
        """
        found = self.page.evaluate(_CUT, narrow) + self.page.evaluate(_BROKEN if narrow else _CUT_LABELS)
        return [(title, kind, said) for title, kind, said in found]

    def charts_of(self, slug: str) -> dict[int, str]:
        """Of a dashboard, the uuid of each chart by the number that this server gave it."""
        reply = self.page.request.get(f"{self.address}/api/v1/dashboard/{slug}", timeout=PATIENCE * 1000)
        position = json.loads(reply.json()["result"]["position_json"])
        return {
            node["meta"]["chartId"]: node["meta"]["uuid"]
            for node in position.values()
            if isinstance(node, dict) and node.get("type") == "CHART"
        }

    def height(self) -> int:
        """Pixels from the top of the page to the end of the last chart."""
        return int(
            self.page.evaluate(
                "Math.ceil(Math.max("
                "...[...document.querySelectorAll('.dragdroppable-row, .header-with-actions')]"
                ".filter(e => e.offsetParent).map(e => e.getBoundingClientRect().bottom))) + 24"
            )
        )

    def _tabs(self, timeout: float) -> list[str]:
        self.page.wait_for_selector(
            ".dashboard-component-chart-holder, .dashboard-markdown", timeout=timeout * 1000
        )
        return [
            tab.strip()
            for tab in self.page.locator(".dashboard-component-tabs .ant-tabs-tab").all_inner_texts()
        ]

    def _seen(self, slug: str, tab: str, began: float, timeout: float) -> Seen:
        try:
            self.page.wait_for_timeout(150)
            self.page.wait_for_function(_READY, timeout=timeout * 1000, polling=100)
        except Error:
            if self.page.locator(".dashboard-component-chart-holder:visible").count():
                wrong = [("?", "error", f"not drawn within {timeout:.0f} s")]
                return Seen(slug, tab, timeout, wrong, self._asked, self._failed)
        seconds = time.monotonic() - began
        wrong = [(title, kind, said) for title, kind, said in self.page.evaluate(_WRONG)]
        return Seen(slug, tab, seconds, wrong, self._asked, self._failed)

    def _note(self, request: Request) -> None:
        if request.method == "POST" and _ASKED in request.url and (body := request.post_data_json):
            self._asked.append(body)

    def _note_failure(self, reply: Response) -> None:
        if reply.status >= 400:
            self._failed.append(reply.url)


@contextmanager
def visiting(
    settings: Settings, width: int = 1440, height: int = TALL, *, dark: bool = False
) -> Iterator[Visitor]:
    """A window of this size, logged in as the administrator."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=settings.browser, args=_FLAGS)
        page = browser.new_page(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        visitor = Visitor(page, settings.internal_address)
        visitor.log_in(ADMIN, settings.password())
        yield visitor
        browser.close()


def listed() -> dict[str, Any]:
    """`charts` (name to uuid and digest of parameters) and `dashboards` (slugs in order), as git says."""
    python = PROJECT / ".venv-superset" / "bin" / "python"
    words = [str(python), "-m", "nightledger_superset", "charts"]
    environment = {**os.environ, "PYTHONPATH": str(FOLDER)}
    done = subprocess.run(words, check=True, capture_output=True, text=True, env=environment)  # noqa: S603
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def harvest(settings: Settings, slugs: list[str]) -> tuple[int, list[str]]:
    """Write what the browser asks for each chart into `query_contexts.json`.

    Only the front end builds these queries; with them a chart also answers without a browser (warming, CSV,
    reports, tests). What the page's filters added is taken out again, and numbers of this server become 0.

    Returns:
        How many charts there are queries of, and the names of those without.
    """
    told = listed()
    names = {chart["uuid"]: name for name, chart in told["charts"].items()}
    found: dict[str, Any] = {}
    with visiting(settings) as visitor:
        for slug in slugs or told["dashboards"]:
            numbers = visitor.charts_of(slug)
            asked: dict[str, Any] = {}
            for seen in visitor.dashboard(slug):
                for body in seen.asked:
                    number = (body.get("form_data") or {}).get("slice_id", 0)
                    name = names.get(numbers.get(number, ""))
                    if name:
                        asked[name] = {
                            "params": told["charts"][name]["digest"],
                            "query_context": _without_filters(body),
                        }
                sys.stdout.write(f"  {slug}: {seen.tab or 'whole'}, {len(seen.asked)} queries\n")
                sys.stdout.flush()
            # After each dashboard: a harvest that breaks off keeps what it has.
            kept = json.loads(CONTEXTS.read_text()) if CONTEXTS.exists() else {}
            found = {name: value for name, value in (kept | asked).items() if name in told["charts"]}
            CONTEXTS.write_text(json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    return len(found), sorted({*told["charts"]} - {*found})


def _without_filters(body: dict[str, Any]) -> dict[str, Any]:
    """The question of a chart itself: without the dashboard's filters, and of no server's numbers."""
    extra = (body["form_data"].get("extra_form_data") or {}).get("filters") or []
    for query in body["queries"]:
        query["filters"] = [
            one
            for one in query.get("filters") or []
            if not any(
                one["col"] == other["col"] and one["op"] == other["op"] and one["val"] == other["val"]
                for other in extra
            )
        ]
    return {
        "datasource": {"id": 0, "type": "table"},
        "force": False,
        "queries": body["queries"],
        "result_format": "json",
        "result_type": "full",
    }


def screenshots(
    settings: Settings, slugs: list[str], widths: list[int], folder: Path, *, dark: bool = False
) -> list[Seen]:
    """A picture of every tab at every width: `<slug>-<tab's number>-<width>.webp`."""
    folder.mkdir(parents=True, exist_ok=True)
    told = []
    for width in widths:
        with visiting(settings, width, dark=dark) as visitor:
            for slug in slugs or listed()["dashboards"]:
                for number, seen in enumerate(visitor.dashboard(slug), start=1):
                    visitor.page.wait_for_timeout(900)  # charts grow into place
                    if width >= LEAST_WIDTH or slug in NARROW:
                        seen.wrong += visitor.cut(narrow=width < LEAST_WIDTH)
                    clip: FloatRect = {"x": 0, "y": 0, "width": width, "height": min(visitor.height(), TALL)}
                    path = folder / f"{slug}-{number}-{width}{'-dark' if dark else ''}.webp"
                    picture = Image.open(io.BytesIO(visitor.page.screenshot(clip=clip)))
                    picture.save(path, quality=80, method=6)
                    told.append(seen)
                    sys.stdout.write(
                        f"  {path.name}: {seen.seconds:.1f} s {seen.wrong or ''} {seen.failed or ''}\n"
                    )
                    sys.stdout.flush()
    return told


def main() -> int:
    """Run a command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="nightledger_superset.browser", description=__doc__)
    parser.add_argument("command", choices=["harvest", "screenshots"])
    parser.add_argument("slugs", nargs="*", help="dashboards; all when none is named")
    parser.add_argument("--widths", default=str(LEAST_WIDTH))
    parser.add_argument("--folder", type=Path, default=PROJECT / "docs" / "images")
    parser.add_argument("--dark", action="store_true")
    arguments = parser.parse_args()
    settings = Settings.from_environment()
    if arguments.command == "harvest":
        count, without = harvest(settings, arguments.slugs)
        sys.stdout.write(f"{count} charts have their query. Without: {', '.join(without) or 'none'}\n")
        return 0
    widths = [int(width) for width in arguments.widths.split(",")]
    seen = screenshots(settings, arguments.slugs, widths, arguments.folder, dark=arguments.dark)
    return 1 if any(tab.wrong or tab.failed for tab in seen) else 0


if __name__ == "__main__":
    sys.exit(main())
