//! What a reservation and a settlement for three subjects cost over Redis, beside two scripts of the same size that do less,
//! over the same kind of connection: a bare `EVALSHA`, which does nothing, and the least that could do, which reads and writes
//! the same fields without looking at them.
//!
//! Each round does one of each, in turns, so that whatever else the machine does meets all alike; medians are compared.
#![allow(missing_docs, clippy::print_stdout, reason = "it prints its table")]
#![allow(clippy::disallowed_methods, reason = "a bench measures real time")]

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use mainstay_budget::redis::{RedisConfig, RedisStore};
use mainstay_budget::{
    AccountKey, BudgetStore, Charge, HoldId, Reservation, Reserved, Settled, Settlement, UsageRow, Window,
};
use mainstay_provider_core::Subject;
use redis::aio::MultiplexedConnection;

const WARM_UP: usize = 2_000;
const ROUNDS: usize = 20_000;

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let (warm_up, rounds) =
        if std::env::args().any(|arg| arg == "--bench") { (WARM_UP, ROUNDS) } else { (10, 20) };
    let Some(server) = Server::start() else { return println!("skipped: there is no redis-server here") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        for (name, period) in [("calendar day", Period::Day), ("rolling 60 s", Period::Rolling)] {
            let mut bench = Bench::new(&server, period).await;
            bench.run(warm_up).await;
            bench.taken = Default::default();
            bench.run(rounds).await;
            bench.report(name);
        }
    });
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}

#[derive(Clone, Copy)]
enum Period {
    Day,
    Rolling,
}

impl Period {
    fn window(self, now: u64) -> Window {
        match self {
            Self::Day => {
                let start_ms = now / 86_400_000 * 86_400_000;
                Window { start_ms, end_ms: Some(start_ms + 86_400_000), slice_ms: None }
            }
            Self::Rolling => {
                Window { start_ms: now / 1_000 * 1_000 - 60_000, end_ms: None, slice_ms: Some(1_000) }
            }
        }
    }
}

const SUBJECTS: [(&str, &str); 3] = [("user", "alice"), ("feature", "search"), ("org", "acme")];

/// What is timed of each operation, in this order in each round.
const NAMES: [&str; 3] = ["bare EVALSHA", "least that could do", "store"];

/// Does nothing, and answers as much.
const BARE: &str = "return '000000000000000000000000000000000000000000000000'";

/// Reads what the operation reads and writes what it writes: a hold, so many fields of three accounts, a record or a row.
fn least(fields: usize) -> String {
    let names: String = (6..6 + fields).map(|at| format!(", ARGV[{at}]")).collect();
    let values: String = (6..6 + fields).map(|at| format!(", ARGV[{at}], '0000000000000000'")).collect();
    format!(
        "redis.call('HMGET', KEYS[1], ARGV[5]{names}) redis.call('HSET', KEYS[1], ARGV[5], ARGV[4]{values}) \
         redis.call('RPUSH', KEYS[2], ARGV[2]) {BARE}"
    )
}

/// A script that is called with so many bytes in as many keys and arguments as the store's, new ones each time.
#[derive(Default, Clone)]
struct Like {
    hash: String,
    record: usize,
    names: Vec<String>,
}

impl Like {
    /// Without a script yet.
    fn of(period: Period) -> Self {
        let names = SUBJECTS.iter().map(|(kind, id)| format!("{kind}:{id}|tokens"));
        let names: Vec<String> = match period {
            Period::Day => names.map(|name| format!("a|{name}|day|{:013}", 0)).collect(),
            Period::Rolling => {
                let (sums, slices): (Vec<_>, Vec<_>) =
                    names.map(|name| (format!("w|{name}|60s"), format!("s|{name}|60s|{:013}", 0))).unzip();
                sums.into_iter().chain(slices).collect()
            }
        };
        Self { names, ..Self::default() }
    }

    fn command(&self, hold: HoldId) -> redis::Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.hash).arg(2);
        for key in ["like", "likes"] {
            command.arg(format!("{{mainstay}}:budget:3:{key}"));
        }
        command.arg(&[b'x'; 12]).arg(format!("{hold}{}", "x".repeat(self.record)));
        command.arg(&[b'x'; 48]).arg("o1000,1000,1000").arg(format!("h:{hold}"));
        for name in &self.names {
            command.arg(name);
        }
        command
    }
}

struct Bench {
    store: RedisStore,
    bare: MultiplexedConnection,
    /// Of a reservation's size and of a settlement's: the bare and the least script.
    like: [[Like; 2]; 2],
    period: Period,
    names: Vec<AccountKey>,
    subjects: Arc<[Subject]>,
    taken: [[Vec<Duration>; 3]; 2],
}

impl Bench {
    async fn new(server: &Server, period: Period) -> Self {
        let store = RedisStore::new(RedisConfig::new(server.url())).expect("an address");
        let client = redis::Client::open(server.url()).expect("an address");
        let bare = client.get_multiplexed_async_connection().await.expect("a connection");
        let name = |(kind, id): &(&str, &str)| {
            let period = if matches!(period, Period::Day) { "day" } else { "60s" };
            AccountKey::new(format!("{kind}:{id}|tokens|{period}"))
        };
        let names = SUBJECTS.iter().map(name).collect();
        let subjects = SUBJECTS.iter().map(|(kind, id)| Subject::new(kind, id)).collect();
        let mut bench = Self {
            store,
            bare,
            like: Default::default(),
            period,
            names,
            subjects,
            taken: Default::default(),
        };
        let [reserve, settle] = bench.sizes().await;
        for (place, size) in [reserve, settle].into_iter().enumerate() {
            let like = Like::of(period);
            let least = least(like.names.len());
            bench.like[place] = [bench.like(BARE, &like, size).await, bench.like(&least, &like, size).await];
        }
        bench
    }

