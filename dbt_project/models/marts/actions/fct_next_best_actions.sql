-- depends_on: {{ ref('stg_as_of_dates') }}, {{ ref('stg_horizon') }}, {{ ref('stg_base_horizon') }}
-- Never rebuilt whole: who was contacted and who was left as control is a record. Only the client's latest date is
-- decided on, and only until it is published: nobody can be contacted on a date that is over, nor be called back.
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='append_new_columns',
        full_refresh=false,
        pre_hook="
            {% if is_incremental() %}
            delete from {{ this }}
            where (client_id, as_of_date) in (
                select undecided.client_id, undecided.as_of_date from ({{ undecided_dates() }}) as undecided
            )
            {% endif %}
        ",
    )
}}

with

candidates as (
    select * from {{ ref('int_action_candidates') }}
),

{%- if is_incremental() %}

assigned as (
    select * from {{ this }}
),
{%- else %}

assigned as (
    select
        cast(null as varchar) as client_id,
        cast(null as varchar) as campaign,
        cast(null as varchar) as customer_id,
        cast(null as varchar) as assignment,
        cast(null as decimal(18, 4)) as cost,
        cast(null as date) as as_of_date
    from candidates
    where false
),
{%- endif %}

-- Whoever was assigned lately is left in peace, whatever the arm: a control who is contacted otherwise is none.
resting as (
    select distinct
        candidates.client_id,
        candidates.customer_id,
        candidates.campaign
    from candidates
    inner join assigned
        on candidates.client_id = assigned.client_id and candidates.customer_id = assigned.customer_id
    where
        assigned.as_of_date < candidates.as_of_date
        and (
            assigned.campaign = candidates.campaign
            or {{ days_between('assigned.as_of_date', 'candidates.as_of_date') }} <= candidates.contact_pause_days
        )
),

spent as (
    select
        client_id,
        campaign,
        sum(cost) as cost
    from assigned
    where assignment = 'treatment'
    group by client_id, campaign
),

-- An action that cannot pay for one more contact leaves its customers to the others.
ranked as (
    select
        candidates.*,
        row_number() over (
            partition by candidates.client_id, candidates.customer_id
            order by candidates.expected_value desc, candidates.position asc
        ) as place
    from candidates
    left join resting
        on
            candidates.client_id = resting.client_id
            and candidates.customer_id = resting.customer_id
            and candidates.campaign = resting.campaign
    left join spent on candidates.client_id = spent.client_id and candidates.campaign = spent.campaign
    where
        resting.customer_id is null
        and candidates.expected_value > 0
        and (candidates.budget is null or coalesce(spent.cost, 0) + candidates.cost <= candidates.budget)
),

split as (
    select
        *,
        case
            when md5(client_id || '|' || campaign || '|' || customer_id || '|' || cast(seed as varchar)) < control_below
                then 'control'
            else 'treatment'
        end as assignment
    from ranked
    where place = 1
),

-- Contacts that come before: whether the budget reaches a customer does not depend on the customer's own arm.
queued as (
    select
        *,
        coalesce(
            sum(case when assignment = 'treatment' then 1 else 0 end) over (
                partition by client_id, campaign order by expected_value desc, customer_id asc
                rows between unbounded preceding and 1 preceding
            ),
            0
        ) as contacts_before
    from split
),

afforded as (
    select queued.*
    from queued
    left join spent on queued.client_id = spent.client_id and queued.campaign = spent.campaign
    where
        queued.budget is null
        or (queued.contacts_before + 1) * queued.cost + coalesce(spent.cost, 0) <= queued.budget
),

decided as (
    select
        client_id,
        campaign,
        customer_id,
        action,
        assignment,
        segment,
        reason,
        conversation,
        outcome,
        outcome_category,
        currency,
        cast(
            row_number() over (partition by client_id order by expected_value desc, customer_id asc) as integer
        ) as priority,
        window_days,
        response as assumed_response,
        worth,
        value_at_stake,
        cost,
        expected_value,
        is_sensitive,
        as_of_date
    from afforded
)

select * from decided
