-- The operations: one call each.

-- Outcome 1: granted, with what stands on each account; 0: the charge at `place` lacks room; 2: the hold has ended.
CREATE OR REPLACE FUNCTION mainstay_budget_reserve_1(
    p_key int8, p_hold bytea, p_lease int8,
    p_accounts bytea[], p_slices int8[], p_starts int8[], p_rolls bool[], p_forget int8[],
    p_limits int8[], p_takes int8[], p_if_lost int8[],
    p_json text, p_at int8, p_day int4, p_model bytea, p_subjects bytea[], p_amounts int8[],
    OUT outcome int4, OUT place int4, OUT is_first bool, OUT all_spent int8[], OUT all_reserved int8[]
) LANGUAGE plpgsql AS $$
DECLARE
    v_state int2;
    v_due bytea[];
    v_at record;
BEGIN
    PERFORM pg_advisory_xact_lock(p_key);
    SELECT h.state INTO v_state FROM mainstay_budget_holds AS h WHERE h.hold = p_hold;
    IF v_state > 0 THEN
        outcome := 2;
        RETURN;
    END IF;
    v_due := ARRAY (
        SELECT h.hold FROM mainstay_budget_holds AS h WHERE h.state = 0 AND h.until <= clock_timestamp()
            AND h.hold <> p_hold
        ORDER BY h.until LIMIT 4 FOR UPDATE SKIP LOCKED
    );
    IF cardinality(v_due) > 0 THEN
        PERFORM mainstay_budget_lock_holds_1(v_due, p_accounts, p_slices, p_rolls, p_forget);
        PERFORM mainstay_budget_lose_1(v_due);
    ELSE
        PERFORM mainstay_budget_lock_1(p_accounts, p_slices, p_rolls, p_forget);
    END IF;

    FOR i IN 1 .. cardinality(p_accounts) LOOP
        v_at := mainstay_budget_stands_1(p_accounts[i], p_slices[i], p_starts[i], p_rolls[i]);
        IF v_state IS NULL AND v_at.spent + v_at.reserved + p_takes[i] > p_limits[i] THEN
            UPDATE mainstay_budget_accounts AS a SET refused = p_slices[i]
                WHERE a.account = p_accounts[i]
                    AND a.slice = CASE WHEN p_rolls[i] THEN -1 ELSE p_slices[i] END
                    AND a.refused IS DISTINCT FROM p_slices[i];
            outcome := 0;
            place := i - 1;
            is_first := FOUND;
            all_spent := ARRAY [v_at.spent];
            all_reserved := ARRAY [v_at.reserved];
            RETURN;
        END IF;
        all_spent[i] := v_at.spent;
        all_reserved[i] := v_at.reserved + CASE WHEN v_state IS NULL THEN p_takes[i] ELSE 0 END;
    END LOOP;
    outcome := 1;
    IF v_state = 0 THEN
        RETURN;
    END IF;

    UPDATE mainstay_budget_accounts AS a SET reserved = a.reserved + c.take
        FROM unnest(p_accounts, p_slices, p_takes) AS c (account, slice, take)
        WHERE a.account = c.account AND a.slice = c.slice;
    -- Seldom, so that the index need not change with each call.
    UPDATE mainstay_budget_accounts AS a SET forget_at = clock_timestamp() + c.forget * interval '1 millisecond'
        FROM unnest(p_accounts, p_slices, p_rolls, p_forget) AS c (account, slice, rolls, forget)
        WHERE a.account = c.account AND (a.slice = c.slice OR c.rolls AND a.slice = -1)
            AND a.forget_at < clock_timestamp() + c.forget * interval '1 millisecond' - interval '10 minutes';
    INSERT INTO mainstay_budget_holds (
        hold, state, until, accounts, slices, rolls, forget, takes, if_lost, json, at_ms, day, model, subjects, amounts
    ) VALUES (
        p_hold, 0, clock_timestamp() + p_lease * interval '1 millisecond', p_accounts, p_slices, p_rolls, p_forget,
        p_takes, p_if_lost, p_json, p_at, p_day, p_model, p_subjects, p_amounts
    );
END $$;

