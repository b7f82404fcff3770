{{ config(materialized='table') }}

with

clients as (
    select * from {{ ref('stg_clients') }}
),

labels as (
    select
        labels.client_id,
        labels.entity,
        labels.entity_id,
        lower(labels.value) in ('true', 'yes', '1', 'default') as is_default,
        {{ local_date('labels.event_at', 'clients.timezone') }} as defaulted_on,
        labels.known_at,
        labels._load_id,
        labels._record
    from {{ ref('stg_labels') }} as labels
    inner join clients on labels.client_id = clients.client_id
    where labels.label = 'default' and labels.entity in ('customer', 'account', 'loan')
),

-- Whose loan or account it was by the first version that names somebody: a default does not move to a later owner.
owners as (
    select
        client_id,
        'loan' as entity,
        loan_id as entity_id,
        {{ value_at_first('customer_id', ['known_at']) }} as customer_id,
        min(known_at) as known_at
    from {{ ref('int_loans') }}
    group by client_id, loan_id
    union all
    select
        client_id,
        'account' as entity,
        account_id as entity_id,
        {{ value_at_first('customer_id', ['known_at']) }} as customer_id,
        min(known_at) as known_at
    from {{ ref('int_accounts') }}
    where customer_id is not null
    group by client_id, account_id
    union all
    select distinct
        client_id,
        entity,
        entity_id,
        entity_id as customer_id,
        cast('1970-01-01' as timestamp) as known_at
    from labels
    where entity = 'customer'
),

-- What is taken back was told before: the next statement that it is none ends all defaults of the entity until then.
told as (
    select
        client_id,
        entity,
        entity_id,
        is_default,
        defaulted_on,
        known_at,
        min(case when not is_default then known_at end) over (
            partition by client_id, entity, entity_id
            order by known_at, _load_id, _record
            rows between 1 following and unbounded following
        ) as superseded_at
    from labels
),

defaults as (
    select
        told.client_id,
        told.entity,
        told.entity_id,
        owners.customer_id,
        told.defaulted_on,
        min(greatest(told.known_at, owners.known_at)) as known_at,
        told.superseded_at
    from told
    inner join owners
        on told.client_id = owners.client_id and told.entity = owners.entity and told.entity_id = owners.entity_id
    where told.is_default
    group by
        told.client_id,
        told.entity,
        told.entity_id,
        owners.customer_id,
        told.defaulted_on,
        told.superseded_at
)

select * from defaults
where superseded_at is null or superseded_at > known_at
