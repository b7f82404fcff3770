{{ config(schema='as_of') }}

with

loans as (
    select * from {{ ref('int_loans_as_of') }}
),

borrowed as (
    select
        client_id,
        customer_id,
        as_of_date,
        cast(count(*) filter (where is_open) as float) as open_loans,
        sum(case when is_open then instalment end) as instalments,
        sum(case when is_open then cast(principal * outstanding_share as decimal(18, 4)) end)
            as outstanding_principal,
        sum(case when is_open and outstanding_share is not null then principal end) as open_principal,
        cast(max(case when is_open then months_on_book end) as float) as months_on_book,
        count(*) filter (where standing = 'defaulted') > 0 as is_in_default,
        cast(
            max(
                case
                    when standing = 'arrears' then {{ days_between('standing_since', 'as_of_date') }}
                    when is_open then 0
                end
            ) as float
        ) as days_in_arrears,
        cast({{ days_between('max(last_arrears_on)', 'as_of_date') }} / 30.4375 as float)
            as months_since_arrears
    from loans
    group by client_id, customer_id, as_of_date
),

limits as (
    select
        dates.client_id,
        accounts.customer_id,
        dates.as_of_date,
        cast(sum(accounts.credit_limit) as float) as own_credit_limit
    from {{ ref('int_dates_to_build') }} as dates
    inner join {{ ref('int_accounts') }} as accounts
        on
            dates.client_id = accounts.client_id
            and dates.cutoff_at > accounts.known_at
            and (accounts.superseded_at is null or dates.cutoff_at <= accounts.superseded_at)
    inner join {{ ref('stg_clients') }} as clients
        on
            accounts.client_id = clients.client_id
            and coalesce(accounts.currency, clients.base_currency) = clients.base_currency
    where
        accounts.credit_limit > 0
        and (accounts.opened_on is null or accounts.opened_on <= dates.as_of_date)
        and (accounts.closed_on is null or accounts.closed_on > dates.as_of_date)
    group by dates.client_id, accounts.customer_id, dates.as_of_date
),

reported as (
    select * from {{ ref('int_bureau_as_of') }}
),

-- Whoever has any of the three.
customers as (
    {%- for part in ['borrowed', 'limits', 'reported'] %}
    select
        client_id,
        customer_id,
        as_of_date
    from {{ part }}
    {{ "union" if not loop.last }}
    {%- endfor %}
),

-- A client whose loans feed has not begun has unknown loans, not none.
lenders as (
    select distinct
        client_id,
        as_of_date
    from loans
),

borrowing as (
    select
        customers.client_id,
        customers.customer_id,
        customers.as_of_date,
        lenders.client_id is not null as has_loans_feed,
        borrowed.open_loans,
        borrowed.instalments,
        borrowed.outstanding_principal,
        borrowed.open_principal,
        borrowed.months_on_book,
        borrowed.days_in_arrears,
        borrowed.months_since_arrears,
        coalesce(borrowed.is_in_default, false) as is_in_default,
        limits.own_credit_limit,
        reported.total_balance,
        reported.total_credit_limit,
        reported.number_of_open_accounts,
        reported.number_of_accounts_in_arrears,
        reported.report_age_days
    from customers
    left join lenders using (client_id, as_of_date)
    left join borrowed using (client_id, customer_id, as_of_date)
    left join limits using (client_id, customer_id, as_of_date)
    left join reported using (client_id, customer_id, as_of_date)
)

select * from borrowing
