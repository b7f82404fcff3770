{{ config(materialized='table') }}

with

horizon as (
    select * from {{ ref('stg_horizon') }}
),

clients as (
    select * from {{ ref('stg_clients') }}
),

months as (
    select * from {{ ref('int_months') }}
    where months_ago <= 12
),

members as (
    select segments.*
    from {{ ref('fct_segments') }} as segments
    inner join horizon on segments.client_id = horizon.client_id and segments.as_of_date = horizon.as_of_date
),

features as (
    select features.*
    from {{ ref('features_customers') }} as features
    inner join horizon on features.client_id = horizon.client_id and features.as_of_date = horizon.as_of_date
),

-- Money from the ledger, to the cent; the features' FLOAT is for models.
money as (
    select
        totals.client_id,
        totals.entity as customer_id,
        sum(totals.spend) as spend,
        sum(totals.revenue) as revenue
    from {{ ref('agg_monthly') }} as totals
    inner join months on totals.client_id = months.client_id and totals.month_start = months.month_start
    where totals.level = 'customer'
    group by totals.client_id, totals.entity
),

described as (
    select
        members.client_id,
        members.model,
        members.model_version,
        members.name,
        members.state,
        members.segment_id,
        count(*) as customers,
        sum(coalesce(money.spend, 0)) as spend,
        sum(coalesce(money.revenue, 0)) as revenue,
        {{ median('coalesce(money.spend, 0)') }} as median_spend,
        {{ median('features.days_since_last_transaction') }} as median_days_since_last,
        {{ median('features.transactions_90d') }} as median_transactions_90d,
        {{ median('features.tenure_days') }} as median_tenure_days,
        members.as_of_date
    from members
    left join features on members.client_id = features.client_id and members.customer_id = features.customer_id
    left join money on members.client_id = money.client_id and members.customer_id = money.customer_id
    group by
        members.client_id, members.model, members.model_version, members.name, members.state, members.segment_id,
        members.as_of_date
),

mix as (
    select
        members.client_id,
        members.model,
        members.segment_id,
        sums.category,
        sum(sums.spend) as spend
    from members
    inner join {{ ref('int_categories_monthly') }} as sums
        on members.client_id = sums.client_id and members.customer_id = sums.customer_id
    inner join months on sums.client_id = months.client_id and sums.month_start = months.month_start
    group by members.client_id, members.model, members.segment_id, sums.category
),

shares as (
    select
        client_id,
        model,
        segment_id,
        category,
        cast(spend as double)
        / nullif(sum(spend) over (partition by client_id, model, segment_id), 0) as share,
        cast(sum(spend) over (partition by client_id, model, category) as double)
        / nullif(sum(spend) over (partition by client_id, model), 0) as share_of_all
    from mix
),

foremost as (
    select
        *,
        row_number() over (
            partition by client_id, model, segment_id order by share - share_of_all desc, category asc
        ) as place
    from shares
    where share > share_of_all
),

-- Segments of the last month-end that nobody is in any more.
retired as (
    select distinct
        migration.client_id,
        migration.model,
        migration.from_segment as name,
        migration.from_segment_id as segment_id,
        migration.as_of_date
    from {{ ref('mart_segment_migration') }} as migration
    inner join horizon on migration.client_id = horizon.client_id and migration.as_of_date = horizon.as_of_date
    left join described
        on
            migration.client_id = described.client_id
            and migration.model = described.model
            and migration.from_segment_id = described.segment_id
    where migration.from_segment_id > 0 and described.client_id is null
),

profiles as (
    select
        described.client_id,
        described.model,
        described.model_version,
        described.name,
        described.state,
        foremost.category as leading_category,
        clients.base_currency as currency,
        described.segment_id,
        cast(described.customers as integer) as customers,
        cast(
            cast(described.customers as double)
            / sum(described.customers) over (partition by described.client_id, described.model) as float
        ) as share,
        cast(foremost.share as float) as leading_category_share,
        cast(foremost.share_of_all as float) as leading_category_share_of_all,
        cast(described.median_days_since_last as float) as median_days_since_last,
        cast(described.median_transactions_90d as float) as median_transactions_90d,
        cast(described.median_tenure_days as float) as median_tenure_days,
        cast(round(described.median_spend, 4) as decimal(18, 4)) as median_spend,
        cast(described.spend as decimal(18, 4)) as spend,
        cast(described.revenue as decimal(18, 4)) as revenue,
        cast(round(described.revenue / described.customers, 4) as decimal(18, 4)) as revenue_per_customer,
        described.as_of_date
    from described
    inner join clients on described.client_id = clients.client_id
    left join foremost
        on
            described.client_id = foremost.client_id
            and described.model = foremost.model
            and described.segment_id = foremost.segment_id
            and foremost.place = 1
    union all
    select
        retired.client_id,
        retired.model,
        null as model_version,
        retired.name,
        'retired' as state,
        null as leading_category,
        clients.base_currency as currency,
        retired.segment_id,
        0 as customers,
        cast(0 as float) as share,
        null as leading_category_share,
        null as leading_category_share_of_all,
        null as median_days_since_last,
        null as median_transactions_90d,
        null as median_tenure_days,
        null as median_spend,
        0 as spend,
        0 as revenue,
        null as revenue_per_customer,
        retired.as_of_date
    from retired
    inner join clients on retired.client_id = clients.client_id
)

select * from profiles
