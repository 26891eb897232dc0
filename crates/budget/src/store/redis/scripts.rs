//! The scripts: one for each operation.

use std::sync::{LazyLock, OnceLock};

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

/// A script that does what is usual by itself, for up to so many accounts: one text for each number of them.
pub(super) struct ByAccounts {
    usual: &'static str,
    rest: &'static str,
    scripts: [OnceLock<Script>; MOST_ACCOUNTS + 1],
}

/// A Lua function has at most 200 local variables; five for each account are there.
const MOST_ACCOUNTS: usize = 16;

impl ByAccounts {
    const fn new(usual: &'static str, rest: &'static str) -> Self {
        Self { usual, rest, scripts: [const { OnceLock::new() }; MOST_ACCOUNTS + 1] }
    }

    /// The script for so many accounts, and for how many it does what is usual by itself: for none where there are too many, or
    /// where nothing is usual (`is_plain`).
    pub(super) fn of(&self, accounts: usize, is_plain: bool) -> (&Script, usize) {
        let count = if is_plain && accounts <= MOST_ACCOUNTS { accounts } else { 0 };
        let script = self.scripts[count].get_or_init(|| {
            // What is usual stands first: the functions below it cost time only when they are needed.
            let usual = if count == 0 { String::new() } else { expanded(self.usual, count) };
            let count = format!("local COUNT = {count}\n");
            Script::of(&[&count, &usual, COMMON, TOTALS, DUE, self.rest])
        });
        (script, count)
    }
}

/// With what stands between double braces so many times, each with its number in the place of `#`.
fn expanded(text: &str, times: usize) -> String {
    let mut parts = text.split("{{");
    let mut expanded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (repeated, rest) = part.split_once("}}").unwrap_or((part, ""));
        for number in 1..=times {
            expanded.push_str(&repeated.replace('#', &number.to_string()));
        }
        expanded.push_str(rest);
    }
    expanded
}

pub(super) static RESERVE: ByAccounts =
    ByAccounts::new(include_str!("lua/reserve_plain.lua"), include_str!("lua/reserve.lua"));
pub(super) static SETTLE: ByAccounts =
    ByAccounts::new(include_str!("lua/settle_plain.lua"), include_str!("lua/settle.lua"));
pub(super) static EXPIRE: LazyLock<Script> =
    LazyLock::new(|| Script::of(&[COMMON, TOTALS, DUE, include_str!("lua/expire.lua")]));
pub(super) static COLLECT: LazyLock<Script> =
    LazyLock::new(|| Script::of(&[COMMON, TOTALS, DUE, include_str!("lua/collect.lua")]));
pub(super) static RENEW: LazyLock<Script> =
    LazyLock::new(|| Script::of(&[COMMON, TOTALS, DUE, include_str!("lua/renew.lua")]));
pub(super) static BALANCES: LazyLock<Script> =
    LazyLock::new(|| Script::of(&[COMMON, include_str!("lua/balances.lua")]));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_double_braces_is_there_for_each_account() {
        assert_eq!(expanded("a{{, b# + #}} c {{d#}}", 2), "a, b1 + 1, b2 + 2 c d1d2");
    }
}
