//! What a process tells of what it asks of the store and of what it is answered: a line each, which is written before anything
//! else happens, so that it is heard whatever becomes of the process.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use mainstay_budget::{
    AccountKey, Answer, Balance, BudgetStore, ExpiredHold, HoldId, Reservation, Reserved, RowsPage,
    RowsQuery, Settled, Settlement, StoreError, UsageQuery, UsageRow, UsageTotal, Window,
};

/// One thing that a process told.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    /// It makes calls.
    Ready,
    /// It asks for this hold; for itself, as a share of a limit, or for a call.
    Reserve {
        hold: HoldId,
        is_share: bool,
    },
    Granted(HoldId),
    /// The store has no room for it.
    Refused(HoldId),
    /// It settles this hold with these rows.
    Settle(HoldId, Vec<UsageRow>),
    /// The store has told it that this is booked.
    Settled(HoldId),
    /// It has booked everything, and ends.
    Flushed,
    /// It ends, and says that it could not book everything: the store is too slow.
    Unflushed,
    /// Something was seen that must not be.
    Broken(String),
}

impl Told {
    pub(crate) fn say(&self) {
        let line = match self {
            Self::Ready => "ready".to_owned(),
            Self::Reserve { hold, is_share } => format!("reserve {hold} {is_share}"),
            Self::Granted(hold) => format!("granted {hold}"),
            Self::Refused(hold) => format!("refused {hold}"),
            Self::Settle(hold, rows) => {
                let rows: Vec<_> = rows.iter().map(UsageRow::to_json).collect();
                format!("settle {hold} {}", rows.join("\t"))
            }
            Self::Settled(hold) => format!("settled {hold}"),
            Self::Flushed => "flushed".to_owned(),
            Self::Unflushed => "unflushed".to_owned(),
            Self::Broken(what) => format!("broken {what}"),
        };
        // The harness may have begun a line with the name of the test. One write: a line is heard as a whole or not at all.
        let line = format!("{BEGINS}{line}\n");
        let mut out = std::io::stdout().lock();
        out.write_all(line.as_bytes()).unwrap();
        out.flush().unwrap();
    }

    pub(crate) fn heard(line: &str) -> Option<Self> {
        let (_, line) = line.split_once(BEGINS)?;
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
        let hold = HoldId::parse(first);
        Some(match word {
            "ready" => Self::Ready,
            "reserve" => Self::Reserve { hold: hold?, is_share: second == "true" },
            "granted" => Self::Granted(hold?),
            "refused" => Self::Refused(hold?),
            "settle" => {
                let rows = second.split('\t').filter(|text| !text.is_empty());
                Self::Settle(hold?, rows.map(UsageRow::from_json).collect::<Option<_>>()?)
            }
            "settled" => Self::Settled(hold?),
            "flushed" => Self::Flushed,
            "unflushed" => Self::Unflushed,
            _ => Self::Broken(rest.to_owned()),
        })
    }
}

const BEGINS: &str = "@@ ";

/// A store whose user tells what it asks, and whose holds of calls have short leases.
pub(crate) struct Telling {
    pub(crate) store: Arc<dyn BudgetStore>,
    pub(crate) lease: Duration,
}

impl Telling {
    fn short(&self, lease: Duration) -> Duration {
        // What a process keeps for itself lives for longer than an outage.
        if lease > Duration::from_secs(60) { lease } else { self.lease }
    }
}

/// Looks at an answer when it is there.
fn then<'a, T: Send + 'a>(
    answer: Answer<'a, Result<T, StoreError>>,
    told: impl FnOnce(&T) + Send + 'a,
) -> Answer<'a, Result<T, StoreError>> {
    let look = move |answer: Result<T, StoreError>| {
        if let Ok(answer) = &answer {
            told(answer);
        }
        answer
    };
    match answer {
        Answer::Ready(ready) => Answer::ready(look(ready.into_inner())),
        Answer::Later(later) => Answer::later(async move { look(later.await) }),
    }
}

impl BudgetStore for Telling {
    fn reserve<'a>(&'a self, ask: Reservation<'a>) -> Answer<'a, Result<Reserved, StoreError>> {
        // A row of a call names the model that was asked for.
        let (hold, is_share) = (ask.hold, ask.if_lost.asked.is_empty());
        Told::Reserve { hold, is_share }.say();
        let ask = Reservation { lease: self.short(ask.lease), ..ask };
        then(self.store.reserve(ask), move |answer| match answer {
            Reserved::Granted(_) => Told::Granted(hold).say(),
            _ => Told::Refused(hold).say(),
        })
    }

    fn settle<'a>(&'a self, settlement: Settlement<'a>) -> Answer<'a, Result<Settled, StoreError>> {
        let hold = settlement.hold;
        Told::Settle(hold, settlement.rows.iter().map(|row| UsageRow::clone(row)).collect()).say();
        then(self.store.settle(settlement), move |_| Told::Settled(hold).say())
    }

    fn renew<'a>(
        &'a self,
        holds: &'a [HoldId],
        lease: Duration,
        now_ms: u64,
    ) -> Answer<'a, Result<(), StoreError>> {
        self.store.renew(holds, self.short(lease), now_ms)
    }

    fn expire(&self, now_ms: u64) -> Answer<'_, Result<Vec<ExpiredHold>, StoreError>> {
        self.store.expire(now_ms)
    }

    fn balances<'a>(
        &'a self,
        accounts: &'a [(AccountKey, Window)],
        now_ms: u64,
    ) -> Answer<'a, Result<Vec<Balance>, StoreError>> {
        self.store.balances(accounts, now_ms)
    }

    fn usage<'a>(&'a self, query: &'a UsageQuery) -> Answer<'a, Result<Vec<UsageTotal>, StoreError>> {
        self.store.usage(query)
    }

    fn rows<'a>(&'a self, query: &'a RowsQuery) -> Answer<'a, Result<RowsPage, StoreError>> {
        self.store.rows(query)
    }

    fn ping(&self) -> Answer<'_, Result<(), StoreError>> {
        self.store.ping()
    }

    fn flush(&self) -> Answer<'_, Result<(), StoreError>> {
        self.store.flush()
    }

    fn is_local(&self) -> bool {
        self.store.is_local()
    }

    fn timed_out(&self) {
        self.store.timed_out();
    }
}
