-- Days on which a merchant's name has changed tonight are built again, by this night's later models.
{{
    config(
        materialized='view',
        post_hook="
            insert into {{ source('ops', 'touched_days') }} (client_id, business_date)
            select transactions.client_id, transactions.business_date
            from {{ ref('stg_transactions') }} as transactions
            where transactions.descriptor in (
                select changed.descriptor
                from {{ this }} as changed
                cross join (select max(cutoff_at) as cutoff_at from {{ ref('stg_base_horizon') }}) as base
                where changed.known_at >= base.cutoff_at or changed.superseded_at >= base.cutoff_at
            )
            except
            select client_id, business_date from {{ source('ops', 'touched_days') }}
        ",
    )
}}

with

corrected as (
    select * from {{ ref('int_merchants_corrected') }}
),

resolutions as (
    select * from {{ ref('int_merchant_resolutions') }}
    where descriptor not in (select corrected.descriptor from corrected)
),

versions as (
    select
        descriptor,
        merchant,
        intermediary,
        location,
        subcategory,
        tier,
        confidence,
        rules_version,
        known_at,
        superseded_at
    from resolutions
    union all
    select
        descriptor,
        merchant,
        intermediary,
        location,
        subcategory,
        tier,
        confidence,
        rules_version,
        known_at,
        superseded_at
    from corrected
)

select * from versions
