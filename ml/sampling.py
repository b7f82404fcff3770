"""Samples that are the same each time, with every stratum in its share."""

from collections.abc import Sequence


def sampled_sql(rows: str, strata: Sequence[str], key: Sequence[str], most: int) -> str:
    """SQL of at most so many of these rows, in an order that tells nothing.

    Each stratum keeps its share of the rows, and at least one row; which ones is told by the MD5 of the key,
    so that the same rows give the same sample in every process. As many rows as are asked for are not drawn
    at all.

    Args:
        rows: SQL of the rows.
        strata: columns whose combinations keep their share.
        key: text columns that tell a row; dates are taken as texts.
        most: rows at most.
    """
    within = ", ".join(f'"{name}"' for name in strata)
    told = " || '|' || ".join(f'"{name}"::varchar' for name in key)
    return f"""
        select * exclude (_place, _size, _total, _drawn_by)
        from (
            select *, count(*) over (partition by {within}) as _size, count(*) over () as _total,
                row_number() over (partition by {within} order by _drawn_by, {told}) as _place
            from (select *, md5({told}) as _drawn_by from ({rows}))
        )
        where _place <= greatest(1, floor(_size * least(1.0, {most:d} / _total)))
        order by case when _place = 1 then 0 else 1 end, _drawn_by, {", ".join(f'"{n}"' for n in key)}
        limit {most:d}
    """  # noqa: S608 - names are ours
