"""The canonical feeds: the one list of their columns, types and codes.

Tables, casts and the checks of source contracts are all made from it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import duckdb

PAYMENT_MODES = (
    "card upi wallet transfer direct_debit standing_order cash cheque fee interest".split()  # noqa: SIM905
)
CHANNELS = ("pos", "online", "atm", "app", "branch")
TYPES = {
    "text": "varchar",
    "code": "varchar",
    "currency": "varchar",
    "date": "date",
    "timestamp": "timestamp",
    "money": "decimal(18,4)",
    "coordinate": "decimal(9,6)",
    "integer": "integer",
    "whole": "bigint",
    "measure": "decimal(38,16)",
    "boolean": "boolean",
}
EXTRA_KINDS = {
    "text": "text",
    "integer": "whole",
    "money": "money",
    "decimal": "measure",
    "date": "date",
    "timestamp": "timestamp",
    "boolean": "boolean",
}
"""Kind of column by the `type` that a contract gives an extra column."""


@dataclass(frozen=True)
class Column:
    """One canonical column.

    `kind` is a key of `TYPES`; `codes` are the values that a column of kind `code` may hold.
    """

    name: str
    kind: str = "text"
    mandatory: bool = False
    codes: tuple[str, ...] = ()

    @property
    def sql_type(self) -> str:
        """DuckDB's type of the column in raw."""
        return TYPES[self.kind]


@dataclass(frozen=True)
class Feed:
    """One canonical feed.

    `fact` names the columns, in order of preference, from whose moment a lag is counted.
    `later_fact` is a column that states a later fact, with the column that says when that became known.
    """

    name: str
    columns: tuple[Column, ...]
    fact: tuple[str, ...]
    later_fact: tuple[str, str] | None = None

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)

    @property
    def names(self) -> list[str]:
        """Names of the columns that a contract may fill, in order."""
        return [column.name for column in self.columns]


def _columns(text: str) -> Iterator[Column]:
    """Read `name:kind!`, where `!` marks a mandatory column."""
    codes = {
        "payment_mode": tuple(PAYMENT_MODES),
        "channel": CHANNELS,
        "status": ("pending", "posted"),
        "vertical": ("neobank", "wallet", "lender", "bank"),
        "type": ("current", "savings", "card", "wallet", "loan"),
        "event_type": ("login", "app_open", "support_contact", "campaign_sent", "campaign_response"),
        "entity": ("customer", "account", "loan", "transaction"),
    }
    for word in text.split():
        name, _, kind = word.rstrip("!").partition(":")
        yield Column(name, kind or "text", word.endswith("!"), codes[name] if kind == "code" else ())


FEEDS = {
    feed.name: feed
    for feed in (
        Feed(
            "transactions",
            tuple(
                _columns("""
                    account_id! customer_id! event_at:timestamp business_date:date! amount:money!
                    currency:currency! description! transaction_id booked_at:timestamp authorised_at:timestamp
                    original_amount:money original_currency:currency merchant_name merchant_id terminal_id mcc
                    source_category card_token counterparty_token payment_mode:code channel:code city region
                    country latitude:coordinate longitude:coordinate remarks status:code
                    original_transaction_id fee_amount:money balance_after:money
                """)
            ),
            ("booked_at", "event_at", "business_date"),
        ),
        Feed(
            "customers",
            tuple(
                _columns("""
                    customer_id! signed_up_on:date closed_on:date birth_year:integer gender region city
                    country vertical:code declared_income:money consents
                """)
            ),
            ("signed_up_on",),
            ("closed_on", "closed_known_at"),
        ),
        Feed(
            "accounts",
            tuple(
                _columns("""
                    account_id! customer_id! type:code currency:currency opened_on:date closed_on:date
                    credit_limit:money
                """)
            ),
            ("opened_on",),
            ("closed_on", "closed_known_at"),
        ),
        Feed(
            "credit_bureau",
            tuple(
                _columns("""
                    customer_id! reported_on:date! total_balance:money total_credit_limit:money
                    number_of_open_accounts:integer number_of_accounts_in_arrears:integer
                """)
            ),
            ("reported_on",),
        ),
        Feed(
            "events",
            tuple(_columns("customer_id! event_at:timestamp! event_type:code! channel device_token")),
            ("event_at",),
        ),
        Feed(
            "loans",
            tuple(
                _columns("""
                    loan_id! customer_id! granted_on:date! account_id principal:money instalment:money
                    term_months:integer status status_on:date
                """)
            ),
            ("granted_on",),
            ("status_on", "status_known_at"),
        ),
        Feed(
            "labels",
            tuple(_columns("entity:code! entity_id! label! value! event_at:timestamp! said_by")),
            ("event_at",),
        ),
        Feed(
            "attributes",
            tuple(_columns("entity:code! entity_id! business_date:date!")),
            ("business_date",),
        ),
    )
}
BY_SOURCE = ("attributes",)
"""Feeds with a table of their own for each source, as every source brings other columns (see `extras`)."""


