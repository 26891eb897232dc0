//! The scripts: one for each operation.

use std::sync::LazyLock;

use redis::Cmd;

pub(super) struct Script {
    text: String,
    hash: String,
}

impl Script {
    fn of(parts: &[&str]) -> Self {
        let text = parts.concat();
        let hash = redis::Script::new(&text).get_hash().to_owned();
        Self { text, hash }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// `EVALSHA` with so many keys, which are the first arguments to add; with room for about so many bytes.
    pub(super) fn command(&self, keys: usize, arguments: usize, bytes: usize) -> Cmd {
        let mut command = Cmd::with_capacity(3 + keys + arguments, 64 + bytes);
        command.arg("EVALSHA").arg(&self.hash).arg(keys);
        command
    }
}

const COMMON: &str = include_str!("lua/common.lua");
const DUE: &str = include_str!("lua/due.lua");
const TOTALS: &str = include_str!("lua/totals.lua");

// What is usual stands first: the functions below it cost time only when they are needed.
pub(super) static RESERVE: LazyLock<Script> = LazyLock::new(|| {
    Script::of(&[include_str!("lua/reserve_plain.lua"), COMMON, TOTALS, DUE, include_str!("lua/reserve.lua")])
});
pub(super) static SETTLE: LazyLock<Script> = LazyLock::new(|| {
    Script::of(&[include_str!("lua/settle_plain.lua"), COMMON, TOTALS, DUE, include_str!("lua/settle.lua")])
});
pub(super) static EXPIRE: LazyLock<Script> =
    LazyLock::new(|| Script::of(&[COMMON, TOTALS, DUE, include_str!("lua/expire.lua")]));
pub(super) static COLLECT: LazyLock<Script> =
    LazyLock::new(|| Script::of(&[COMMON, TOTALS, DUE, include_str!("lua/collect.lua")]));
pub(super) static RENEW: LazyLock<Script> =
    LazyLock::new(|| Script::of(&[COMMON, include_str!("lua/renew.lua")]));
pub(super) static BALANCES: LazyLock<Script> =
    LazyLock::new(|| Script::of(&[COMMON, include_str!("lua/balances.lua")]));
