with

horizon as (
    select * from {{ ref('stg_horizon') }}
),

accounts as (
    select
        accounts.client_id,
        accounts.account_id,
        accounts.customer_id
    from {{ ref('int_accounts') }} as accounts
    where accounts.superseded_at is null and accounts.type in ('current', 'savings', 'wallet')
),

closings as (
    select
        closed.client_id,
        closed.account_id,
        closed.closing_balance as balance_after,
        closed.balance_date,
        cast({{ dbt.dateadd('day', 1, 'horizon.as_of_date') }} as date) as known_to
    from {{ ref('int_account_days') }} as closed
    inner join {{ ref('stg_clients') }} as clients
        on closed.client_id = clients.client_id and closed.currency = clients.base_currency
    inner join horizon on closed.client_id = horizon.client_id and closed.balance_date <= horizon.as_of_date
    where closed.closing_balance is not null
),

-- The others have no overdraft, and need not be followed day by day.
overdrawn as (
    select distinct
        client_id,
        account_id
    from closings
    where balance_after < 0
),

-- A closing holds until the next one of the account. To sort by one number costs half of sorting by two texts.
carried as (
    select
        *,
        coalesce(
            lead(balance_date) over (
                partition by {{ key_hash('client_id, account_id') }} order by balance_date
            ), known_to
        ) as next_date
    from closings
    where
        (client_id, account_id) in (
            select
                overdrawn.client_id,
                overdrawn.account_id
            from overdrawn
        )
),

changes as (
    {%- for day, change in [('balance_date', 1), ('next_date', -1)] %}
    select
        accounts.client_id,
        accounts.customer_id,
        carried.{{ day }} as change_date,
        {{ change }} as accounts_below_zero
    from carried
    inner join accounts using (client_id, account_id)
    where carried.balance_after < 0
    {{- '\n    union all' if not loop.last }}
    {%- endfor %}
),

-- A day on which nothing changes begins no stretch.
daily as (
    select
        client_id,
        customer_id,
        change_date,
        sum(accounts_below_zero) as accounts_below_zero
    from changes
    group by client_id, customer_id, change_date
    having sum(accounts_below_zero) <> 0
),

stretches as (
    select
        client_id,
        customer_id,
        sum(accounts_below_zero) over customer_days as accounts_below_zero,
        change_date as first_date,
        cast({{ dbt.dateadd('day', -1, 'lead(change_date) over customer_days') }} as date) as last_date
    from daily
    window customer_days as (partition by client_id, customer_id order by change_date)
),

overdrafts as (
    select * from stretches
    where accounts_below_zero > 0
)

select * from overdrafts
