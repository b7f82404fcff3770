-- depends_on: {{ ref('stg_as_of_dates') }}
-- Never rebuilt whole: what was told rests on it, whatever the rules say later.
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='append_new_columns',
        full_refresh=false,
        pre_hook={'sql': "{{ delete_tonight() }}", 'transaction': false},
    )
}}

with

dates as (
    select * from {{ ref('stg_as_of_dates') }}
    {{- ' where is_tonight' if is_incremental() }}
),

rules as (
    select * from {{ ref('life_event_rules') }}
),

changes as (
    select * from {{ ref('int_category_changes') }}
),

-- How much more or less the customer pays than usual in all; twenty payments weigh as unchanged.
overall as (
    select
        client_id,
        customer_id,
        as_of_date,
        (sum(payments_now) + 20) / cast(sum(usual_payments) + 20 as double) as factor
    from changes
    group by client_id, customer_id, as_of_date
),

more as (
    select
        changes.client_id,
        changes.customer_id,
        rules.rule,
        sum(changes.payments_now) as payments_now,
        sum(changes.usual_payments) as usual_payments,
        sum(changes.spend_now) as amount_now,
        sum(changes.usual_spend) as usual_amount,
        min(changes.first_day) as since_date,
        max(changes.last_day) as last_date,
        changes.as_of_date
    from changes
    inner join rules
        on
            changes.category = rules.category
            and (rules.subcategory is null or changes.subcategory = rules.subcategory)
    where rules.kind = 'more_spend'
    group by changes.client_id, changes.customer_id, rules.rule, changes.as_of_date
    having sum(changes.payments_now) > 0 and sum(changes.spend_now) > sum(changes.usual_spend)
),

-- Beyond what the change of everything explains, in standard deviations of a count.
surprising as (
    select
        more.*,
        cast(more.usual_payments * overall.factor as decimal(18, 4)) as expected_payments
    from more
    inner join overall
        on
            more.client_id = overall.client_id
            and more.customer_id = overall.customer_id
            and more.as_of_date = overall.as_of_date
),

signals as (
    select
        client_id,
        customer_id,
        rule,
        null as series,
        payments_now,
        expected_payments,
        amount_now,
        usual_amount,
        cast((payments_now - expected_payments) / sqrt(expected_payments + 1) as decimal(9, 4)) as surprise,
        since_date,
        last_date,
        as_of_date
    from surprising
    union all
    select
        changed.client_id,
        changed.customer_id,
        rules.rule,
        changed.series,
        changed.payments_now,
        null as expected_payments,
        changed.amount_now,
        changed.usual_amount,
        rules.full_surprise as surprise,
        changed.since_date,
        changed.last_date,
        changed.as_of_date
    from {{ ref('int_goal_signals') }} as changed
    inner join rules
        on changed.kind = rules.kind and coalesce(changed.category, '') = coalesce(rules.category, '')
),

-- Of two series that a rule fits, the newer one speaks; a rule counts once.
ranked as (
    select
        signals.*,
        rules.event,
        rules.words,
        cast(rules.weight * least(signals.surprise / rules.full_surprise, 1) as decimal(6, 4)) as strength,
        row_number() over (
            partition by signals.client_id, signals.customer_id, signals.as_of_date, signals.rule
            order by signals.since_date desc, signals.series asc
        ) as place
    from signals
    inner join rules on signals.rule = rules.rule
    where signals.payments_now >= rules.least_payments and signals.surprise >= rules.least_surprise
),

placed as (
    select
        ranked.*,
        clients.base_currency as currency,
        dates.cutoff_at
    from ranked
    inner join {{ ref('stg_clients') }} as clients on ranked.client_id = clients.client_id
    inner join dates on ranked.client_id = dates.client_id and ranked.as_of_date = dates.as_of_date
    where ranked.place = 1
),

-- Of all there ever were, those of the days of which int_category_changes tells a change.
paid as (
    select * from {{ ref('int_transactions') }}
    where
        has_base_amount
        and (client_id, business_date) in (
            select
                recent_days.client_id,
                recent_days.business_date
            from {{ ref('int_days_to_build') }} as recent_days
            where recent_days.days_ago < 60
        )
),

-- The greatest payment stands for all of them.
payments as (
    select
        placed.client_id,
        placed.customer_id,
        placed.rule,
        placed.as_of_date,
        {{ value_at_last('paid.transaction_key', ['paid.spend_amount', 'paid.transaction_key']) }} as transaction_key
    from placed
    inner join rules on placed.rule = rules.rule and rules.kind = 'more_spend'
    inner join paid
        on
            placed.client_id = paid.client_id
            and placed.customer_id = paid.customer_id
            and rules.category = paid.category
            and placed.since_date <= paid.business_date
            and placed.last_date >= paid.business_date
            and placed.cutoff_at > paid.known_at
            and (paid.superseded_at is null or placed.cutoff_at <= paid.superseded_at)
    where rules.subcategory is null or rules.subcategory = paid.subcategory
    group by placed.client_id, placed.customer_id, placed.rule, placed.as_of_date
),

evidence as (
    select
        placed.client_id,
        placed.customer_id,
        placed.event,
        placed.rule,
        placed.words,
        placed.series,
        payments.transaction_key,
        placed.currency,
        cast(placed.payments_now as integer) as payments,
        cast(placed.expected_payments as float) as usual_payments,
        cast(placed.amount_now as decimal(18, 4)) as amount,
        cast(placed.usual_amount as decimal(18, 4)) as usual_amount,
        placed.strength,
        placed.since_date,
        placed.last_date,
        placed.as_of_date
    from placed
    left join payments
        on
            placed.client_id = payments.client_id
            and placed.customer_id = payments.customer_id
            and placed.rule = payments.rule
            and placed.as_of_date = payments.as_of_date
)

select * from evidence