-- Members of leases that were drawn from begin with `l_`, those of rows with `r_`, those of subjects with `s_`: of which row
-- they are, or below zero of which lease's row.
-- Outcome 1: booked; 2: booked in the place of what was booked when its lease passed; 0: nothing, it was settled before.
CREATE OR REPLACE FUNCTION mainstay_budget_settle_1(
    p_key int8, p_hold bytea, p_remembered int8,
    p_accounts bytea[], p_slices int8[], p_starts int8[], p_rolls bool[], p_forget int8[],
    p_actual int8[],
    l_lease bytea[], l_left int8[], l_json text[], l_at int8[], l_day int4[], l_model bytea[], l_amounts int8[],
    r_json text[], r_at int8[], r_day int4[], r_model bytea[], r_amounts int8[], s_row int4[], s_subject bytea[],
    OUT outcome int4, OUT all_spent int8[], OUT all_reserved int8[]
) LANGUAGE plpgsql AS $$
DECLARE
    v_hold mainstay_budget_holds;
    v_lease mainstay_budget_holds;
    v_counts mainstay_budget_totals[];
    v_at record;
BEGIN
    PERFORM pg_advisory_xact_lock(p_key);
    PERFORM 1 FROM mainstay_budget_holds AS h
        WHERE h.hold = ANY (array_append(l_lease, p_hold)) ORDER BY h.hold FOR UPDATE;
    SELECT * INTO v_hold FROM mainstay_budget_holds AS h WHERE h.hold = p_hold;
    IF v_hold.state = 2 THEN
        outcome := 0;
        RETURN;
    END IF;
    IF v_hold.state IS NULL THEN
        v_hold.accounts := p_accounts;
        v_hold.slices := p_slices;
    END IF;
    PERFORM mainstay_budget_lock_holds_1(array_append(l_lease, p_hold), p_accounts, p_slices, p_rolls, p_forget);

    -- What was spent from a lease is no longer reserved there.
    FOR i IN 1 .. cardinality(l_lease) LOOP
        SELECT * INTO v_lease FROM mainstay_budget_holds AS h
            WHERE h.hold = l_lease[i] AND h.state = 0 AND cardinality(h.accounts) = 1 AND h.takes[1] > l_left[i];
        IF FOUND THEN
            UPDATE mainstay_budget_accounts AS a SET reserved = greatest(a.reserved - v_lease.takes[1] + l_left[i], 0)
                WHERE a.account = v_lease.accounts[1] AND a.slice = v_lease.slices[1];
            UPDATE mainstay_budget_holds AS h
                SET takes = ARRAY [l_left[i]], if_lost = ARRAY [l_left[i]],
                    json = l_json[i], at_ms = l_at[i], day = l_day[i], model = l_model[i],
                    amounts = l_amounts[8 * i - 7 : 8 * i],
                    subjects = ARRAY (SELECT s.subject FROM unnest(s_row, s_subject) AS s (nth, subject) WHERE s.nth = -i)
                WHERE h.hold = v_lease.hold;
        END IF;
    END LOOP;

    outcome := CASE WHEN v_hold.state = 1 THEN 2 ELSE 1 END;
    UPDATE mainstay_budget_accounts AS a
        SET spent = least(greatest(a.spent + d.spent, 0), 9007199254740991),
            reserved = greatest(a.reserved - d.taken, 0)
        FROM (
            SELECT c.account, c.slice,
                sum(coalesce(c.actual, 0) - CASE WHEN outcome = 2 THEN c.if_lost ELSE 0 END)::int8 AS spent,
                sum(CASE WHEN outcome = 2 THEN 0 ELSE coalesce(c.take, 0) END)::int8 AS taken
            FROM unnest(v_hold.accounts, v_hold.slices, v_hold.takes, v_hold.if_lost, p_actual)
                AS c (account, slice, take, if_lost, actual)
            GROUP BY c.account, c.slice
        ) AS d
        WHERE a.account = d.account AND a.slice = d.slice;

    v_counts := ARRAY (
        SELECT mainstay_budget_of_row_1(
            p_hold, r_day[s.nth], r_model[s.nth], s.subject, r_amounts[8 * s.nth - 7 : 8 * s.nth], 1
        )
        FROM unnest(s_row, s_subject) AS s (nth, subject) WHERE s.nth > 0
    );
    IF outcome = 2 THEN
        DELETE FROM mainstay_budget_rows AS r WHERE r.id = v_hold.lost_row;
        v_counts := v_counts || ARRAY (
            SELECT mainstay_budget_of_row_1(p_hold, v_hold.day, v_hold.model, s.subject, v_hold.amounts, -1)
            FROM unnest(v_hold.subjects) AS s (subject)
        );
    END IF;
    INSERT INTO mainstay_budget_rows (at_ms, json)
        SELECT r.at, r.json FROM unnest(r_at, r_json) WITH ORDINALITY AS r (at, json, place) ORDER BY r.place;
    PERFORM mainstay_budget_count_1(v_counts);

    INSERT INTO mainstay_budget_holds AS h (hold, state, until)
        VALUES (p_hold, 2, clock_timestamp() + p_remembered * interval '1 millisecond')
        ON CONFLICT (hold) DO UPDATE SET state = 2, until = EXCLUDED.until, is_told = true, accounts = NULL,
            slices = NULL, rolls = NULL, forget = NULL, takes = NULL, if_lost = NULL, json = NULL, at_ms = NULL,
            day = NULL, model = NULL, subjects = NULL, amounts = NULL, lost_row = NULL;
    FOR i IN 1 .. cardinality(p_accounts) LOOP
        v_at := mainstay_budget_stands_1(p_accounts[i], v_hold.slices[i], p_starts[i], p_rolls[i]);
        all_spent[i] := v_at.spent;
        all_reserved[i] := v_at.reserved;
    END LOOP;
