{#- A transaction is taken for genuine only when nobody has reported it for so many days. -#}
{%- set label_delay_days = 7 %}
{#- The client's own rate weighs as much as so many transactions at the place. -#}
{%- set prior_transactions = 20 %}

with

dates as (
    select * from {{ ref('int_dates_in_order') }}
),

first_reports as (
    select
        client_id,
        min(known_at) as known_at
    from {{ ref('int_fraud_reports') }}
    group by client_id
),

days as (
    select * from {{ ref('int_place_days') }}
),

changes as (
    select * from {{ ref('int_place_changes') }}
),

looked_at as (
    select distinct
        visits.client_id,
        visits.place,
        visits.business_date,
        dates.as_of_date,
        dates.cutoff_at,
        least(
            visits.business_date, cast({{ dbt.dateadd('day', 1 - label_delay_days, 'dates.as_of_date') }} as date)
        ) as ends_before
    from {{ ref('int_payments_seen') }} as visits
    inner join dates on visits.client_id = dates.client_id and visits.first_seen_on = dates.as_of_date
    inner join first_reports
        on dates.client_id = first_reports.client_id and dates.cutoff_at > first_reports.known_at
    where visits.is_scored
),

-- Of each place, and of the client as a whole, whose name is empty.
points as (
    select
        client_id,
        place,
        as_of_date,
        cutoff_at,
        ends_before
    from looked_at
    union
    select
        client_id,
        '' as place,
        as_of_date,
        cutoff_at,
        ends_before
    from looked_at
),

entries as (
    select
        client_id,
        place,
        business_date,
        transactions,
        false as is_point
    from days
    union all
    select distinct
        client_id,
        place,
        ends_before as business_date,
        cast(0 as bigint) as transactions,
        true as is_point
    from points
),

windowed as (
    select
        *,
        sum(transactions) over (
            partition by client_id, place order by business_date
            range between interval '28 days' preceding and interval '1 day' preceding
        ) as transactions_28d
    from entries
),

changed as (
    select
        points.client_id,
        points.place,
        points.as_of_date,
        points.ends_before,
        sum(changes.transactions) as transactions,
        sum(changes.frauds) as frauds
    from points
    inner join changes
        on
            points.client_id = changes.client_id
            and points.place = changes.place
            and points.ends_before > changes.business_date
            and points.ends_before <= changes.business_date + interval '28 days'
            and points.as_of_date between changes.from_date and changes.to_date
            and points.cutoff_at > changes.known_at
            and points.cutoff_at <= changes.superseded_at
    group by points.client_id, points.place, points.as_of_date, points.ends_before
),

counted as (
    select
        points.client_id,
        points.place,
        points.as_of_date,
        points.ends_before,
        coalesce(windowed.transactions_28d, 0) + coalesce(changed.transactions, 0) as transactions,
        coalesce(changed.frauds, 0) as frauds
    from points
    inner join windowed
        on
            points.client_id = windowed.client_id
            and points.place = windowed.place
            and points.ends_before = windowed.business_date
            and windowed.is_point
    left join changed
        on
            points.client_id = changed.client_id
            and points.place = changed.place
            and points.as_of_date = changed.as_of_date
            and points.ends_before = changed.ends_before
),

smoothed as (
    select
        looked_at.client_id,
        looked_at.place,
        looked_at.business_date,
        looked_at.as_of_date,
        cast(
            (
                cast(at_place.frauds as double)
                + {{ prior_transactions }} * cast(anywhere.frauds as double) / nullif(anywhere.transactions, 0)
            )
            / (at_place.transactions + {{ prior_transactions }}) as float
        ) as merchant_fraud_rate_28d
    from looked_at
    inner join counted as at_place
        on
            looked_at.client_id = at_place.client_id
            and looked_at.place = at_place.place
            and looked_at.as_of_date = at_place.as_of_date
            and looked_at.ends_before = at_place.ends_before
    inner join counted as anywhere
        on
            looked_at.client_id = anywhere.client_id
            and looked_at.as_of_date = anywhere.as_of_date
            and looked_at.ends_before = anywhere.ends_before
            and anywhere.place = ''
)

select * from smoothed
