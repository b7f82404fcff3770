-- A table: the features of transactions and of velocity read it.
{{ config(materialized='table', schema='as_of') }}

{#- A label needs 7 days to come: the days whose frauds are counted end so long before, however short they are. -#}
{%- set due, week, month, quarter = "interval '7 days'", 7 + 6, 28 + 6, 90 + 6 %}
{%- set place = 'partition by client_id, place order by business_date' %}

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

-- A month-end describes the payments of a month: what was reported after the day of one of them is not used for it.
looked_at as (
    select distinct
        visits.client_id,
        visits.place,
        visits.business_date,
        dates.as_of_date,
        least(visits.ends_at + interval '1 microsecond', dates.cutoff_at) as reported_before,
        first_reports.known_at as first_reported_at
    from {{ ref('int_payments_seen') }} as visits
    inner join dates on visits.client_id = dates.client_id and visits.first_seen_on = dates.as_of_date
    inner join first_reports
        on dates.client_id = first_reports.client_id and dates.cutoff_at > first_reports.known_at
    where visits.is_scored and visits.place <> 'unknown'
),

-- Of each place, and of the client as a whole, whose name is empty.
points as (
    {%- for at in ["place", "'' as place"] %}
    select distinct
        client_id,
        {{ at }},
        business_date,
        as_of_date,
        reported_before
    from looked_at
    {{ "union all" if not loop.last }}
    {%- endfor %}
),

entries as (
    select
        client_id,
        place,
        business_date,
        transactions,
        amount,
        false as is_point
    from {{ ref('int_place_sums') }}
    union all
    select distinct
        client_id,
        place,
        business_date,
        cast(0 as bigint) as transactions,
        cast(0 as decimal(38, 4)) as amount,
        true as is_point
    from points
),

windowed as (
    select
        client_id,
        place,
        business_date,
        is_point,
        sum(transactions) over month_before as transactions_30d,
        sum(amount) over month_before as amount_30d,
        sum(transactions) over week_due as transactions_7d,
        sum(transactions) over month_due as transactions_28d,
        sum(transactions) over quarter_due as transactions_90d
    from entries
    window
        month_before as ({{ place }} range between interval '30 days' preceding and interval '1 day' preceding),
        week_due as ({{ place }} range between interval '{{ week }} days' preceding and {{ due }} preceding),
        month_due as ({{ place }} range between interval '{{ month }} days' preceding and {{ due }} preceding),
        quarter_due as ({{ place }} range between interval '{{ quarter }} days' preceding and {{ due }} preceding)
),

-- What the last date sees is not what each date knew.
differing as (
    select
        points.client_id,
        points.place,
        points.business_date,
        points.as_of_date,
        changes.transactions,
        changes.amount,
        changes.frauds,
        changes.business_date >= points.business_date - interval '30 days' as is_of_month,
        changes.business_date >= points.business_date - interval '{{ week }} days' as is_of_week,
        changes.business_date >= points.business_date - interval '{{ month }} days' as is_of_month_due,
        changes.business_date <= points.business_date - {{ due }} as is_due
    from points
    inner join {{ ref('int_place_changes') }} as changes
        on
            points.client_id = changes.client_id
            and points.place = changes.place
            and points.business_date > changes.business_date
            and points.business_date <= changes.business_date + interval '{{ quarter }} days'
            and points.as_of_date between changes.from_date and changes.to_date
            and points.reported_before > changes.known_at
            and points.reported_before <= changes.superseded_at
),

changed as (
    select
        client_id,
        place,
        business_date,
        as_of_date,
        sum(transactions) filter (where is_of_month) as transactions_30d,
        {%- for days, is_of_window in [(7, 'is_of_week'), (28, 'is_of_month_due'), (90, 'true')] %}
        {%- for counted in ['transactions', 'frauds'] %}
        sum({{ counted }}) filter (where {{ is_of_window }} and is_due) as {{ counted }}_{{ days }}d,
        {%- endfor %}
        {%- endfor %}
        sum(amount) filter (where is_of_month) as amount_30d
    from differing
    group by client_id, place, business_date, as_of_date
),

counted as (
    select
        points.client_id,
        points.place,
        points.business_date,
        points.as_of_date,
        coalesce(windowed.transactions_30d, 0) + coalesce(changed.transactions_30d, 0) as transactions_30d,
        {%- for days in [7, 28, 90] %}
        coalesce(windowed.transactions_{{ days }}d, 0)
        + coalesce(changed.transactions_{{ days }}d, 0) as transactions_{{ days }}d,
        coalesce(changed.frauds_{{ days }}d, 0) as frauds_{{ days }}d,
        {%- endfor %}
        coalesce(windowed.amount_30d, 0) + coalesce(changed.amount_30d, 0) as amount_30d
    from points
    inner join windowed
        on
            points.client_id = windowed.client_id
            and points.place = windowed.place
            and points.business_date = windowed.business_date
            and windowed.is_point
    left join changed
        on
            points.client_id = changed.client_id
            and points.place = changed.place
            and points.business_date = changed.business_date
            and points.as_of_date = changed.as_of_date
),

-- A place with few transactions is drawn to the rate of the client, the more so in a short window with less to say.
rates as (
    select
        looked_at.client_id,
        looked_at.place,
        looked_at.business_date,
        looked_at.as_of_date,
        {%- for days, prior_transactions in [(7, 5), (28, 20), (90, 20)] %}
        cast(
            case
                when looked_at.reported_before > looked_at.first_reported_at
                    then
                        (
                            cast(at_place.frauds_{{ days }}d as double)
                            + {{ prior_transactions }} * cast(anywhere.frauds_{{ days }}d as double)
                            / nullif(anywhere.transactions_{{ days }}d, 0)
                        )
                        / (at_place.transactions_{{ days }}d + {{ prior_transactions }})
            end as float
        ) as merchant_fraud_rate_{{ days }}d,
        {%- endfor %}
        cast(at_place.transactions_30d as bigint) as transactions_30d,
        cast(at_place.amount_30d as decimal(38, 4)) as amount_30d
    from looked_at
    inner join counted as at_place
        on
            looked_at.client_id = at_place.client_id
            and looked_at.place = at_place.place
            and looked_at.business_date = at_place.business_date
            and looked_at.as_of_date = at_place.as_of_date
    inner join counted as anywhere
        on
            looked_at.client_id = anywhere.client_id
            and looked_at.business_date = anywhere.business_date
            and looked_at.as_of_date = anywhere.as_of_date
            and anywhere.place = ''
)

select * from rates
