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
const LOSE: &str = include_str!("lua/lose.lua");

pub(super) static RESERVE: LazyLock<Script> =
    LazyLock::new(|| Script::of(&[COMMON, LOSE, include_str!("lua/reserve.lua")]));
pub(super) static SETTLE: LazyLock<Script> =
    LazyLock::new(|| Script::of(&[COMMON, include_str!("lua/settle.lua")]));
pub(super) static EXPIRE: LazyLock<Script> =
    LazyLock::new(|| Script::of(&[COMMON, LOSE, include_str!("lua/expire.lua")]));
pub(super) static RENEW: LazyLock<Script> =
    LazyLock::new(|| Script::of(&[COMMON, include_str!("lua/renew.lua")]));
pub(super) static BALANCES: LazyLock<Script> =
    LazyLock::new(|| Script::of(&[COMMON, include_str!("lua/balances.lua")]));
