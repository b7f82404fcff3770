"""The look of everything, from `look.yml`: number formats, colours, themes and the logo."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SCHEME = "nightledger"

# A ledger's lines under a crescent.
_LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 196 36" width="196" height="36">'
    '<rect x="1" y="3" width="30" height="30" rx="7" fill="{mark}"/>'
    '<path d="M21.5 8.2a6.6 6.6 0 1 0 4.3 9.6 7.2 7.2 0 0 1-4.3-9.6z" fill="#fff"/>'
    '<path d="M7 24.2h18M7 28h11" stroke="#fff" stroke-width="1.8" stroke-linecap="round"/>'
    '<text x="41" y="24.5" font-family="Inter,Segoe UI,Roboto,sans-serif" font-size="19" font-weight="600" '
    'letter-spacing="-.3" fill="{text}">Nightledger</text></svg>'
)


# Room around each label of the axis: ECharts leaves out what overlaps, and would let the others touch. Only
# what has a background takes room. The legend itself hides and shows: buttons All and Inv say nothing.
_SERIES = {
    "xAxis": {"axisLabel": {"padding": [0, 4], "backgroundColor": "transparent"}},
    "legend": {"selector": False},
}


@dataclass(frozen=True)
class Look:
    """The file's content: `units` by name, `colours` by meaning, `others`, those of `categories` of spend,
    the `words` of codes by kind, the kind of codes of each `worded` column, and the themes' settings.
    """

    units: dict[str, dict[str, Any]]
    dates: dict[str, str]
    colours: dict[str, str]
    others: list[str]
    sequential: list[str]
    alarming: list[str]
    meanings: dict[str, list[str]]
    shades: dict[str, str]
    categories: dict[str, str]
    words: dict[str, dict[str, str]]
    worded: dict[str, str]
    theme: dict[str, Any]

    def label_colours(self) -> dict[str, str]:
        """The colour of each value that means something, for a dashboard's metadata."""
        named = {v: self.colours[meaning] for meaning, values in self.meanings.items() for v in values}
        categories = {in_words(v, self.words["categories"]): colour for v, colour in self.categories.items()}
        return {**named, **self.shades, **categories}


def in_words(code: str, words: dict[str, str]) -> str:
    """What people read for a code: the word that it has, or the code without underscores."""
    plain = code.replace("_", " ").replace(".", ", ")
    return words.get(code, plain[:1].upper() + plain[1:])


def read_look(folder: Path) -> Look:
    """The look that this `superset/` folder states."""
    return Look(**yaml.safe_load((folder / "look.yml").read_text()))


def logo(look: Look, *, dark: bool = False) -> str:
    """The logo as a data URI, so that no page needs another host."""
    text = look.theme["dark" if dark else "light"]["text"]
    picture = _LOGO.format(mark=look.colours["actual"], text=text)
    return "data:image/svg+xml;base64," + base64.b64encode(picture.encode()).decode()


def themes(look: Look) -> tuple[dict[str, Any], dict[str, Any]]:
    """Superset's THEME_DEFAULT and THEME_DARK. Each is whole: a partial one would lose Superset's own
    tokens.
    """
    return _theme(look, dark=False), _theme(look, dark=True)


def _theme(look: Look, *, dark: bool) -> dict[str, Any]:
    shade = look.theme["dark" if dark else "light"]
    return {
        "algorithm": "dark" if dark else "default",
        # Charts stand at once: growing into place costs a browser without a graphics card more than drawing.
        "echartsOptionsOverrides": {"animation": False},
        # Superset writes on a treemap's fields in the page's own colour of text, whatever the fields have.
        # Without breaks a label of two words is cut.
        "echartsOptionsOverridesByChartType": {
            "treemap_v2": {
                "series": {"label": {"color": look.theme["on_colour"], "overflow": "break", "lineHeight": 13}}
            },
            **dict.fromkeys(("echarts_timeseries_line", "echarts_timeseries_bar", "echarts_area"), _SERIES),
            "histogram_v2": {"xAxis": {"nameGap": 26}},
        },
        "token": {
            "brandLogoAlt": look.theme["name"],
            "brandLogoUrl": logo(look, dark=dark),
            "brandLogoMargin": "16px 8px 12px 0",
            "brandLogoHref": "/",
            "brandLogoHeight": "26px",
            "brandAppName": look.theme["name"],
            "colorPrimary": look.colours["actual"],
            "colorLink": shade["link"],
            "colorInfo": look.colours["actual"],
            "colorSuccess": look.colours["good"],
            "colorWarning": look.colours["watch"],
            "colorError": look.colours["bad"],
            # What Superset derives from these two would be pure black and white.
            "colorBgBase": shade["surface"],
            "colorTextBase": shade["text"],
            "colorBgLayout": shade["background"],
            "colorBgContainer": shade["surface"],
            "colorBgElevated": shade["surface"],
            "colorText": shade["text"],
            "colorBorder": shade["border"],
            "colorBorderSecondary": shade["border"],
            "borderRadius": look.theme["radius"],
            "fontFamily": look.theme["font"],
            "fontFamilyCode": look.theme["font_code"],
            "fontWeightStrong": "600",
            "fontSizeXS": "10",
            "fontSizeXXL": "28",
            "fontWeightNormal": "400",
            "fontWeightLight": "300",
            "transitionTiming": 0.3,
            "brandIconMaxWidth": 37,
        },
    }


def colour_schemes(look: Look) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Superset's EXTRA_CATEGORICAL_COLOR_SCHEMES and EXTRA_SEQUENTIAL_COLOR_SCHEMES."""
    categorical = [
        {
            "id": SCHEME,
            "label": look.theme["name"],
            "description": "Colours without a meaning; what means something has its own (look.yml)",
            "isDefault": True,
            "colors": look.others,
        }
    ]
    both = [look.colours["expected"], look.theme["light"]["surface"], look.colours["actual"]]
    sequential = [
        {
            "id": f"{SCHEME}_{name}",
            "label": name,
            "description": name,
            "isDiverging": name == "both",
            "colors": colours,
        }
        for name, colours in (("more", look.sequential), ("worse", look.alarming), ("both", both))
    ]
    return categorical, sequential
