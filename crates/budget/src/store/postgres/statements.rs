//! What the server is told.

/// With the prefix of the tables in them; values are always parameters.
pub(super) struct Statements {
    pub(super) reserve: String,
    pub(super) settle: String,
    pub(super) expire: String,
    pub(super) renew: String,
    pub(super) purge: String,
    pub(super) balances: String,
    pub(super) usage: String,
    pub(super) rows: String,
    /// The function that is made last.
    pub(super) last: String,
}

/// Whatever the database or the role has as its default: the operations lock what they change and then look at it, and a stricter
/// level would fail one of two that meet instead of letting it wait.
pub(super) const READ_COMMITTED: &str = "SET default_transaction_isolation TO 'read committed'";

const PREFIX: &str = "mainstay_budget";

impl Statements {
    pub(super) fn of(tables: &str) -> Self {
        let arguments = |count: usize| {
            let numbered: Vec<String> = (1..=count).map(|number| format!("${number}")).collect();
            numbered.join(", ")
        };
        let call =
            |function: &str, count| format!("SELECT * FROM {tables}_{function}_1({})", arguments(count));
        let capped = |name: &str| format!("least(greatest(sum({name}), 0), 9007199254740991)::int8");
        let sums = [
            "requests",
            "input",
            "output",
            "cache_read",
            "cache_write",
            "cache_write_long",
            "reasoning",
            "cost",
        ];
        let sums = sums.map(capped).join(", ");
        Self {
            reserve: call("reserve", 17),
            settle: call("settle", 23),
            expire: call("expire", 1),
            renew: call("renew", 2),
            purge: call("purge", 2),
            balances: format!(
                "SELECT s.spent, s.reserved
                 FROM unnest($1::bytea[], $2::int8[], $3::int8[], $4::bool[])
                     WITH ORDINALITY AS c (account, slice, start, rolls, place),
                     {tables}_stands_1(c.account, c.slice, c.start, c.rolls) AS s
                 ORDER BY c.place"
            ),
            // A total of nothing is what is left of a hold that was lost and then settled.
            usage: format!(
                "SELECT * FROM (
                     SELECT CASE WHEN $6::bool THEN day END AS day, CASE WHEN $7::bool THEN model END AS model,
                         CASE WHEN $8::bool THEN subject END AS subject, {sums}
                     FROM {tables}_totals
                     WHERE day BETWEEN $1::int4 AND $2::int4 AND (subject <> '') = $3::bool
                         AND ($4::bytea IS NULL OR subject = $4)
                         AND ($5::bytea IS NULL OR substr(subject, 1, octet_length($5)) = $5)
                         AND (requests, input, output, cache_read, cache_write, cache_write_long, reasoning, cost)
                             <> (0, 0, 0, 0, 0, 0, 0, 0)
                     GROUP BY 1, 2, 3
                 ) AS totals ORDER BY day NULLS FIRST, model NULLS FIRST, subject NULLS FIRST"
            ),
            rows: format!(
                "SELECT id, json FROM {tables}_rows
                 WHERE id > $1 AND at_ms >= $2 AND at_ms < $3 ORDER BY id LIMIT $4"
            ),
            last: format!("{tables}_purge_1"),
        }
    }
}

/// All that is there before anything else is asked. Statements that are sent together are one transaction; one that they began
/// themselves would stay behind on the connection when something in it failed.
pub(super) fn schema(tables: &str) -> String {
    let parts =
        [include_str!("tables.sql"), include_str!("shared.sql"), include_str!("operations.sql")].concat();
    format!("SELECT pg_advisory_xact_lock(7956007102);\n{}", parts.replace(PREFIX, tables))
}
