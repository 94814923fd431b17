"""
The comparison itself, as SQL over a Bench: who should have a row, which row is the newest, and
where two of the four places disagree.

`source`, `ledger`, `history` and `online` are filled by `judge.py`. A verdict is three words: what
is wrong, where, and what mends it.
"""

EXPECTED = """
    CREATE OR REPLACE TABLE expected AS
    WITH newest AS (
        SELECT * FROM source
        QUALIFY row_number() OVER (PARTITION BY id ORDER BY at_us DESC, rank DESC) = 1
    )
    SELECT newest.id, newest.input, newest.at_us FROM newest
    LEFT JOIN buried ON newest.id = buried.id
    ANTI JOIN erased ON newest.id = erased.id
    WHERE NOT newest.absent AND (buried.at_us IS NULL OR newest.at_us > buried.at_us)
"""

ONE_EACH = """
    CREATE OR REPLACE TABLE newest AS
    SELECT * FROM history
    QUALIFY row_number() OVER (
        PARTITION BY id ORDER BY content_us DESC, computed_us DESC, place DESC) = 1;
    CREATE OR REPLACE TABLE shown AS
    SELECT DISTINCT ON (id) * FROM online WHERE id IS NOT NULL
"""

FINDINGS = """
    INSERT INTO finding
    WITH four AS (
        SELECT coalesce(e.id, l.id, o.id) AS id,
            e.id IS NOT NULL AS expected, l.id IS NOT NULL AS has_l,
            h.id IS NOT NULL AS has_h, o.id IS NOT NULL AS has_o,
            e.input AS e_input, e.at_us AS e_at,
            l.space AS l_space, l.input AS l_input, l.sum AS l_sum, l.content_us AS l_at,
            l.computed_us AS l_made, l.filed AS filed,
            h.space AS h_space, h.input AS h_input, h.sum AS h_sum, h.content_us AS h_at,
            h.computed_us AS h_made, h.place AS h_place, h.intact AS h_intact,
            o.space AS o_space, o.sum AS o_sum, o.content_us AS o_at
        FROM expected e
        FULL JOIN ledger l ON e.id = l.id
        FULL JOIN shown o ON o.id = coalesce(e.id, l.id)
        LEFT JOIN newest h ON h.id = coalesce(e.id, l.id, o.id)
        ANTI JOIN erased ON erased.id = coalesce(e.id, l.id, o.id)
    ),
    told AS (  -- what the ledger says of a lost row is borne out by the online store, or is not
        SELECT *, CASE WHEN has_l AND l_space = hash($space) AND o_sum = l_sum
            THEN 'restore' ELSE 'compute' END AS cure
        FROM four
    ),
    kept AS (  -- ledger against history
        SELECT *, CASE
            WHEN NOT expected THEN
                CASE WHEN has_l AND id NOT IN (SELECT id FROM buried)
                    THEN 'orphaned ledger remove' END
            WHEN NOT has_h THEN 'missing history ' || cure
            WHEN h_space <> hash($space) THEN 'mixed history ' || cure
            WHEN h_sum IS NULL THEN 'corrupted history ' || cure
            WHEN NOT has_l THEN 'missing ledger retake'
            WHEN l_space <> hash($space) THEN 'mixed ledger retake'
            WHEN l_at = h_at AND l_made = h_made AND l_input = h_input THEN CASE
                WHEN l_sum = h_sum THEN NULL
                WHEN h_intact THEN 'corrupted ledger retake'
                WHEN o_sum = l_sum THEN 'corrupted history restore'
                WHEN o_sum = h_sum THEN 'corrupted ledger retake'
                ELSE 'corrupted history compute' END
            WHEN (l_at, l_made) > (h_at, h_made) AND NOT ($whole AND filed)
                THEN 'missing history ' || cure
            ELSE 'stale ledger retake' END AS wrong
        FROM told
    ),
    right_row AS (  -- what should be online
        SELECT *, CASE
            WHEN wrong LIKE '% ledger retake' THEN h_sum
            WHEN wrong IS NULL OR wrong LIKE '% restore' THEN l_sum END AS r_sum,
            CASE WHEN wrong LIKE '% ledger retake' THEN h_at ELSE l_at END AS r_at
        FROM kept
    ),
    verdicts AS (
        SELECT id, wrong AS verdict,
            CASE WHEN wrong LIKE 'mixed history %' OR wrong LIKE 'corrupted history %'
                THEN h_place END AS place
        FROM right_row
        UNION ALL
        SELECT id, 'stale history compute', NULL FROM right_row  -- source against history
        WHERE expected AND has_h AND coalesce(wrong NOT LIKE '% history %', true)
            AND (e_input <> h_input OR ($dated AND e_at > h_at))
        UNION ALL
        SELECT id, CASE  -- online against the row that is right
            WHEN NOT expected THEN CASE WHEN has_o THEN 'orphaned online remove' END
            WHEN r_sum IS NULL THEN NULL
            WHEN NOT has_o THEN 'missing online rewrite'
            WHEN $spaced AND o_space <> hash($space) THEN 'mixed online rewrite'
            WHEN o_sum IS NULL THEN 'corrupted online rewrite'
            WHEN floor(o_at / 1e6) < floor(r_at / 1e6) THEN 'stale online rewrite'
            WHEN o_sum <> r_sum OR floor(o_at / 1e6) > floor(r_at / 1e6)
                THEN 'corrupted online rewrite' END, NULL
        FROM right_row WHERE $online
    )
    SELECT $view, id, split_part(verdict, ' ', 1), split_part(verdict, ' ', 2),
        split_part(verdict, ' ', 3), place
    FROM verdicts WHERE verdict IS NOT NULL
"""

STRANGE = """
    INSERT INTO finding
    SELECT $view, id, 'mixed', 'history', 'drop', place FROM strange
    WHERE place NOT IN (SELECT place FROM newest)
"""

ERASED = """
    INSERT INTO finding SELECT DISTINCT $view, id, 'orphaned', layer, 'erase', NULL::BIGINT
    FROM erased
"""
