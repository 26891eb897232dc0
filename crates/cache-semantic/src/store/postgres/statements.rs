//! What the server is told.

use super::config::{InvalidPostgres, PgIndex, PostgresConfig};

/// With the names of the tables in them; values are always parameters. Of an entry the first three parameters say which
/// it is: namespace, digest, id.
pub(super) struct Statements {
    pub(super) tables: String,
    pub(super) embedder: String,
    pub(super) nearest: String,
    pub(super) by_text: String,
    pub(super) fetch: String,
    pub(super) used: String,
    pub(super) insert: String,
    pub(super) tighten: String,
    pub(super) remove: String,
    pub(super) purge: String,
    pub(super) count: String,
    pub(super) expire: String,
    pub(super) evict: String,
}

impl Statements {
    pub(super) fn of(config: &PostgresConfig) -> Result<Self, InvalidPostgres> {
        let PostgresConfig { table, dims, index, .. } = config;
        let is_name = table.len() <= 40
            && table.starts_with(|first: char| first.is_ascii_lowercase())
            && table.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        if !is_name {
            return Err(InvalidPostgres::Table(table.clone()));
        }
        let most = if *index == PgIndex::Hnsw { 2_000 } else { 16_000 };
        if !(1..=most).contains(dims) {
            return Err(InvalidPostgres::Dimensions(*dims));
        }
        let graph = match index {
            PgIndex::Exact => String::new(),
            PgIndex::Hnsw => format!(
                "CREATE INDEX IF NOT EXISTS {table}_graph ON {table} USING hnsw (embedding vector_ip_ops) \
                 WITH (m = 16, ef_construction = 64);"
            ),
        };
        let one = "namespace = $1 AND digest = $2 AND id = $3";
        let age = "(extract(epoch FROM now() - stored_at) * 1000)::int8";
        Ok(Self {
            // Texts are bytes here: PostgreSQL's own know no NUL. Two who begin at the same time wait for each other. Statements
            // that are sent together are one transaction; one that they began themselves would stay behind on the connection when
            // something in it failed.
            tables: format!(
                "SELECT pg_advisory_xact_lock(7956007101);
                 CREATE EXTENSION IF NOT EXISTS vector;
                 CREATE TABLE IF NOT EXISTS {table}_embedder (
                     only_one bool PRIMARY KEY DEFAULT true CHECK (only_one), name text NOT NULL, dims int NOT NULL
                 );
                 CREATE TABLE IF NOT EXISTS {table} (
                     namespace bytea NOT NULL,
                     digest bytea NOT NULL,
                     id bytea NOT NULL,
                     question bytea NOT NULL,
                     embedding vector({dims}) NOT NULL,
                     recording bytea NOT NULL,
                     stored_at timestamptz NOT NULL DEFAULT now(),
                     expires_at timestamptz NOT NULL,
                     used_at timestamptz NOT NULL DEFAULT now(),
                     uses int8 NOT NULL DEFAULT 0,
                     saves int8 NOT NULL,
                     tightened real,
                     PRIMARY KEY (namespace, digest, id)
                 );
                 CREATE UNIQUE INDEX IF NOT EXISTS {table}_question
                     ON {table} (namespace, digest, sha256(question));
                 CREATE INDEX IF NOT EXISTS {table}_expires ON {table} (expires_at);
                 {graph}"
            ),
            // The row that is there is given back as it is. `DO NOTHING` would give none where another process has put it
            // there meanwhile: a statement does not see what was committed after it began.
            embedder: format!(
                "INSERT INTO {table}_embedder AS there (name, dims) VALUES ($1, $2)
                 ON CONFLICT (only_one) DO UPDATE SET only_one = true RETURNING there.name, there.dims"
            ),
            nearest: format!(
                "SELECT id, question, -(embedding <#> $3), {age}, tightened FROM {table}
                 WHERE namespace = $1 AND digest = $2 AND expires_at > now()
                 ORDER BY embedding <#> $3 LIMIT $4"
            ),
            by_text: format!(
                "SELECT id, question, 1::float8, {age}, tightened FROM {table}
                 WHERE namespace = $1 AND digest = $2 AND sha256(question) = sha256($3) AND expires_at > now()"
            ),
            fetch: format!("SELECT recording FROM {table} WHERE {one} AND expires_at > now()"),
            used: format!("UPDATE {table} SET uses = uses + 1, used_at = now() WHERE {one}"),
            // The count makes the server delete first.
            insert: format!(
                "WITH gone AS (
                     DELETE FROM {table} WHERE namespace = $1 AND digest = $2
                         AND (id = $3 OR sha256(question) = sha256($4)) RETURNING 1
                 ), before AS (SELECT count(*) AS replaced FROM gone), added AS (
                     INSERT INTO {table} (namespace, digest, id, question, embedding, recording, expires_at, saves)
                     SELECT $1, $2, $3, $4, $5::vector, $6::bytea, now() + $7::int8 * interval '1 millisecond', $8::int8
                     FROM before WHERE replaced >= 0
                 )
                 SELECT replaced FROM before"
            ),
            tighten: format!("UPDATE {table} SET tightened = greatest(tightened, $4::real) WHERE {one}"),
            remove: format!("DELETE FROM {table} WHERE {one}"),
            purge: format!("DELETE FROM {table} WHERE namespace = $1"),
            count: format!("SELECT count(*) FROM {table}"),
            expire: format!("DELETE FROM {table} WHERE expires_at <= now()"),
            // Uses, halved with each day without one, times what one saves, per byte.
            evict: format!(
                "DELETE FROM {table} WHERE ctid IN (
                     SELECT ctid FROM {table}
                     ORDER BY (1 + uses) * power(0.5, least(extract(epoch FROM now() - used_at) / 86400, 60))
                         * greatest(saves, 1) / (octet_length(recording) + octet_length(question) + 4 * {dims}),
                         stored_at
                     LIMIT $1
                 )"
            ),
        })
    }
}
