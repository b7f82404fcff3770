-- depends_on: {{ ref('stg_as_of_dates') }}
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook={'sql': "{{ delete_tonight() }}", 'transaction': false},
    )
}}

{#- No share counts as less: the logarithm of an empty bin has no end. The same as in ml.profiles. -#}
{%- set least_share = 0.0001 %}

with

bins as (
    select *
    from {{ ref('stg_drift_bins') }}
    {%- if is_incremental() %}
    where
        (client_id, as_of_date) in (
            select
                dates.client_id,
                dates.as_of_date
            from {{ ref('stg_as_of_dates') }} as dates
            where dates.is_tonight
        )
    {%- endif %}
),

compared as (
    select
        *,
        'training' as reference,
        training_rows as reference_count,
        cast(null as date) as reference_date
    from bins
    union all
    select
        *,
        'last_year' as reference,
        last_year_rows as reference_count,
        last_year_date as reference_date
    from bins
    where last_year_rows is not null
),

totals as (
    select
        *,
        sum(row_count) over (
            partition by client_id, model, model_version, feature, reference, as_of_date
        ) as total,
        sum(reference_count) over (
            partition by client_id, model, model_version, feature, reference, as_of_date
        ) as reference_total
    from compared
),

shares as (
    select
        *,
        greatest(cast(row_count as double) / total, {{ least_share }}, 0.5 / total) as share_now,
        greatest(
            cast(reference_count as double) / reference_total, {{ least_share }}, 0.5 / reference_total
        ) as share_then
    from totals
    where total > 0 and reference_total > 0 and (row_count > 0 or reference_count > 0)
),

-- Terms are cast before they are added, so that the sum does not depend on their order.
measured as (
    select
        client_id,
        model,
        model_version,
        role,
        feature,
        reference,
        count(*) as bins,
        max(total) as row_count,
        max(reference_total) as reference_rows,
        cast(sum(cast((share_now - share_then) * ln(share_now / share_then) as decimal(38, 12))) as double) as psi,
        cast(
            sum(
                cast(
                    share_now * ln(2 * share_now / (share_now + share_then))
                    + share_then * ln(2 * share_then / (share_now + share_then)) as decimal(38, 12)
                )
            ) as double
        ) / (2 * ln(2)) as divergence,
        cast(sum(case when bin_kind = 'missing' then row_count else 0 end) as double) / max(total) as missing_rate,
        cast(sum(case when bin_kind = 'missing' then reference_count else 0 end) as double)
        / max(reference_total) as reference_missing_rate,
        cast(sum(case when bin_kind = 'new' then row_count else 0 end) as double) / max(total) as new_category_share,
        max(usual_psi) as usual_psi,
        max(reference_date) as reference_date,
        as_of_date
    from shares
    group by client_id, model, model_version, role, feature, reference, as_of_date
),

judged as (
    select
        *,
        (bins - 1) * (1.0 / row_count + 1.0 / reference_rows) as expected_psi,
        greatest(psi - (bins - 1) * (1.0 / row_count + 1.0 / reference_rows), 0) as excess_psi
    from measured
),

importances as (
    select
        version,
        feature,
        max(feature_group) as feature_group,
        max(importance) as importance
    from {{ ref('stg_model_importances') }}
    group by version, feature
),

weights as (
    select
        version,
        feature,
        feature_group,
        cast(importance as double)
        / nullif(cast(sum(importance) over (partition by version) as double), 0) as weight
    from importances
),

drift as (
    select
        judged.client_id,
        judged.model,
        judged.model_version,
        judged.role,
        judged.feature,
        weights.feature_group,
        judged.reference,
        cast(judged.row_count as bigint) as row_count,
        cast(judged.reference_rows as bigint) as reference_rows,
        cast(judged.bins as integer) as bins,
        cast(judged.psi as float) as psi,
        cast(judged.expected_psi as float) as expected_psi,
        cast(judged.excess_psi as float) as excess_psi,
        cast(judged.usual_psi as float) as usual_psi,
        cast(sqrt(greatest(judged.divergence, 0)) as float) as js_distance,
        cast(judged.missing_rate as float) as missing_rate,
        cast(judged.reference_missing_rate as float) as reference_missing_rate,
        cast(judged.new_category_share as float) as new_category_share,
        cast(case when judged.feature = 'score' then 1 else coalesce(weights.weight, 0) end as float) as weight,
        cast(
            case when judged.feature = 'score' then 1 else coalesce(weights.weight, 0) end
            * greatest(judged.excess_psi - coalesce(judged.usual_psi, judged.excess_psi), 0) as float
        ) as weighted_drift,
        judged.reference_date,
        judged.as_of_date
    from judged
    left join weights on judged.model_version = weights.version and judged.feature = weights.feature
)

select * from drift