    /// How many bytes the server hears of a reservation and of a settlement.
    async fn sizes(&mut self) -> [usize; 2] {
        let (_, charges) = self.charges();
        let mut sizes = [0; 2];
        // Once for the scripts to be known, then to be counted.
        for _ in 0..2 {
            let (hold, _) = self.charges();
            let before = self.heard().await;
            self.reserve(hold, &charges).await;
            let between = self.heard().await;
            self.settle(hold, &charges).await;
            sizes = [between - before, self.heard().await - between];
        }
        let before = self.heard().await;
        let question = self.heard().await - before;
        sizes.map(|size| size - question)
    }

    async fn heard(&mut self) -> usize {
        let info: String =
            redis::cmd("INFO").arg("stats").query_async(&mut self.bare).await.expect("its figures");
        let line = info.lines().find_map(|line| line.strip_prefix("total_net_input_bytes:"));
        line.and_then(|bytes| bytes.trim().parse().ok()).expect("a number")
    }

    async fn like(&mut self, script: &str, like: &Like, size: usize) -> Like {
        let mut load = redis::cmd("SCRIPT");
        let hash: String = load.arg("LOAD").arg(script).query_async(&mut self.bare).await.expect("a script");
        let shortest = Like { hash, record: 10, ..like.clone() };
        let bytes = shortest.command(HoldId(0)).get_packed_command().len();
        Like { record: 10 + size.saturating_sub(bytes), ..shortest }
    }

    fn charges(&self) -> (HoldId, Vec<Charge>) {
        let now = now_ms();
        let window = self.period.window(now);
        let charge = |name: &AccountKey| Charge::new(name.clone(), window, 1 << 50, 1_000);
        (HoldId::new(now, fastrand::u128(..)), self.names.iter().map(charge).collect())
    }

    fn row(&self, hold: HoldId, tokens: u64) -> Arc<UsageRow> {
        let mut row = UsageRow::new(hold, hold.made_ms());
        row.subjects = self.subjects.clone();
        (row.provider, row.model, row.asked) = ("openai".into(), "gpt-4o-mini".into(), "gpt-4o-mini".into());
        (row.usage.input, row.usage.output, row.requests) = (tokens / 2, tokens / 2, 1);
        Arc::new(row)
    }

    async fn reserve(&self, hold: HoldId, charges: &[Charge]) -> Duration {
        let (lease, if_lost) = (Duration::from_secs(120), self.row(hold, 1_000));
        let ask = Reservation { hold, lease, charges, if_lost: &if_lost, now_ms: hold.made_ms() };
        let begun = Instant::now();
        let reserved = self.store.reserve(ask).await.expect("an answer");
        let taken = begun.elapsed();
        assert!(matches!(reserved, Reserved::Granted(_)));
        taken
    }

    async fn settle(&self, hold: HoldId, charges: &[Charge]) -> Duration {
        let rows = [self.row(hold, 800)];
        let ask = Settlement { hold, charges, actual: &[800; 3], rows: &rows, now_ms: hold.made_ms() };
        let begun = Instant::now();
        let settled = self.store.settle(ask).await.expect("an answer");
        let taken = begun.elapsed();
        assert!(matches!(settled, Settled::Now(_)));
        taken
    }

    async fn bare(&mut self, operation: usize, script: usize) -> Duration {
        let command = self.like[operation][script].command(self.charges().0);
        let begun = Instant::now();
        let asked = command.query_async(&mut self.bare).await;
        let answer: Vec<u8> = asked.expect("an answer");
        let taken = begun.elapsed();
        assert_eq!(answer.len(), 48);
        taken
    }

    async fn run(&mut self, rounds: usize) {
        for _ in 0..rounds {
            let (hold, charges) = self.charges();
            let reserve = [self.bare(0, 0).await, self.bare(0, 1).await, self.reserve(hold, &charges).await];
            let settle = [self.bare(1, 0).await, self.bare(1, 1).await, self.settle(hold, &charges).await];
            for (all, one) in self.taken.iter_mut().flatten().zip(reserve.into_iter().chain(settle)) {
                all.push(one);
            }
        }
    }

    fn report(&mut self, name: &str) {
        println!("{name}: 3 subjects, {} rounds", self.taken[0][0].len());
        for (operation, what) in ["reserve", "settle"].into_iter().enumerate() {
            let bytes = self.like[operation][0].command(HoldId(0)).get_packed_command().len();
            println!("  {what}, {bytes} bytes");
            let times = self.taken[operation].each_mut().map(|taken| {
                taken.sort_unstable();
                (taken[taken.len() / 2], taken[taken.len() * 99 / 100])
            });
            for (name, (median, late)) in NAMES.iter().zip(times) {
                let times = median.as_secs_f64() / times[0].0.as_secs_f64();
                println!("    {name:20} median {median:8.1?}  p99 {late:8.1?}  {times:.2} times bare");
            }
        }
    }
}

/// A server of its own, gone with this.
struct Server(Child, u16);

impl Server {
    fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).ok()?.port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let server = Self(child, port);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::yield_now();
        }
        Some(server)
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.1)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _gone = self.0.wait();
    }
}