def raw_columns(feed: Feed) -> list[tuple[str, str]]:
    """(name, type) of every column of `raw.<feed>`, in order."""
    columns = [("client_id", "varchar"), ("source", "varchar")]
    if feed.name == "transactions":
        columns += [("transaction_key", "varchar"), ("_occurrence", "integer"), ("_content_hash", "varchar")]
    columns += [(column.name, column.sql_type) for column in feed.columns]
    columns.append(("known_at", "timestamp"))
    if feed.later_fact:
        columns.append((feed.later_fact[1], "timestamp"))
    return [*columns, ("_load_id", "varchar"), ("_record", "bigint")]


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Make schema `raw` and the load ledger in schema `ops`, where they are missing."""
    connection.execute("create schema if not exists raw; create schema if not exists ops")
    for feed in FEEDS.values():
        if feed.name in BY_SOURCE:
            continue
        columns = ", ".join(f'"{name}" {sql_type}' for name, sql_type in raw_columns(feed))
        connection.execute(f"create table if not exists raw.{feed.name} ({columns})")
    connection.execute("""
        create table if not exists raw.quarantine (
            client_id varchar, source varchar, feed varchar, file varchar, record bigint,
            column_name varchar, reason varchar, shape varchar, _load_id varchar);
        create table if not exists raw.replaced_periods (
            client_id varchar, source varchar, period_from date, period_to date, known_at timestamp,
            _load_id varchar);
        create table if not exists ops.touched_days (
            client_id varchar, business_date date, primary key (client_id, business_date));
        create table if not exists ops.changed_facts (
            client_id varchar, business_date date, known_at timestamp);
        create table if not exists ops.held_days (
            load_id varchar, client_id varchar, source varchar, business_date date);
        create table if not exists ops.applied_orders (order_id bigint primary key);
        create table if not exists ops.loads (
            load_id varchar primary key, client_id varchar, source varchar, contract varchar, file varchar,
            sha256 varchar, arrived_at timestamp, records bigint, amount_sum decimal(38,4),
            quarantined bigint, verdict varchar, message varchar, _contract_hash varchar);
        create table if not exists ops.load_feeds (
            load_id varchar, feed varchar, records bigint, rows bigint, quarantined bigint,
            primary key (load_id, feed));
        create table if not exists ops.raw_tables (
            table_name varchar primary key, feed varchar, source varchar);
        create table if not exists ops.coverage (
            client_id varchar, source varchar, feed varchar, business_date date, currency varchar,
            expected boolean, arrived boolean, rows bigint, amount_sum decimal(38,4), quarantined bigint,
            state varchar, first_known_at timestamp, last_known_at timestamp, _fingerprint hugeint);
        alter table ops.coverage add column if not exists _fingerprint hugeint;
    """)
