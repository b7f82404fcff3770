{{ config(schema='as_of') }}

{#- Instalments looked back at; what was owed before is taken for nothing. -#}
{%- set months = 36 %}
{%- set account_days = 'partition by client_id, account_id, as_of_date order by business_date' %}

with

loans as (
    select * from {{ ref('int_loans_as_of') }}
    where is_open and account_id is not null and instalment > 0
),

accounts as (
    select
        client_id,
        account_id,
        min(customer_id) as customer_id,
        sum(instalment) as instalment,
        as_of_date,
        min(cutoff_at) as cutoff_at
    from loans
    group by client_id, account_id, as_of_date
),

payments as (
    select
        accounts.client_id,
        accounts.account_id,
        accounts.as_of_date,
        movements.business_date,
        sum(movements.paid) as paid
    from accounts
    inner join {{ ref('int_lending_movements') }} as movements
        on
            accounts.client_id = movements.client_id
            and accounts.account_id = movements.account_id
            and accounts.as_of_date >= movements.business_date
            and accounts.cutoff_at > movements.known_from
            and accounts.cutoff_at <= movements.known_until
    where
        movements.is_of_loan
        and movements.business_date > cast({{ dbt.dateadd('month', -months, 'accounts.as_of_date') }} as date)
    group by accounts.client_id, accounts.account_id, accounts.as_of_date, movements.business_date
),

-- Before its first movement nothing tells what an account was paid.
begun as (
    select
        client_id,
        account_id,
        as_of_date,
        min(business_date) as first_day
    from payments
    group by client_id, account_id, as_of_date
),

numbers as (
    select numbers.months_ago
    from (
        values
        {%- for number in range(months) %}
        ({{ number }}){{ "," if not loop.last }}
        {%- endfor %}
    ) as numbers (months_ago)
),

instalments as (
    select
        loans.client_id,
        loans.account_id,
        loans.as_of_date,
        loans.instalment,
        cast(
            {{ dbt.dateadd('month', 'loans.months_on_book - numbers.months_ago', 'loans.granted_on') }} as date
        ) as due_on
    from loans
    inner join numbers
        on
            loans.months_on_book > numbers.months_ago
            and loans.months_on_book - coalesce(loans.term_months, loans.months_on_book) <= numbers.months_ago
),

daily as (
    select
        client_id,
        account_id,
        as_of_date,
        business_date,
        sum(due) as due,
        sum(paid) as paid
    from (
        select
            client_id,
            account_id,
            as_of_date,
            business_date,
            0 as due,
            paid
        from payments
        union all
        select
            instalments.client_id,
            instalments.account_id,
            instalments.as_of_date,
            instalments.due_on as business_date,
            instalments.instalment as due,
            0 as paid
        from instalments
        inner join begun using (client_id, account_id, as_of_date)
        where instalments.due_on >= begun.first_day
    ) as both_ways
    group by client_id, account_id, as_of_date, business_date
),

summed as (
    select
        *,
        sum(due - paid) over ({{ account_days }}) as behind,
        sum(due) over ({{ account_days }} desc) as due_since,
        lead(business_date) over ({{ account_days }}) as next_day
    from daily
),

-- What was paid beyond everything due so far was for arrears from before the first movement, or ahead of time.
owing as (
    select
        *,
        behind - least(min(behind) over ({{ account_days }}), 0) as owed
    from summed
),

settled as (
    select
        client_id,
        account_id,
        as_of_date,
        max(case when next_day is null then owed end) as owed_now,
        max(
            case
                when
                    next_day is null
                    or next_day > cast({{ dbt.dateadd('day', -364, 'as_of_date') }} as date)
                    then owed
            end
        ) as most_owed
    from owing
    group by client_id, account_id, as_of_date
),

-- The oldest of the latest instalments that what is owed now consists of.
oldest as (
    select
        owing.client_id,
        owing.account_id,
        owing.as_of_date,
        max(owing.business_date) as unpaid_since
    from owing
    inner join settled using (client_id, account_id, as_of_date)
    where owing.due > 0 and settled.owed_now > 0 and owing.due_since >= settled.owed_now
    group by owing.client_id, owing.account_id, owing.as_of_date
),

arrears as (
    select
        accounts.client_id,
        accounts.customer_id,
        accounts.as_of_date,
        cast(sum(cast(settled.owed_now / accounts.instalment as decimal(18, 4))) as float) as instalments_owed,
        cast(
            max(coalesce({{ days_between('oldest.unpaid_since', 'accounts.as_of_date') }}, 0)) as float
        ) as days_past_due,
        cast(max(cast(settled.most_owed / accounts.instalment as decimal(18, 4))) as float) as most_owed_365d
    from accounts
    inner join settled using (client_id, account_id, as_of_date)
    left join oldest using (client_id, account_id, as_of_date)
    group by accounts.client_id, accounts.customer_id, accounts.as_of_date
)

select * from arrears
