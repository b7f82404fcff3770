{{ config(materialized='table', schema='as_of') }}

with

dates as (
    select * from {{ ref('int_dates_to_build') }}
),

loans as (
    select * from {{ ref('int_loans') }}
),

-- A standing counts from the day that it is said of, once it is known.
known as (
    select
        loans.*,
        dates.as_of_date,
        dates.cutoff_at,
        row_number() over (
            partition by loans.client_id, loans.loan_id, dates.as_of_date order by loans.known_at desc
        ) as place,
        lead(loans.standing_since) over (
            partition by loans.client_id, loans.loan_id, dates.as_of_date order by loans.known_at
        ) as next_since
    from dates
    inner join loans
        on
            dates.client_id = loans.client_id
            and dates.cutoff_at > loans.known_at
            and dates.as_of_date >= loans.standing_since
            and dates.as_of_date >= loans.granted_on
),

arrears as (
    select
        client_id,
        loan_id,
        as_of_date,
        max(case when standing in ('arrears', 'defaulted') then coalesce(next_since, as_of_date) end)
            as last_arrears_on
    from known
    group by client_id, loan_id, as_of_date
),

counted as (
    select
        *,
        cast(
            (extract(year from as_of_date) - extract(year from granted_on)) * 12
            + extract(month from as_of_date) - extract(month from granted_on)
            - case
                -- An instalment of the 31st falls due on the last day of a shorter month.
                when
                    extract(day from as_of_date) < extract(day from granted_on)
                    and extract(day from as_of_date + interval '1' day) > 1
                    then 1
                else 0
            end as integer
        ) as months_on_book
    from known
    where place = 1
),

seen as (
    select
        counted.client_id,
        counted.loan_id,
        counted.customer_id,
        counted.account_id,
        counted.standing,
        counted.standing in ('running', 'arrears') as is_open,
        counted.principal,
        counted.instalment,
        counted.term_months,
        counted.months_on_book,
        -- In equal parts over the term: what a balance would say is in no feed.
        cast(
            case
                when counted.term_months > 0
                    then
                        greatest(counted.term_months - counted.months_on_book, 0)
                        / cast(counted.term_months as decimal(18, 4))
            end as decimal(18, 8)
        ) as outstanding_share,
        counted.granted_on,
        counted.standing_since,
        arrears.last_arrears_on,
        counted.as_of_date,
        counted.cutoff_at
    from counted
    inner join arrears using (client_id, loan_id, as_of_date)
)

select * from seen
