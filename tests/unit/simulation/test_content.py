"""What stands in the files: a bank that looks like one."""

import datetime

import duckdb


def _one(files: duckdb.DuckDBPyConnection, query: str) -> tuple[object, ...]:
    row = files.sql(query).fetchone()
    assert row is not None
    return row


def test_merchants_have_a_long_tail(files: duckdb.DuckDBPyConnection) -> None:
    """Catches a draw that makes all merchants equally popular, or a few do all the business."""
    top, rare, merchants = _one(
        files,
        """
        with sizes as (
            select merchant_id, count(*) as payments
            from transactions where txn_type = 'PUR' and merchant_id is not null group by 1
        )
        select
            sum(payments) filter (where place <= 20) / sum(payments),
            count(*) filter (where payments <= 5) / count(*),
            count(*)
        from (select *, row_number() over (order by payments desc) as place from sizes)
        """,
    )
    assert 0.2 < float(str(top)) < 0.6
    assert float(str(rare)) > 0.3
    assert int(str(merchants)) > 2_000


def test_descriptors_are_written_by_many_hands(files: duckdb.DuckDBPyConnection) -> None:
    """Catches a descriptor style that a change has cut off; each needs its own rule downstream."""
    patterns = {
        "upi_merchant": r"UPI/P2M/\d{6}/.+/.+@.+",
        "upi_person": r"UPI/P2P/\d{6}/[A-Z ]+/.+@okaxis",
        "terminal": r"POS (4321|5412)XXXX .+",
        "acquirer": r"SQ \*.+ \d{4}",
        "gateway": r"(RAZ|PAYU)\*.+",
        "web": r"ECOM PUR/.+/[A-Z]+",
        "machine": r"ATM WDL/S1AW\d{4}/[A-Z]+",
        "salary": r"NEFT CR-\d{8}-.+-SALARY [A-Z]{3} \d{4}",
        "mandate": r"ACH D- .+-\d+",
        "subscription": r"UPI AUTOPAY/.+/\d{6}",
    }
    for name, pattern in patterns.items():
        (count,) = _one(
            files, f"select count(*) from transactions where regexp_full_match(narration, '{pattern}')"
        )
        assert int(str(count)) > 20, name
    (empty,) = _one(files, "select count(*) from transactions where coalesce(trim(narration), '') = ''")
    assert empty == 0


def test_every_posting_follows_its_pending_payment(files: duckdb.DuckDBPyConnection) -> None:
    """Catches a posting without its origin, in the same file, with another time, sign or sender."""
    postings, orphans = _one(
        files,
        """
        select count(*), count(*) filter (where pending.txn_id is null)
        from transactions as posted
        left join transactions as pending on posted.original_txn_id = pending.txn_id and pending.status = 'P'
        where posted.txn_type = 'PUR' and posted.original_txn_id is not null
        """,
    )
    assert int(str(postings)) > 2_000
    assert orphans == 0
    (wrong,) = _one(
        files,
        """
        select count(*)
        from readable as posted
        inner join readable as pending on posted.original_txn_id = pending.txn_id
        where posted.txn_type = 'PUR' and not coalesce(
            pending.filename < posted.filename and pending.booked_time is null
            and posted.booked_time::timestamp > pending.txn_time and posted.txn_time = pending.txn_time
            and posted.account_no = pending.account_no and posted.amount < 0, false)
        """,
    )
    assert wrong == 0


def test_refunds_and_reversals_give_back_what_was_paid(files: duckdb.DuckDBPyConnection) -> None:
    """Catches a refund of nothing, of more than was paid, or of somebody else's payment."""
    refunds, wrong = _one(
        files,
        """
        select
            count(*),
            count(*) filter (where not (bought.account_no = back.account_no and back.amount > 0
                and back.amount <= -bought.amount and back.txn_time > bought.txn_time))
        from readable as back
        inner join readable as bought on back.original_txn_id = bought.txn_id
        where back.txn_type in ('REF', 'REV')
        """,
    )
    assert int(str(refunds)) > 200
    assert wrong == 0


def test_own_transfers_cancel_out(files: duckdb.DuckDBPyConnection) -> None:
    """Catches money made or lost between a customer's own accounts, and legs that do not name each other."""
    (movements, wrong) = _one(
        files,
        """
        with legs as (
            select *, sum(amount) over pair as total, count(*) over pair as sides,
                max(counterparty_account) over pair as one, min(counterparty_account) over pair as other,
                max(account_no) over pair as one_account, min(account_no) over pair as other_account
            from readable where txn_type in ('OWN', 'CCP') and counterparty_account not like '9900%'
            window pair as (partition by customer_id, txn_time, regexp_extract(narration, '\\d{9}'))
        )
        select count(*), count(*) filter (
            where sides > 2 or sides = 2 and (total <> 0 or one <> one_account or other <> other_account))
        from legs
        """,
    )
    assert int(str(movements)) > 2_000
    assert wrong == 0


