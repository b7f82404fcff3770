-- depends_on: {{ ref('stg_touched_days') }}
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
    )
}}

{#- Banks write how the money went before the name, and number the payment: UPI/P2M/#/SWIGGY/paytm@ybl. -#}
{%- set number = '(?:[0-9]+|[a-z0-9]*#[a-z0-9#]*)' -%}
{%- set slashes = '^(?:upi|upi autopay|imps|mmt|neft|rtgs|ecom pur|si rent|si|vps|iin|ecs|nach|ach)'
    ~ '(?:/(?:p2[a-z]|imps|upi|dr|cr|mb|inb|' ~ number ~ '))*/([^/]*[a-z][^/]*)' -%}
{%- set dashes = '^(?:upi|neft|rtgs|imps|ach|nach|ecs|si)(?: ?(?:cr|dr|c|d))? ?- ?'
    ~ '(?:' ~ number ~ '-)*([^-]*[a-z][^-]*)' -%}
{%- set terminals = '^(?:pos|ecom|vps|visa|checkcard|eftpos|(?:pos |debit |card |visa |recurring )*'
    ~ '(?:debit|card|purchase|payment)(?: authorized on)?)(?: [0-9#*x/]*[0-9#*][0-9#*x/]*)+ (.*[a-z].*)$' -%}
{%- set words = '^(?:(?:debit |visa |contactless )?card (?:payment|purchase)(?: to| at)?|direct debit(?: to)?'
    ~ '|standing order(?: to)?|payment to|purchase at|pos purchase) (.*[a-z].*)$' -%}

with

-- Distinct texts first: they are few, and only these are made into descriptors.
texts as (
    select distinct
        merchant_name,
        description
    from {{ ref('stg_transactions') }}
    {%- if is_incremental() %}
    where
        (client_id, business_date) in (
            select
                touched.client_id,
                touched.business_date
            from {{ ref('stg_touched_days') }} as touched
        )
    {%- endif %}
),

described as (
    select distinct {{ descriptor('merchant_name', 'description') }} as descriptor from texts
),

delivered as (
    select descriptor from described
    {%- if is_incremental() %}
    where descriptor not in (select known.descriptor from {{ this }} as known)
    {%- endif %}
),

marks as (
    select * from {{ ref('payment_intermediaries') }}
),

lowered as (
    select
        descriptor,
        -- M/S (Messrs) stands before Indian firms, and its stroke is no separator.
        replace(lower({{ regex_replace_all('descriptor', '\\s+', ' ') }}), 'm/s ', '') as narration
    from delivered
),

forward as (
    select
        descriptor,
        narration,
        {{ regex_replace_all('narration', '^(?:refund|reversal|rev)(?:-|:| of | )', '') }} as told
    from lowered
),

unwrapped as (
    select
        descriptor,
        narration,
        regexp_extract(narration, '^upi.*(@[a-z]+)', 1) as upi_handle,
        trim(coalesce(
            nullif(regexp_extract(told, '{{ slashes }}', 1), ''),
            nullif(regexp_extract(told, '{{ dashes }}', 1), ''),
            nullif(regexp_extract(told, '{{ terminals }}', 1), ''),
            nullif(regexp_extract(told, '{{ words }}', 1), ''),
            told
        )) as payee
    from forward
),

-- Joined by the first letter, so that not every mark is held against every narration.
marked as (
    select
        unwrapped.descriptor,
        marks.mark,
        marks.intermediary
    from unwrapped
    inner join marks
        on
            left(unwrapped.payee, 1) = left(marks.mark, 1)
            and left(unwrapped.payee, length(marks.mark)) = marks.mark
    where marks.position = 'start' and length(unwrapped.payee) > length(marks.mark) + 1
    qualify row_number() over (partition by unwrapped.descriptor order by length(marks.mark) desc) = 1
),

introduced as (
    select
        unwrapped.descriptor,
        unwrapped.narration,
        unwrapped.upi_handle,
        case
            when marked.mark is null then unwrapped.payee
            else trim(substr(unwrapped.payee, length(marked.mark) + 1))
        end as payee,
        marked.intermediary
    from unwrapped
    left join marked on unwrapped.descriptor = marked.descriptor
),

taken_apart as (
    select
        introduced.descriptor,
        coalesce(
            introduced.intermediary, handles.intermediary, case when introduced.upi_handle <> '' then 'UPI' end
        ) as intermediary,
        {{ fold('introduced.narration') }} as all_words,
        introduced.payee
    from introduced
    left join marks as handles on introduced.upi_handle = handles.mark and handles.position = 'handle'
)

select * from taken_apart
