-- The tables of the budgets. `mainstay_budget` is replaced by the prefix that is asked for.

-- What stands on an account in a slice of time: that which begins at `slice` (milliseconds since 1970). A rolling account
-- has a head too (slice -1), whose lock stands for all its slices.
CREATE TABLE IF NOT EXISTS mainstay_budget_accounts (
    account bytea NOT NULL,
    slice int8 NOT NULL,
    spent int8 NOT NULL DEFAULT 0,
    reserved int8 NOT NULL DEFAULT 0,
    refused int8,
    forget_at timestamptz,
    PRIMARY KEY (account, slice)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX IF NOT EXISTS mainstay_budget_accounts_forget ON mainstay_budget_accounts (forget_at);

-- Holds. State 0: open, until its lease passes; 1: lost, and until when that is remembered; 2: ended, likewise.
CREATE TABLE IF NOT EXISTS mainstay_budget_holds (
    hold bytea PRIMARY KEY,
    state int2 NOT NULL,
    until timestamptz NOT NULL,
    accounts bytea[],
    slices int8[],
    rolls bool[],
    forget int8[],
    takes int8[],
    if_lost int8[],
    json text,
    at_ms int8,
    day int4,
    model bytea,
    subjects bytea[],
    amounts int8[],
    lost_row int8,
    is_told bool NOT NULL DEFAULT true
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX IF NOT EXISTS mainstay_budget_holds_until ON mainstay_budget_holds (until) WHERE state = 0;
CREATE INDEX IF NOT EXISTS mainstay_budget_holds_untold ON mainstay_budget_holds (until) WHERE NOT is_told;
CREATE INDEX IF NOT EXISTS mainstay_budget_holds_over ON mainstay_budget_holds (until) WHERE state > 0;

-- The usage rows.
CREATE TABLE IF NOT EXISTS mainstay_budget_rows (
    id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    written_at timestamptz NOT NULL DEFAULT now(),
    at_ms int8 NOT NULL,
    json text NOT NULL
);
CREATE INDEX IF NOT EXISTS mainstay_budget_rows_written ON mainstay_budget_rows (written_at);

-- Totals of the rows. The subject is empty in those of all calls of a model, which many write at once: they are spread
-- over 16 shards.
CREATE TABLE IF NOT EXISTS mainstay_budget_totals (
    day int4 NOT NULL,
    model bytea NOT NULL,
    subject bytea NOT NULL,
    shard int4 NOT NULL,
    requests int8 NOT NULL,
    input int8 NOT NULL,
    output int8 NOT NULL,
    cache_read int8 NOT NULL,
    cache_write int8 NOT NULL,
    cache_write_long int8 NOT NULL,
    reasoning int8 NOT NULL,
    cost int8 NOT NULL,
    PRIMARY KEY (day, model, subject, shard)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
