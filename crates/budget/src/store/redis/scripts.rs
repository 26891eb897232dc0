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
const ROLLING: &str = include_str!("lua/rolling.lua");
const TOTALS: &str = include_str!("lua/totals.lua");

/// A script that does what is usual by itself, for up to so many accounts: one text for each number of them, and for each choice
/// of those that roll.
pub(super) struct ByAccounts {
    usual: &'static str,
    /// What is done before the usual is tried again; nothing if it is not.
    moved: &'static str,
    rest: &'static str,
    /// Without usual ones; of accounts of which none rolls by their number; of others by `1`, then a bit for each.
    none: OnceLock<Script>,
    plain: [OnceLock<Script>; MOST_ACCOUNTS + 1],
    rolling: [OnceLock<Box<Script>>; 2 << MOST_ROLLING],
}

/// A Lua function has at most 200 local variables; five for each account are there, eight for one that rolls. More texts than for
/// a few that roll nobody needs.
const MOST_ACCOUNTS: usize = 16;
const MOST_ROLLING: usize = 8;

impl ByAccounts {
    const fn new(usual: &'static str, moved: &'static str, rest: &'static str) -> Self {
        Self {
            usual,
            moved,
            rest,
            none: OnceLock::new(),
            plain: [const { OnceLock::new() }; MOST_ACCOUNTS + 1],
            rolling: [const { OnceLock::new() }; 2 << MOST_ROLLING],
        }
    }

    /// The script for so many accounts, of each whether it rolls, and whether it does what is usual for them by itself: not where
    /// there are too many.
    pub(super) fn of(&self, rolls: impl ExactSizeIterator<Item = bool> + Clone) -> (&Script, bool) {
        let count = rolls.len();
        if (1..=MOST_ACCOUNTS).contains(&count) && !rolls.clone().any(|rolls| rolls) {
            return (self.plain[count].get_or_init(|| self.usual(rolls.collect())), true);
        }
        if (1..=MOST_ROLLING).contains(&count) {
            let place = rolls.clone().fold(1, |place, rolls| place << 1 | usize::from(rolls));
            return (self.rolling[place].get_or_init(|| Box::new(self.usual(rolls.collect()))), true);
        }
        (self.none(), false)
    }

    /// The script that does nothing by itself.
    pub(super) fn none(&self) -> &Script {
        self.none.get_or_init(|| self.whole(0, 0, "", ""))
    }

    fn usual(&self, rolls: Vec<bool>) -> Script {
        let slices = rolls.iter().filter(|rolls| **rolls).count();
        let usual = expanded(self.usual, &rolls);
        // The first call of a slice is usual when its windows have been moved on.
        let is_moved = slices > 0 && !self.moved.is_empty();
        let again = if is_moved { self.moved.to_owned() + &usual } else { String::new() };
        self.whole(rolls.len(), slices, &usual, &again)
    }

    /// What is usual stands first: the functions below it cost time only when they are needed.
    fn whole(&self, count: usize, slices: usize, usual: &str, again: &str) -> Script {
        let counts = format!("local COUNT, SLICES = {count}, {slices}\n");
        Script::of(&[&counts, usual, COMMON, ROLLING, again, TOTALS, DUE, self.rest])
    }
}

/// With what stands between double braces once for each account; after `{c{` for those that do not roll, after `{r{` for those
/// that do. `#` is the number of the account; `@` that of its slice, which are numbered on after the accounts.
fn expanded(text: &str, rolls: &[bool]) -> String {
    let (mut expanded, mut rest) = (String::new(), text);
    while let Some(begin) = rest.find('{') {
        let (before, from) = rest.split_at(begin);
        let kinds = [("{{", None), ("{c{", Some(false)), ("{r{", Some(true))];
        let opened = kinds.into_iter().find_map(|(mark, kind)| Some((from.strip_prefix(mark)?, kind)));
        expanded.push_str(before);
        let Some((inside, kind)) = opened else {
            expanded.push('{');
            rest = &from[1..];
            continue;
        };
        let (repeated, after) = inside.split_once("}}").unwrap_or((inside, ""));
        let mut slices = rolls.len();
        for (number, rolls) in (1..).zip(rolls) {
            slices += usize::from(*rolls);
            if kind.is_none_or(|kind| kind == *rolls) {
                expanded
                    .push_str(&repeated.replace('#', &number.to_string()).replace('@', &slices.to_string()));
            }
        }
        rest = after;
    }
    expanded.push_str(rest);
    expanded
}

pub(super) static RESERVE: ByAccounts = ByAccounts::new(
    include_str!("lua/reserve_plain.lua"),
    include_str!("lua/reserve_moved.lua"),
    include_str!("lua/reserve.lua"),
);
pub(super) static SETTLE: ByAccounts =
    ByAccounts::new(include_str!("lua/settle_plain.lua"), "", include_str!("lua/settle.lua"));
pub(super) static EXPIRE: LazyLock<Script> =
    LazyLock::new(|| Script::of(&[COMMON, ROLLING, TOTALS, DUE, include_str!("lua/expire.lua")]));
pub(super) static COLLECT: LazyLock<Script> =
    LazyLock::new(|| Script::of(&[COMMON, ROLLING, TOTALS, DUE, include_str!("lua/collect.lua")]));
pub(super) static RENEW: LazyLock<Script> =
    LazyLock::new(|| Script::of(&[COMMON, ROLLING, TOTALS, DUE, include_str!("lua/renew.lua")]));
pub(super) static BALANCES: LazyLock<Script> =
    LazyLock::new(|| Script::of(&[COMMON, ROLLING, include_str!("lua/balances.lua")]));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_double_braces_is_there_for_each_account() {
        let text = "a{{, b# + #}} c{1} {c{d#}}{r{e#@}}{ f";
        assert_eq!(expanded(text, &[false, true, true]), "a, b1 + 1, b2 + 2, b3 + 3 c{1} d1e24e35{ f");
        assert_eq!(expanded(text, &[true]), "a, b1 + 1 c{1} e12{ f");
    }

    #[test]
    fn each_choice_of_accounts_that_roll_has_its_script() {
        let mut hashes = std::collections::HashSet::new();
        for count in 0..=20_usize {
            for choice in 0..1_usize << count.min(MOST_ROLLING) {
                let rolls: Vec<bool> = (0..count).map(|place| choice >> place & 1 == 1).collect();
                let (script, is_usual) = RESERVE.of(rolls.iter().copied());
                let most = if choice == 0 { MOST_ACCOUNTS } else { MOST_ROLLING };
                assert_eq!(is_usual, (1..=most).contains(&count), "{rolls:?}");
                assert!(hashes.insert(script.hash.clone()) || !is_usual, "{rolls:?}");
            }
        }
    }
}