def test_balances_reconcile_with_the_amounts_to_the_paisa(files: duckdb.DuckDBPyConnection) -> None:
    """Catches a balance that forgets a posting, a refund of the month before, or a leg of a transfer."""
    (rows, wrong) = _one(
        files,
        """
        with lines as (
            select *, lag(balance_after) over (
                partition by account_no order by filename, booked_time::timestamp, line) as before
            from (
                select account_no, amount, balance_after::decimal(18, 2) as balance_after, filename,
                    booked_time, txn_id as line
                from transactions where status = 'S' and not contains(amount, 'O')
            )
        )
        select count(*), count(*) filter (where balance_after <> before + amount::decimal(18, 2))
        from lines
        where before is not null and account_no not in (
            select account_no from transactions where contains(amount, 'O'))
        """,
    )
    assert int(str(rows)) > 60_000
    assert wrong == 0


def test_an_instalment_that_finds_no_money_comes_back_and_costs(files: duckdb.DuckDBPyConnection) -> None:
    """Catches a loan that is paid out of nothing, and a returned debit without its charge."""
    returned, wrong, charges = _one(
        files,
        """
        select count(*), count(*) filter (where back.amount <> -paid.amount), (
            select count(*) from readable where narration like 'NACH RTN CHG%')
        from readable as back inner join readable as paid on back.original_txn_id = paid.txn_id
        where paid.txn_type = 'EMI' and back.txn_type = 'REV'
        """,
    )
    assert int(str(returned)) > 5
    assert wrong == 0
    assert charges == returned


def test_subscriptions_lapse_and_become_dearer(files: duckdb.DuckDBPyConnection) -> None:
    """Catches prices that never change, which no feature of recurring payments would have to follow."""
    (dearer, lapsed) = _one(
        files,
        """
        with paid as (
            select customer_id, regexp_extract(narration, 'AUTOPAY/([A-Z ]+)/', 1) as service,
                min(amount) <> max(amount) as is_dearer, max(txn_time) < timestamp '2024-10-15' as is_lapsed
            from readable where txn_type = 'SUB' group by 1, 2 having count(*) > 2
        )
        select count(*) filter (is_dearer), count(*) filter (is_lapsed) from paid
        """,
    )
    assert int(str(dearer)) > 20
    assert int(str(lapsed)) > 20


def test_salaries_come_on_working_days(files: duckdb.DuckDBPyConnection) -> None:
    """Catches a calendar that pays on Saturday or Sunday."""
    weekdays = files.sql("select distinct isodow(txn_time) from readable where txn_type = 'SAL'").fetchall()
    assert {day for (day,) in weekdays} <= {1, 2, 3, 4, 5}


def test_customers_join_and_close_over_time(files: duckdb.DuckDBPyConnection) -> None:
    """Catches a bank that starts complete, one that nobody leaves, and files of a day without news."""
    joined, closed, changed = _one(
        files,
        """
        with versions as (
            select *, regexp_extract(filename, '\\d{4}-\\d{2}-\\d{2}') as file_day,
                row_number() over (partition by customer_id order by filename) as version
            from customers
        )
        select
            count(*) filter (where version = 1 and signed_up_on = file_day and file_day > '2024-01-01'),
            count(*) filter (where closed_on = file_day),
            count(*) filter (where version > 1 and closed_on is null)
        from versions
        """,
    )
    assert int(str(joined)) > 50
    assert int(str(closed)) > 5
    assert int(str(changed)) > 50
    (late,) = _one(
        files,
        """
        with closings as (select customer_id, max(closed_on)::date as closed_on from customers group by 1)
        select count(*) from readable inner join closings using (customer_id) where txn_time >= closed_on
        """,
    )
    assert late == 0


def test_cards_and_phones_are_nobodys(files: duckdb.DuckDBPyConnection) -> None:
    """Catches a generator of plausible card numbers: one in ten of them would be somebody's."""
    cards = files.sql("select distinct card_number from transactions where pay_mode = 'CARD'").fetchall()
    for (number,) in cards:
        digits = [int(digit) for digit in number]
        doubled = [digit * (2 - place % 2) for place, digit in enumerate(digits)]
        assert len(digits) == 16
        assert sum(value - 9 * (value > 9) for value in doubled) % 10 != 0
    phones = files.sql(
        "select counterparty_phone from transactions union select mobile from customers"
    ).fetchall()
    assert all(phone is None or phone.startswith("+915") for (phone,) in phones)


def test_events_are_of_the_canonical_types(files: duckdb.DuckDBPyConnection) -> None:
    """Catches a type that staging does not know."""
    types = {row[0] for row in files.sql("select distinct event_type from events").fetchall()}
    assert types == {"login", "app_open", "support_contact", "campaign_sent", "campaign_response"}
    (first,) = _one(files, "select min(event_at) from events")
    assert isinstance(first, datetime.datetime) and first.date() == datetime.date(2024, 1, 1)
