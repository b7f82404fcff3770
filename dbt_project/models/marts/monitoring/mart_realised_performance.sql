-- depends_on: {{ ref('stg_as_of_dates') }}, {{ ref('stg_horizon') }}, {{ ref('stg_outcomes') }}
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook={'sql': "{{ delete_touched_cohorts() }}", 'transaction': false},
    )
}}

with

-- Only what learns from labels gives probabilities that can come true.
labelled as (
    select distinct version from {{ ref('stg_model_metrics') }}
    where metric = 'average_precision' and baseline = ''
),

budgets as (
    select
        model,
        max(cast(budget_share as double)) as budget_share
    from {{ ref('stg_outcomes') }}
    group by model
),

scores as (
    select
        scores.client_id,
        scores.model,
        scores.model_version,
        scores.entity_id,
        scores.role,
        scores.score,
        scores.as_of_date,
        cast({{ dbt.date_trunc('month', 'scores.as_of_date') }} as date) as cohort_month
    from {{ ref('stg_scores') }} as scores
    inner join labelled on scores.model_version = labelled.version
    {%- if is_incremental() %}
    where
        (scores.client_id, cast({{ dbt.date_trunc('month', 'scores.as_of_date') }} as date)) in (
            {{ touched_cohorts() }}
        )
    {%- endif %}
),

told as (
    select
        scores.*,
        outcomes.label,
        outcomes.label_now,
        outcomes.matured_on,
        max(case when outcomes.matured_on is not null then scores.as_of_date end) over (
            partition by scores.client_id, scores.model, scores.model_version, scores.role, scores.cohort_month
        ) as last_matured_date,
        max(scores.as_of_date) over (
            partition by scores.client_id, scores.model, scores.model_version, scores.role, scores.cohort_month
        ) as last_scored_date
    from scores
    left join {{ ref('stg_outcomes') }} as outcomes
        on
            scores.client_id = outcomes.client_id
            and scores.model = outcomes.model
            and scores.model_version = outcomes.model_version
            and scores.entity_id = outcomes.entity_id
            and scores.as_of_date = outcomes.as_of_date
),

-- The score stands for the outcome where nobody knows that yet.
judged as (
    select
        *,
        'estimated' as basis,
        cast(score as double) as outcome
    from told
    union all
    select
        *,
        'then' as basis,
        cast(label as double) as outcome
    from told
    where label is not null
    union all
    select
        *,
        'now' as basis,
        cast(label_now as double) as outcome
    from told
    where label_now is not null
),

-- Rows with equal scores are one step: their order never matters. Terms are cast before they are added.
steps as (
    select
        client_id,
        model,
        model_version,
        role,
        cohort_month,
        basis,
        score,
        count(*) as step_rows,
        count(matured_on) as matured_rows,
        sum(cast(outcome as decimal(38, 12))) as step_events,
        sum(cast(score as decimal(38, 12))) as expected_events,
        min(as_of_date) as first_date,
        max(as_of_date) as last_date,
        coalesce(max(last_matured_date) = max(last_scored_date), false) as is_mature
    from judged
    group by client_id, model, model_version, role, cohort_month, basis, score
),

ranked as (
    select
        *,
        sum(step_rows) over down as rows_down,
        sum(step_events) over down as events_down,
        sum(step_rows) over cohort as all_rows,
        sum(step_events) over cohort as all_events
    from steps
    window
        down as (
            partition by client_id, model, model_version, role, cohort_month, basis
            order by score desc
            rows unbounded preceding
        ),
        cohort as (partition by client_id, model, model_version, role, cohort_month, basis)
),

placed as (
    select
        ranked.*,
        budgets.budget_share,
        cast(ranked.step_events as double) * ranked.events_down / ranked.rows_down as precision_term,
        cast(ranked.step_events as double) * (
            (ranked.all_rows - ranked.all_events) - (ranked.rows_down - ranked.events_down)
            + (ranked.step_rows - ranked.step_events) / 2
        ) as beaten,
        -- Of a step across the limit a part lies within the budget.
        cast(ranked.step_events as double) * least(
            greatest((budgets.budget_share * ranked.all_rows - ranked.rows_down) / ranked.step_rows + 1, 0),
            1
        ) as found
    from ranked
    left join budgets on ranked.model = budgets.model
),

summed as (
    select
        client_id,
        model,
        model_version,
        role,
        basis,
        cohort_month,
        max(budget_share) as budget_share,
        sum(step_rows) as row_count,
        sum(matured_rows) as matured_rows,
        cast(sum(step_events) as double) as events,
        cast(sum(expected_events) as double) as expected_events,
        cast(sum(cast(precision_term as decimal(38, 12))) as double) as precision_sum,
        cast(sum(cast(beaten as decimal(38, 8))) as double) as beaten,
        cast(sum(cast(found as decimal(38, 12))) as double) as found,
        min(first_date) as first_date,
        max(last_date) as last_date,
        min(case when is_mature then 1 else 0 end) = 1 as is_mature
    from placed
    group by client_id, model, model_version, role, basis, cohort_month
),

performance as (
    select
        client_id,
        model,
        model_version,
        role,
        basis,
        cast(row_count as bigint) as row_count,
        cast(matured_rows as bigint) as matured_rows,
        cast(events as decimal(18, 4)) as events,
        cast(expected_events as decimal(18, 4)) as expected_events,
        cast(events / row_count as float) as event_rate,
        cast(expected_events / row_count as float) as mean_score,
        cast(case when basis <> 'estimated' then events / nullif(expected_events, 0) end as float) as calibration_ratio,
        cast(
            case when basis <> 'estimated' then beaten / nullif(events * (row_count - events), 0) end as float
        ) as roc_auc,
        cast(case when basis <> 'estimated' then precision_sum / nullif(events, 0) end as float) as average_precision,
        cast(budget_share as float) as budget_share,
        cast(found / (budget_share * row_count) as float) as precision_at_budget,
        cast(found / nullif(events, 0) as float) as recall_at_budget,
        is_mature,
        cohort_month,
        first_date,
        last_date
    from summed
)

select * from performance
