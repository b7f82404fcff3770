{{ config(schema='as_of') }}

{#- Bureaus say by 96 to 99 why there is no number; nobody has so many accounts. -#}
{%- set counts = ['number_of_open_accounts', 'number_of_accounts_in_arrears'] %}
{%- set amounts = ['total_balance', 'total_credit_limit'] %}

with

dates as (
    select * from {{ ref('int_dates_to_build') }}
),

reports as (
    select * from {{ ref('stg_credit_bureau') }}
),

known as (
    select
        dates.client_id,
        reports.customer_id,
        dates.as_of_date,
        {%- for column in counts %}
        case when reports.{{ column }} between 0 and 95 then reports.{{ column }} end as {{ column }},
        {%- endfor %}
        {%- for column in amounts %}
        case when reports.{{ column }} >= 0 then reports.{{ column }} end as {{ column }},
        {%- endfor %}
        {{ days_between('reports.reported_on', 'dates.as_of_date') }} as report_age_days,
        row_number() over (
            partition by dates.client_id, reports.customer_id, dates.as_of_date
            order by reports.reported_on desc, reports.known_at desc, reports._load_id desc, reports._record desc
        ) as place
    from dates
    inner join reports
        on
            dates.client_id = reports.client_id
            and dates.as_of_date >= reports.reported_on
            and dates.cutoff_at > reports.known_at
),

latest as (
    select * from known
    where place = 1
)

select * from latest