END $$;

-- Ends open holds whose lease has passed, at most so many, and tells of those that were not told before.
CREATE OR REPLACE FUNCTION mainstay_budget_expire_1(p_most int8)
RETURNS TABLE (
    told_hold bytea, told_json text, told_accounts bytea[], told_booked int8[],
    told_spent int8[], told_reserved int8[]
) LANGUAGE plpgsql AS $$
DECLARE
    v_due bytea[];
BEGIN
    v_due := ARRAY (
        SELECT h.hold FROM mainstay_budget_holds AS h WHERE h.state = 0 AND h.until <= clock_timestamp()
        ORDER BY h.until LIMIT p_most FOR UPDATE SKIP LOCKED
    );
    IF cardinality(v_due) > 0 THEN
        PERFORM mainstay_budget_lock_holds_1(v_due, '{}', '{}', '{}', '{}');
        PERFORM mainstay_budget_lose_1(v_due);
    END IF;
    RETURN QUERY
        WITH told AS (
            UPDATE mainstay_budget_holds AS h SET is_told = true
            WHERE h.hold IN (
                SELECT o.hold FROM mainstay_budget_holds AS o WHERE NOT o.is_told
                ORDER BY o.until LIMIT p_most FOR UPDATE SKIP LOCKED
            )
            RETURNING h.*
        )
        SELECT t.hold, t.json, t.accounts, t.if_lost,
            ARRAY (
                SELECT coalesce(a.spent, 0) FROM unnest(t.accounts, t.slices) WITH ORDINALITY AS c (account, slice, place)
                LEFT JOIN mainstay_budget_accounts AS a USING (account, slice) ORDER BY c.place
            ),
            ARRAY (
                SELECT coalesce(a.reserved, 0) FROM unnest(t.accounts, t.slices) WITH ORDINALITY AS c (account, slice, place)
                LEFT JOIN mainstay_budget_accounts AS a USING (account, slice) ORDER BY c.place
            )
        FROM told AS t;
END $$;

CREATE OR REPLACE FUNCTION mainstay_budget_renew_1(p_holds bytea[], p_lease int8) RETURNS void LANGUAGE sql AS $$
    UPDATE mainstay_budget_holds AS h
        SET until = clock_timestamp() + p_lease * interval '1 millisecond'
        FROM (
            SELECT o.hold FROM mainstay_budget_holds AS o WHERE o.hold = ANY (p_holds) AND o.state = 0
            ORDER BY o.hold FOR UPDATE
        ) AS o
        WHERE h.hold = o.hold;
$$;

-- Forgets, some at a time, what nobody asks for any more.
CREATE OR REPLACE FUNCTION mainstay_budget_purge_1(p_rows_days int4, p_totals_days int4)
RETURNS void LANGUAGE sql AS $$
    DELETE FROM mainstay_budget_accounts WHERE ctid = ANY (ARRAY (
        SELECT ctid FROM mainstay_budget_accounts WHERE forget_at < clock_timestamp() AND reserved = 0
        LIMIT 5000 FOR UPDATE SKIP LOCKED
    ));
    DELETE FROM mainstay_budget_holds WHERE ctid = ANY (ARRAY (
        SELECT ctid FROM mainstay_budget_holds WHERE state > 0 AND until < clock_timestamp()
        LIMIT 5000 FOR UPDATE SKIP LOCKED
    ));
    DELETE FROM mainstay_budget_rows WHERE ctid = ANY (ARRAY (
        SELECT ctid FROM mainstay_budget_rows WHERE written_at < clock_timestamp() - p_rows_days * interval '1 day'
        LIMIT 5000 FOR UPDATE SKIP LOCKED
    ));
    DELETE FROM mainstay_budget_totals WHERE ctid = ANY (ARRAY (
        SELECT ctid FROM mainstay_budget_totals
        WHERE day < floor(extract(epoch FROM clock_timestamp()) / 86400)::int4 - p_totals_days
        LIMIT 5000 FOR UPDATE SKIP LOCKED
    ));
$$;
