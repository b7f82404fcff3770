{{ config(materialized='table') }}

{#- An excursion that pauses for so many scored dates is still the same one. -#}
{%- set pause = 3 %}
{#- Standard deviations of the index under chance alone that it must exceed: few rows do not cry wolf. -#}
{%- set deviations = 4 %}

with

drift as (
    select
        *,
        case when feature = 'score' then 'score of ' || model else feature end as alert_about,
        -- What is to move, as a tenure is, has no usual index and is no alert.
        coalesce(
            excess_psi - usual_psi >= {{ var('drift_threshold') }}
            and excess_psi - usual_psi >= {{ deviations }} * expected_psi * sqrt(2.0 / greatest(bins - 1, 1)),
            false
        ) as is_above
    from {{ ref('fct_drift') }}
    where role = 'champion'
),

dates as (
    select
        client_id,
        as_of_date,
        row_number() over (partition by client_id order by as_of_date) as place,
        row_number() over (partition by client_id order by as_of_date desc) as place_from_end
    from drift
    group by client_id, as_of_date
),

-- What is as it was a year before is the season.
above as (
    select
        training.*,
        dates.place,
        dates.place_from_end,
        row_number() over (
            partition by training.client_id, training.alert_about, training.as_of_date
            order by training.weighted_drift desc, training.excess_psi desc, training.model asc
        ) as place_among_models,
        count(*) over (
            partition by training.client_id, training.alert_about, training.as_of_date
        ) as models
    from drift as training
    inner join dates on training.client_id = dates.client_id and training.as_of_date = dates.as_of_date
    left join drift as last_year
        on
            training.client_id = last_year.client_id
            and training.model = last_year.model
            and training.model_version = last_year.model_version
            and training.feature = last_year.feature
            and training.as_of_date = last_year.as_of_date
            and last_year.reference = 'last_year'
    where training.reference = 'training' and training.is_above and coalesce(last_year.is_above, true)
),

foremost as (
    select
        *,
        place - lag(place) over (partition by client_id, alert_about order by as_of_date) as dates_since
    from above
    where place_among_models = 1
),

numbered as (
    select
        *,
        sum(case when dates_since <= {{ pause }} then 0 else 1 end) over (
            partition by client_id, alert_about order by as_of_date rows unbounded preceding
        ) as excursion
    from foremost
),

excursions as (
    select
        client_id,
        alert_about,
        excursion,
        min(as_of_date) as started_on,
        max(as_of_date) as last_seen_on,
        min(place_from_end) as dates_quiet,
        count(*) as dates_seen,
        max(excess_psi) as largest_excess_psi
    from numbered
    group by client_id, alert_about, excursion
),

begun as (
    select
        numbered.*,
        excursions.last_seen_on,
        excursions.dates_seen,
        excursions.largest_excess_psi,
        excursions.dates_quiet <= {{ pause }} as is_ongoing,
        cast({{ dbt.date_trunc('week', 'numbered.as_of_date') }} as date) as week_start
    from numbered
    inner join excursions
        on
            numbered.client_id = excursions.client_id
            and numbered.alert_about = excursions.alert_about
            and numbered.as_of_date = excursions.started_on
),

-- What came first is first: an alert that somebody has read is not taken back by a larger one of the same week.
ranked as (
    select
        *,
        row_number() over (
            partition by client_id, week_start order by as_of_date asc, weighted_drift desc, alert_about asc
        ) as number_in_week
    from begun
),

alerts as (
    select
        client_id,
        alert_about,
        model,
        model_version,
        feature,
        feature_group,
        case
            when new_category_share >= 0.05 then 'new categories'
            when abs(missing_rate - reference_missing_rate) >= 0.1 then 'missing values'
            else 'distribution'
        end as what_changed,
        case when largest_excess_psi - usual_psi >= 0.5 then 'large' else 'moderate' end as severity,
        cast(models as integer) as models,
        row_count,
        psi,
        excess_psi,
        usual_psi,
        largest_excess_psi,
        js_distance,
        missing_rate,
        reference_missing_rate,
        new_category_share,
        weight,
        weighted_drift,
        cast(dates_seen as integer) as dates_seen,
        cast(number_in_week as integer) as number_in_week,
        number_in_week <= {{ var('drift_alerts_per_week') }} as is_within_budget,
        is_ongoing,
        as_of_date as started_on,
        last_seen_on
    from ranked
)

select * from alerts
