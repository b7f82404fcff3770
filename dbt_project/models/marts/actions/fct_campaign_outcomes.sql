-- Never rebuilt whole: a campaign is measured once, when the last outcome can be known; until then it is open.
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='append_new_columns',
        full_refresh=false,
        pre_hook="
            {% if is_incremental() %}
            delete from {{ this }}
            where
                state = 'open'
                or (client_id, campaign) in (
                    select told.client_id, told.campaign from {{ ref('int_campaign_customers') }} as told
                )
            {% endif %}
        ",
    )
}}

{#- Standard normal quantile of a two-sided interval of 95 %. -#}
{%- set z = 1.959964 %}

with

{%- if is_incremental() %}

known as (
    select
        client_id,
        campaign
    from {{ this }}
),
{%- else %}

known as (
    select
        client_id,
        campaign
    from {{ ref('fct_next_best_actions') }}
    where false
),
{%- endif %}

campaigns as (
    select
        actions.client_id,
        actions.campaign,
        min(actions.action) as action,
        min(actions.outcome) as outcome,
        min(actions.outcome_category) as outcome_category,
        min(actions.currency) as currency,
        sum(case when actions.assignment = 'treatment' then 1 else 0 end) as treated,
        sum(case when actions.assignment = 'control' then 1 else 0 end) as controls,
        sum(case when actions.assignment = 'treatment' then actions.cost else 0 end) as cost,
        -- Assignments from before the worth was kept have none: a sum without them would tell too little.
        case
            when sum(case when actions.assignment = 'treatment' and actions.worth is null then 1 else 0 end) = 0
                then sum(case when actions.assignment = 'treatment' then actions.worth else 0 end)
        end as worth,
        sum(case when actions.assignment = 'treatment' then actions.expected_value else 0 end) as return_assumed,
        min(actions.as_of_date) as first_assigned_on,
        max(actions.as_of_date) as last_assigned_on
    from {{ ref('fct_next_best_actions') }} as actions
    left join known on actions.client_id = known.client_id and actions.campaign = known.campaign
    where known.campaign is null
    group by actions.client_id, actions.campaign
),

-- Squares of decimals with four digits have eight: nothing is lost, whatever the order.
arms as (
    select
        client_id,
        campaign,
        {%- for arm, name in [('treatment', 't'), ('control', 'c')] %}
        sum(case when assignment = '{{ arm }}' then 1 else 0 end) as n_{{ name }},
        sum(case when assignment = '{{ arm }}' then did else 0 end) as did_{{ name }},
        sum(case when assignment = '{{ arm }}' then is_sent else 0 end) as sent_{{ name }},
        {%- for money in ['spend', 'revenue'] %}
        cast(sum(case when assignment = '{{ arm }}' then {{ money }} else 0 end) as double) as {{ money }}_{{ name }},
        cast(
            sum(
                case
                    when assignment = '{{ arm }}'
                        then cast({{ money }} as decimal(19, 4)) * cast({{ money }} as decimal(19, 4))
                    else 0
                end
            ) as double
        ) as {{ money }}_squared_{{ name }},
        {%- endfor %}
        {%- endfor %}
        sum(case when assignment = 'treatment' then is_answered else 0 end) as answered,
        max(measured_on) as measured_on
    from {{ ref('int_campaign_customers') }}
    group by client_id, campaign
),

rated as (
    select
        *,
        {%- for name in ['t', 'c'] %}
        cast(did_{{ name }} as double) / nullif(n_{{ name }}, 0) as rate_{{ name }},
        {%- for money in ['spend', 'revenue'] %}
        {{ money }}_{{ name }} / nullif(n_{{ name }}, 0) as mean_{{ money }}_{{ name }},
        {%- endfor %}
        {%- endfor %}
        n_t > 1 and n_c > 1 as is_compared
    from arms
),

-- Wilson's interval of each rate (1927): its middle and half its width; the variance of each mean.
described as (
    select
        {%- for name in ['t', 'c'] %}
        (rate_{{ name }} + {{ z * z / 2 }} / n_{{ name }}) / (1 + {{ z * z }} / n_{{ name }}) as middle_{{ name }},
        sqrt(rate_{{ name }} * (1 - rate_{{ name }}) / n_{{ name }} + {{ z * z / 4 }} / (n_{{ name }} * n_{{ name }}))
        * {{ z }} / (1 + {{ z * z }} / n_{{ name }}) as half_{{ name }},
        {%- for money in ['spend', 'revenue'] %}
        greatest({{ money }}_squared_{{ name }} - mean_{{ money }}_{{ name }} * {{ money }}_{{ name }}, 0)
        / (n_{{ name }} - 1) / n_{{ name }} as error_{{ money }}_{{ name }},
        {%- endfor %}
        {%- endfor %}
        *
    from rated
    where is_compared
),

-- Newcombe's interval of a difference of rates (1998, method 10); of means by their variances (Welch), normal.
compared as (
    select
        client_id,
        campaign,
        rate_t,
        rate_c,
        rate_t - rate_c as uplift,
        rate_t - rate_c - sqrt(
            (rate_t - middle_t + half_t) * (rate_t - middle_t + half_t)
            + (middle_c + half_c - rate_c) * (middle_c + half_c - rate_c)
        ) as uplift_lo,
        rate_t - rate_c + sqrt(
            (middle_t + half_t - rate_t) * (middle_t + half_t - rate_t)
            + (rate_c - middle_c + half_c) * (rate_c - middle_c + half_c)
        ) as uplift_hi,
        mean_spend_t - mean_spend_c as spend_uplift,
        mean_revenue_t - mean_revenue_c as revenue_uplift,
        {{ z }} * sqrt(error_spend_t + error_spend_c) as spend_margin,
        {{ z }} * sqrt(error_revenue_t + error_revenue_c) as revenue_margin
    from described
),

outcomes as (
    select
        campaigns.client_id,
        campaigns.campaign,
        campaigns.action,
        campaigns.outcome,
        campaigns.outcome_category,
        case
            when arms.campaign is null then 'open'
            when compared.campaign is null then 'no comparison'
            else 'closed'
        end as state,
        campaigns.currency,
        cast(campaigns.treated as integer) as treated,
        cast(campaigns.controls as integer) as controls,
        cast(arms.sent_t as integer) as treated_sent,
        cast(arms.sent_c as integer) as controls_sent,
        cast(arms.answered as integer) as answered,
        {%- for column in ['rate_t', 'rate_c', 'uplift', 'uplift_lo', 'uplift_hi'] %}
        cast(compared.{{ column }} as float) as {{ column | replace('_t', '_treated') | replace('_c', '_control') }},
        {%- endfor %}
        {%- for money in ['spend', 'revenue'] %}
        cast(compared.{{ money }}_uplift as decimal(18, 4)) as {{ money }}_uplift,
        cast(compared.{{ money }}_uplift - compared.{{ money }}_margin as decimal(18, 4)) as {{ money }}_uplift_lo,
        cast(compared.{{ money }}_uplift + compared.{{ money }}_margin as decimal(18, 4)) as {{ money }}_uplift_hi,
        {%- endfor %}
        cast(campaigns.cost as decimal(18, 4)) as cost,
        cast(campaigns.return_assumed as decimal(18, 4)) as return_assumed,
        {%- for end in ['', '_lo', '_hi'] %}
        cast(
            compared.uplift{{ end }} * campaigns.worth - campaigns.cost as decimal(18, 4)
        ) as return_realised{{ end }},
        {%- endfor %}
        {%- for sign, end in [('', ''), (' - compared.revenue_margin', '_lo'), (' + compared.revenue_margin', '_hi')] %}
        cast(
            (compared.revenue_uplift{{ sign }}) * campaigns.treated - campaigns.cost as decimal(18, 4)
        ) as return_in_window{{ end }},
        {%- endfor %}
        campaigns.first_assigned_on,
        campaigns.last_assigned_on,
        arms.measured_on
    from campaigns
    left join arms on campaigns.client_id = arms.client_id and campaigns.campaign = arms.campaign
    left join compared on campaigns.client_id = compared.client_id and campaigns.campaign = compared.campaign
)

select * from outcomes
