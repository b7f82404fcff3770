{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='append_new_columns',
        pre_hook={'sql': "{{ delete_tonight() }}", 'transaction': false},
    )
}}
{#- By deciles of the champion's scores; a share below the least counts as it (see ml.stability). -#}
{%- set bins = 10 %}
{%- set least_share = 0.0001 %}
{%- set night = 'client_id, model, champion_version, challenger_version, as_of_date' %}

with

dates as (
    select * from {{ ref('stg_as_of_dates') }}
    {%- if is_incremental() %}
    where is_tonight
    {%- endif %}
),

scores as (
    select scores.*
    from {{ ref('fct_scores') }} as scores
    inner join dates on scores.client_id = dates.client_id and scores.as_of_date = dates.as_of_date
),

pairs as (
    select
        champions.client_id,
        champions.model,
        champions.model_version as champion_version,
        challengers.model_version as challenger_version,
        champions.as_of_date,
        champions.score as champion_score,
        challengers.score as challenger_score,
        case when champions.band = challengers.band then 1 else 0 end as is_same_band
    from scores as champions
    inner join scores as challengers
        on
            champions.client_id = challengers.client_id
            and champions.model = challengers.model
            and champions.entity = challengers.entity
            and champions.entity_id = challengers.entity_id
            and champions.as_of_date = challengers.as_of_date
    where champions.role = 'champion' and challengers.role = 'challenger'
),

-- Of equal scores each has the mean of their ranks; ranks are counted from their own mean.
ranked as (
    select
        *,
        {%- for role in ['champion', 'challenger'] %}
        rank() over (partition by {{ night }} order by {{ role }}_score)
        + (count(*) over (partition by {{ night }}, {{ role }}_score) - 1) / 2.0
        - (count(*) over (partition by {{ night }}) + 1) / 2.0 as {{ role }}_rank,
        {%- endfor %}
        row_number() over (partition by {{ night }} order by champion_score) as place,
        count(*) over (partition by {{ night }}) as scored_rows
    from pairs
),

nights as (
    select
        {{ night }},
        {%- for bin in range(1, bins) %}
        min(case when {{ bins }} * place >= {{ bin }} * scored_rows then champion_score end) as end_{{ bin }},
        {%- endfor %}
        max(scored_rows) as scored_rows,
        -- Sums of decimals are the same in whatever order the rows come.
        cast(sum(cast(champion_score as decimal(18, 9))) as double) / count(*) as champion_mean,
        cast(sum(cast(challenger_score as decimal(18, 9))) as double) / count(*) as challenger_mean,
        cast(sum(is_same_band) as double) / count(*) as same_band_share,
        cast(sum(cast(champion_rank * challenger_rank as decimal(24, 2))) as double)
        / nullif(
            sqrt(cast(sum(cast(champion_rank * champion_rank as decimal(24, 2))) as double))
            * sqrt(cast(sum(cast(challenger_rank * challenger_rank as decimal(24, 2))) as double)), 0
        ) as rank_correlation
    from ranked
    group by {{ night }}
),

told as (
    select
        {{ night }},
        1 as is_champion,
        champion_score as score
    from pairs
    union all
    select
        {{ night }},
        0 as is_champion,
        challenger_score as score
    from pairs
),

binned as (
    select
        told.client_id,
        told.model,
        told.champion_version,
        told.challenger_version,
        told.as_of_date,
        told.is_champion,
        {%- for bin in range(1, bins) %}
        case when told.score > nights.end_{{ bin }} then 1 else 0 end{{ ' +' if not loop.last }}
        {%- endfor %} as bin
    from told
    inner join nights
        on
            told.client_id = nights.client_id
            and told.model = nights.model
            and told.champion_version = nights.champion_version
            and told.challenger_version = nights.challenger_version
            and told.as_of_date = nights.as_of_date
),

counted as (
    select
        {{ night }},
        bin,
        sum(is_champion) as champion_rows,
        sum(1 - is_champion) as challenger_rows
    from binned
    group by {{ night }}, bin
),

shares as (
    select
        {{ night }},
        greatest(champion_rows / cast(sum(champion_rows) over (partition by {{ night }}) as double), {{ least_share }})
            as champion_share,
        greatest(
            challenger_rows / cast(sum(challenger_rows) over (partition by {{ night }}) as double), {{ least_share }}
        ) as challenger_share
    from counted
),

shifts as (
    select
        {{ night }},
        sum(cast((challenger_share - champion_share) * ln(challenger_share / champion_share) as decimal(18, 9)))
            as score_psi,
        count(*) as used_bins
    from shares
    group by {{ night }}
)

select
    nights.client_id,
    nights.model,
    nights.champion_version,
    nights.challenger_version,
    cast(nights.scored_rows as bigint) as scored_rows,
    cast(nights.rank_correlation as float) as rank_correlation,
    cast(shifts.score_psi as float) as score_psi,
    -- What two draws of so many rows from one distribution have on average.
    cast((shifts.used_bins - 1) * 2.0 / nights.scored_rows as float) as score_psi_noise,
    cast(nights.same_band_share as float) as same_band_share,
    cast(nights.champion_mean as float) as champion_mean,
    cast(nights.challenger_mean as float) as challenger_mean,
    nights.as_of_date
from nights
inner join shifts
    on
        nights.client_id = shifts.client_id
        and nights.model = shifts.model
        and nights.champion_version = shifts.champion_version
        and nights.challenger_version = shifts.challenger_version
        and nights.as_of_date = shifts.as_of_date
