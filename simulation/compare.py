"""Pictures of the simulated bank beside real card files: amounts, gaps, rhythm, ways of paying, merchants.

The real files are read by their own columns here: the simulation knows nothing of the product's contracts.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

SIMULATED = "simulated bank"
COLOURS = {SIMULATED: "#1f4e79", "Birmingham": "#c55a11", "Sparkov": "#7f7f7f"}
STYLES = {SIMULATED: "-", "Birmingham": "--", "Sparkov": ":"}
SOURCES = {
    # what each set calls card, moment and merchant; only purchases
    SIMULATED: """
        select customer_id as who, txn_time::timestamp as moment, -amount::double as amount,
            coalesce(merchant_id, counterparty_phone) as merchant, pay_mode as mode,
            merchant_id is not null as is_shop
        from read_csv($path, header = true, all_varchar = true)
        where status = 'S' and txn_type in ('PUR', 'P2P', 'CWD') and try_cast(amount as double) < 0
            and customer_id is not null and try_cast(txn_time as timestamp) is not null
    """,
    "Birmingham": """
        select "CARD NUMBER" as who, date::timestamp as moment, amt::double as amount,
            "MERCHANT NAME" as merchant, 'CARD' as mode, true as is_shop
        from read_csv($path, header = true, all_varchar = true) where amt::double > 0
    """,
    "Sparkov": """
        select cc_num as who, trans_date::date + trans_time::time as moment, amt::double as amount,
            merchant, 'CARD' as mode, true as is_shop
        from read_csv($path, header = true, all_varchar = true)
    """,
}
PATTERNS = {"Birmingham": "birmingham/*.csv.gz", "Sparkov": "sparkov/*.csv.gz"}


def compare(bank: Path, real: Path, out: Path) -> dict[str, Any]:
    """Draw the pictures and return the figures that the page quotes.

    Args:
        bank: files of a made bank.
        real: folder with the folders `birmingham` and `sparkov`.
        out: gets one SVG per picture.

    Raises:
        FileNotFoundError: a set of files is not there.
    """
    paths = {SIMULATED: bank / "transactions_*.csv.gz"}
    paths |= {name: real / pattern for name, pattern in PATTERNS.items()}
    out.mkdir(parents=True, exist_ok=True)
    # The same data give the same bytes.
    mpl.rcParams.update({"svg.hashsalt": "simulation", "svg.fonttype": "none", "axes.spines.top": False})
    mpl.rcParams["axes.spines.right"] = False
    figures: dict[str, Any] = {}
    with duckdb.connect() as connection:
        for name, path in paths.items():
            if not list(path.parent.glob(path.name)):
                raise FileNotFoundError(f"no {path.name} in {path.parent}")
            connection.execute("create or replace table payments as" + SOURCES[name], {"path": str(path)})
            figures[name] = _measure(connection)
    for title, draw in PICTURES.items():
        draw(figures, out / f"{title}.svg")
    numbers = {
        name: {key: float(f"{value:.4g}") for key, value in one.items() if isinstance(value, float)}
        for name, one in figures.items()
    }
    (out / "figures.md").write_text(_table(numbers))
    return numbers


def _table(numbers: dict[str, dict[str, float]]) -> str:
    """The figures as a page of their own."""
    lines = [f"| | {' | '.join(numbers)} |", f"|---|{'---|' * len(numbers)}"]
    for key in numbers[SIMULATED]:
        values = " | ".join(f"{one[key]:,g}" for one in numbers.values())
        lines.append(f"| {key.replace('_', ' ')} | {values} |")
    return "\n".join(["Written by `python -m simulation compare`.", "", *lines, ""])


def _measure(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Everything that the pictures need of the table `payments`."""

    def column(query: str) -> Any:
        return np.array([row[0] for row in connection.execute(query).fetchall()], dtype=np.float64)

    amounts = column("select amount from payments order by 1")
    gaps = column(
        """
        select gap from (
            select date_diff('day', lag(day) over (partition by who order by day), day) as gap
            from (select distinct who, moment::date as day from payments)
        ) where gap is not null order by gap
        """
    )
    weekday = column("select count(*) from payments group by isodow(moment) order by isodow(moment)")
    month_day = column("select count(*) from payments group by day(moment) order by day(moment)")
    hour = column("select count(*) from payments group by hour(moment) order by hour(moment)")
    shops = column("select count(*) as n from payments where is_shop group by merchant order by n desc")
    log = np.log(amounts)
    modes = dict(
        connection.execute(
            "select mode, count(*) / sum(count(*)) over () from payments group by 1"
        ).fetchall()
    )
    return {
        "amounts": amounts,
        "gaps": gaps,
        "weekday": weekday / weekday.mean(),
        "month_day": month_day[:30] / month_day[:30].mean(),
        "hour": hour / hour.mean() if len(hour) == 24 else None,
        "merchants": shops,
        "modes": modes,
        "median_amount": float(np.median(amounts)),
        "sigma_of_log_amount": float(log.std()),
        "skewness_of_log_amount": float(((log - log.mean()) ** 3).mean() / log.std() ** 3),
        "median_gap_days": float(np.median(gaps)),
        "p95_gap_days": float(np.quantile(gaps, 0.95)),
        "weekend_share": float(weekday[5:].sum() / weekday.sum()),
        "top_1_percent_of_merchants": float(shops[: max(len(shops) // 100, 1)].sum() / shops.sum()),
        "merchants_with_one_payment": float((shops == 1).mean()),
        "mobile_share": float(sum(modes.get(mode, 0.0) for mode in ("UPI", "WALLET"))),
        "number_of_payments": float(len(amounts)),
        "number_of_merchants": float(len(shops)),
    }


def _picture(path: Path, title: str, x: str, y: str, draw: Callable[[Axes], None]) -> None:
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    draw(axes)
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _lines(
    figures: dict[str, Any], series: Callable[[dict[str, Any]], tuple[Any, Any] | None]
) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        for name, one in figures.items():
            values = series(one)
            if values is not None:
                axes.plot(*values, label=name, color=COLOURS[name], linestyle=STYLES[name], linewidth=1.8)

    return draw


def _amounts(figures: dict[str, Any], path: Path) -> None:
    edges = np.linspace(-6, 6, 61)

    def density(one: dict[str, Any]) -> tuple[Any, Any]:
        share, _ = np.histogram(np.log2(one["amounts"] / one["median_amount"]), edges, density=True)
        return edges[:-1] + 0.1, share

    _picture(
        path,
        "Amounts, as multiples of the median",
        "log₂(amount / median): 1 is twice, −1 is half",
        "density",
        _lines(figures, density),
    )


def _gaps(figures: dict[str, Any], path: Path) -> None:
    def survival(one: dict[str, Any]) -> tuple[Any, Any]:
        days = np.arange(1, 91)
        longer = 1 - np.searchsorted(one["gaps"], days, side="right") / len(one["gaps"])
        return days, np.where(longer > 0, longer, np.nan)

    def draw(axes: Axes) -> None:
        _lines(figures, survival)(axes)
        axes.set_yscale("log")

    _picture(path, "Gaps between days with a payment", "days", "share of gaps that are longer", draw)


def _weekdays(figures: dict[str, Any], path: Path) -> None:
    names = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    _picture(
        path,
        "Weekly rhythm",
        "",
        "payments beside the mean day",
        _lines(figures, lambda one: (names, one["weekday"])),
    )


def _month(figures: dict[str, Any], path: Path) -> None:
    days = np.arange(1, 31)
    _picture(
        path,
        "Monthly rhythm",
        "day of the month",
        "payments beside the mean day",
        _lines(figures, lambda one: (days, one["month_day"])),
    )


def _hours(figures: dict[str, Any], path: Path) -> None:
    _picture(
        path,
        "Daily rhythm (Birmingham has no times)",
        "hour",
        "payments beside the mean hour",
        _lines(figures, lambda one: None if one["hour"] is None else (np.arange(24), one["hour"])),
    )


def _merchants(figures: dict[str, Any], path: Path) -> None:
    def tail(one: dict[str, Any]) -> tuple[Any, Any]:
        shops = one["merchants"]
        return np.arange(1, len(shops) + 1), shops / shops.sum()

    def draw(axes: Axes) -> None:
        _lines(figures, tail)(axes)
        axes.set_xscale("log")
        axes.set_yscale("log")

    _picture(path, "Merchants by rank", "rank", "share of all payments at merchants", draw)


def _modes(figures: dict[str, Any], path: Path) -> None:
    names = {
        "CARD": "card",
        "UPI": "UPI (mobile)",
        "WALLET": "wallet (mobile)",
        "NEFT": "transfer",
        "CASH": "cash",
    }

    def draw(axes: Axes) -> None:
        width = 0.26
        for number, (name, one) in enumerate(figures.items()):
            shares = [one["modes"].get(mode, 0.0) for mode in names]
            places = np.arange(len(names)) + (number - 1) * width
            axes.bar(places, shares, width, label=name, color=COLOURS[name])
        axes.set_xticks(np.arange(len(names)), list(names.values()))

    _picture(path, "Ways of paying", "", "share of payments", draw)


PICTURES = {
    "amounts": _amounts,
    "gaps": _gaps,
    "weekly-rhythm": _weekdays,
    "monthly-rhythm": _month,
    "daily-rhythm": _hours,
    "ways-of-paying": _modes,
    "merchants": _merchants,
}
