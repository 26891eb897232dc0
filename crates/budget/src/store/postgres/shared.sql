-- What the operations share. Locks are always taken in this order, so that nobody waits in a circle: the name of the hold
-- (an advisory lock), rows of holds by name or without waiting, rows of accounts by name and slice, rows of totals by name.

-- Makes the rows of these accounts that are not there, and locks all. One that `purge` takes away while it is waited for is made again:
-- else what is reserved there would stand nowhere.
CREATE OR REPLACE FUNCTION mainstay_budget_lock_1(
    p_accounts bytea[], p_slices int8[], p_rolls bool[], p_forget int8[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_wanted int8;
    v_locked int8;
BEGIN
    LOOP
        INSERT INTO mainstay_budget_accounts (account, slice, forget_at)
            SELECT k.account, k.slice, clock_timestamp() + max(k.forget) * interval '1 millisecond'
            FROM (
                SELECT * FROM unnest(p_accounts, p_slices, p_forget) AS c (account, slice, forget)
                UNION ALL
                SELECT c.account, -1, c.forget FROM unnest(p_accounts, p_rolls, p_forget) AS c (account, rolls, forget)
                WHERE c.rolls
            ) AS k
            GROUP BY k.account, k.slice ORDER BY k.account, k.slice
            ON CONFLICT (account, slice) DO NOTHING;
        PERFORM 1 FROM mainstay_budget_accounts AS a
            WHERE (a.account, a.slice) IN (
                SELECT * FROM unnest(p_accounts, p_slices)
                UNION ALL
                SELECT c.account, -1 FROM unnest(p_accounts, p_rolls) AS c (account, rolls) WHERE c.rolls
            )
            ORDER BY a.account, a.slice FOR UPDATE;
        GET DIAGNOSTICS v_locked = ROW_COUNT;
        SELECT count(*) INTO v_wanted FROM (
            SELECT * FROM unnest(p_accounts, p_slices)
            UNION
            SELECT c.account, -1 FROM unnest(p_accounts, p_rolls) AS c (account, rolls) WHERE c.rolls
        ) AS k;
        EXIT WHEN v_locked >= v_wanted;
    END LOOP;
END $$;

-- The same for the accounts of these holds and these.
CREATE OR REPLACE FUNCTION mainstay_budget_lock_holds_1(
    p_holds bytea[], p_accounts bytea[], p_slices int8[], p_rolls bool[], p_forget int8[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mainstay_budget_lock_1(
        array_agg(c.account), array_agg(c.slice), array_agg(c.rolls), array_agg(c.forget)
    )
    FROM (
        SELECT * FROM unnest(p_accounts, p_slices, p_rolls, p_forget) AS c (account, slice, rolls, forget)
        UNION ALL
        SELECT o.account, o.slice, o.rolls, o.forget
        FROM mainstay_budget_holds AS h,
            unnest(h.accounts, h.slices, h.rolls, h.forget) AS o (account, slice, rolls, forget)
        WHERE h.hold = ANY (p_holds) AND h.state < 2
    ) AS c;
END $$;

-- What stands in a slice, or in all that begin at `p_start` or later.
CREATE OR REPLACE FUNCTION mainstay_budget_stands_1(
    p_account bytea, p_slice int8, p_start int8, p_rolls bool, OUT spent int8, OUT reserved int8
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    IF p_rolls THEN
        SELECT least(coalesce(sum(a.spent), 0), 9007199254740991), least(coalesce(sum(a.reserved), 0), 9007199254740991)
            INTO spent, reserved
            FROM mainstay_budget_accounts AS a WHERE a.account = p_account AND a.slice >= p_start;
    ELSE
        SELECT a.spent, a.reserved INTO spent, reserved
            FROM mainstay_budget_accounts AS a WHERE a.account = p_account AND a.slice = p_slice;
    END IF;
    spent := coalesce(spent, 0);
    reserved := coalesce(reserved, 0);
END $$;

-- Adds to totals.
CREATE OR REPLACE FUNCTION mainstay_budget_count_1(p_counts mainstay_budget_totals[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO mainstay_budget_totals AS t
    SELECT c.day, c.model, c.subject, c.shard, sum(c.requests)::int8, sum(c.input)::int8, sum(c.output)::int8,
        sum(c.cache_read)::int8, sum(c.cache_write)::int8, sum(c.cache_write_long)::int8, sum(c.reasoning)::int8,
        sum(c.cost)::int8
    FROM unnest(p_counts) AS c
    GROUP BY c.day, c.model, c.subject, c.shard ORDER BY c.day, c.model, c.subject, c.shard
    ON CONFLICT (day, model, subject, shard) DO UPDATE SET
        requests = least(greatest(t.requests + EXCLUDED.requests, 0), 9007199254740991),
        input = least(greatest(t.input + EXCLUDED.input, 0), 9007199254740991),
        output = least(greatest(t.output + EXCLUDED.output, 0), 9007199254740991),
        cache_read = least(greatest(t.cache_read + EXCLUDED.cache_read, 0), 9007199254740991),
        cache_write = least(greatest(t.cache_write + EXCLUDED.cache_write, 0), 9007199254740991),
        cache_write_long = least(greatest(t.cache_write_long + EXCLUDED.cache_write_long, 0), 9007199254740991),
        reasoning = least(greatest(t.reasoning + EXCLUDED.reasoning, 0), 9007199254740991),
        cost = least(greatest(t.cost + EXCLUDED.cost, 0), 9007199254740991);
END $$;

-- The counts of a row for one of its subjects; for nobody (an empty subject) in one of the shards.
CREATE OR REPLACE FUNCTION mainstay_budget_of_row_1(
    p_hold bytea, p_day int4, p_model bytea, p_subject bytea, p_amounts int8[], p_sign int8
) RETURNS mainstay_budget_totals LANGUAGE sql IMMUTABLE AS $$
    SELECT ROW (
        p_day, p_model, p_subject, CASE WHEN p_subject = '' THEN get_byte(p_hold, 15) % 16 ELSE 0 END,
        p_sign * p_amounts[1], p_sign * p_amounts[2], p_sign * p_amounts[3], p_sign * p_amounts[4],
        p_sign * p_amounts[5], p_sign * p_amounts[6], p_sign * p_amounts[7], p_sign * p_amounts[8]
    )::mainstay_budget_totals;
$$;

-- Ends open holds, which are locked and whose accounts are: books what they say for that case and writes their rows.
CREATE OR REPLACE FUNCTION mainstay_budget_lose_1(p_holds bytea[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_hold mainstay_budget_holds;
    v_row int8;
BEGIN
    UPDATE mainstay_budget_accounts AS a
        SET spent = least(a.spent + d.spent, 9007199254740991), reserved = greatest(a.reserved - d.taken, 0)
        FROM (
            SELECT c.account, c.slice, sum(c.if_lost)::int8 AS spent, sum(c.take)::int8 AS taken
            FROM mainstay_budget_holds AS h,
                unnest(h.accounts, h.slices, h.takes, h.if_lost) AS c (account, slice, take, if_lost)
            WHERE h.hold = ANY (p_holds) GROUP BY c.account, c.slice
        ) AS d
        WHERE a.account = d.account AND a.slice = d.slice;
    FOR v_hold IN SELECT * FROM mainstay_budget_holds WHERE hold = ANY (p_holds) ORDER BY until LOOP
        INSERT INTO mainstay_budget_rows (at_ms, json) VALUES (v_hold.at_ms, v_hold.json) RETURNING id INTO v_row;
        UPDATE mainstay_budget_holds
            SET state = 1, is_told = false, lost_row = v_row, until = clock_timestamp() + interval '7 days'
            WHERE hold = v_hold.hold;
    END LOOP;
    PERFORM mainstay_budget_count_1(array_agg(
        mainstay_budget_of_row_1(h.hold, h.day, h.model, s.subject, h.amounts, 1)
    )) FROM mainstay_budget_holds AS h, unnest(h.subjects) AS s (subject) WHERE h.hold = ANY (p_holds);
END $$;
