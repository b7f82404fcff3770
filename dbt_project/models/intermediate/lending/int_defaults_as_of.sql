{{ config(schema='as_of') }}

with

dates as (
    select * from {{ ref('int_dates_to_build') }}
),

defaults as (
    select * from {{ ref('int_defaults') }}
),

loans as (
    select * from {{ ref('int_loans_as_of') }}
),

known as (
    select
        dates.client_id,
        defaults.entity,
        defaults.entity_id,
        defaults.customer_id,
        defaults.defaulted_on,
        dates.as_of_date
    from dates
    inner join defaults
        on
            dates.client_id = defaults.client_id
            and dates.as_of_date >= defaults.defaulted_on
            and dates.cutoff_at > defaults.known_at
            and (defaults.superseded_at is null or dates.cutoff_at <= defaults.superseded_at)
),

-- A loan that was closed after its default is over; a default of a person or an account has no end in any feed.
counted as (
    select
        known.client_id,
        known.customer_id,
        known.as_of_date,
        cast(count(*) as float) as previous_defaults,
        count(*) filter (where loans.loan_id is null or loans.standing <> 'closed') > 0 as is_in_default
    from known
    left join loans
        on
            known.client_id = loans.client_id
            and known.as_of_date = loans.as_of_date
            and case when known.entity = 'loan' then known.entity_id end = loans.loan_id
    group by known.client_id, known.customer_id, known.as_of_date
)

select * from counted
