-- Never rebuilt whole: what was told of a customer is a record, whatever rules and consents say later.
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
    {%- if is_incremental() %}
    where is_tonight
    {%- endif %}
),

rules as (
    select * from {{ ref('stg_client_rules') }}
),

events as (
    select * from {{ ref('life_events') }}
),

customers as (
    {{ known_customers('dates') }}
),

-- Of a version that was found better than the rules; without one there are none.
ranks as (
    select * from {{ ref('stg_life_event_ranks') }}
    where role = 'champion'
),

gathered as (
    select
        evidence.client_id,
        evidence.customer_id,
        evidence.event,
        count(*) as evidence,
        least(sum(evidence.strength), 1) as strength,
        min(evidence.since_date) as since_date,
        max(evidence.last_date) as last_date,
        evidence.as_of_date
    from {{ ref('int_life_event_evidence') }} as evidence
    inner join dates on evidence.client_id = dates.client_id and evidence.as_of_date = dates.as_of_date
    group by evidence.client_id, evidence.customer_id, evidence.event, evidence.as_of_date
),

told as (
    select
        gathered.client_id,
        gathered.customer_id,
        gathered.event,
        events.title,
        events.conversation,
        coalesce(ranks.model_version, 'rules') as ranked_by,
        cast(gathered.evidence as integer) as evidence,
        cast(gathered.strength as float) as strength,
        -- Scores of two customers cannot be compared, so nobody is shown them.
        cast(
            row_number() over (
                partition by gathered.client_id, gathered.customer_id, gathered.as_of_date
                order by ranks.score desc nulls last, gathered.strength desc, gathered.event asc
            ) as integer
        ) as place,
        gathered.since_date,
        gathered.last_date,
        gathered.as_of_date
    from gathered
    inner join events on gathered.event = events.event
    inner join customers
        on
            gathered.client_id = customers.client_id
            and gathered.customer_id = customers.customer_id
            and gathered.as_of_date = customers.as_of_date
    left join rules on gathered.client_id = rules.client_id
    left join ranks
        on
            gathered.client_id = ranks.client_id
            and gathered.customer_id = ranks.customer_id
            and gathered.event = ranks.event
            and gathered.as_of_date = ranks.as_of_date
    where
        gathered.strength >= events.least_strength
        and (not events.is_sensitive or customers.entries like '%;sensitive;%')
        and customers.entries not like '%;' || coalesce(nullif(rules.opted_out, ''), 'no_profiling') || ';%'
        and coalesce(rules.excluded_events, '') not like '%;' || gathered.event || ';%'
        and (
            events.least_age is null
            -- Of the year of birth alone: the birthday may be on the last day of this year.
            or extract(year from gathered.as_of_date) - customers.birth_year > events.least_age
        )
        and (
            events.greatest_age is null
            or extract(year from gathered.as_of_date) - customers.birth_year <= events.greatest_age
        )
)

select * from told
