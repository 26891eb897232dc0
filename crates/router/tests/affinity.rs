//! Sessions stay where their prompts are cached, and nobody gets more than its share for that.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{BuildOf as _, Told, answering, model, seconds, seeded};
use mainstay_provider_core::test_kit::{Scripted, Step};
use mainstay_provider_core::{Availability, Call, ChatRequest, Message, Namespace, Provider};
use mainstay_router::{Candidate, Chance, Choice, Deployment, Router, Session, Strategy, strategy};
use tokio::time::Instant;

/// How long a provider keeps a prompt that is not used.
const CACHED_FOR: Duration = Duration::from_secs(300);
const TURNS: u64 = 20;
const DEPLOYMENTS: [&str; 4] = ["a", "b", "c", "d"];

/// What is in the providers' caches, and what was read from them.
#[derive(Clone, Default)]
struct Caches(Arc<Mutex<Tokens>>);

#[derive(Default)]
struct Tokens {
    /// By deployment and session: the longest prefix, and when it was used last.
    kept: HashMap<(String, String), (u64, Instant)>,
    read: u64,
    calls: HashMap<String, u64>,
}

impl Caches {
    fn read(&self, deployment: &str, session: &str, prompt: u64, answer: u64) {
        let mut tokens = self.0.lock().unwrap();
        let now = Instant::now();
        let kept = tokens.kept.insert((deployment.into(), session.into()), (prompt + answer, now));
        if let Some((length, last)) = kept
            && now - last <= CACHED_FOR
        {
            tokens.read += length.min(prompt);
        }
        *tokens.calls.entry(deployment.into()).or_default() += 1;
    }

    /// The most calls that a deployment got, as times the mean.
    fn most(&self) -> f64 {
        let tokens = self.0.lock().unwrap();
        let sum: u64 = tokens.calls.values().sum();
        let most = tokens.calls.values().max().copied().unwrap_or(0);
        most as f64 * DEPLOYMENTS.len() as f64 / sum as f64
    }
}

struct RoundRobin(AtomicUsize);

impl Strategy for RoundRobin {
    fn name(&self) -> &str {
        "round-robin"
    }

    fn score(&self, _: &Candidate<'_>, _: &Choice<'_>) -> f64 {
        0.0
    }

    fn choose(&self, choice: &Choice<'_>, _: &mut Chance) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) % choice.candidates.len()
    }
}

fn over_four(strategy: Arc<dyn Strategy>, seed: u64) -> Router {
    let deployments = DEPLOYMENTS.map(|name| {
        let step = move |_: &Call| Step::text("fine").after(Duration::from_secs(4));
        Deployment::new(name, Scripted::by(step))
    });
    seeded().seed(seed).build_of([model("main", deployments).shared_strategy(strategy)])
}

/// So many sessions of 20 turns, begun over ten minutes; each turn is longer than the last, and its user thinks for a
/// while, some for longer than prompts are cached.
async fn sessions(router: &Router, count: u64, seed: u64) -> Caches {
    let caches = Caches::default();
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut tasks = Vec::new();
    for number in 0..count {
        let (router, caches) = (router.clone(), caches.clone());
        let mut chance = chance.fork();
        tasks.push(tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs_f64(chance.f64() * 600.0)).await;
            let mut messages = vec![
                Message::system("You are a patient teacher of seamanship."),
                Message::user(format!("Hello, I am sailor {number} of crew {seed}.")),
            ];
            let mut prompt = 2_000;
            for turn in 0..TURNS {
                let call = Call::new(ChatRequest::new("main", messages.clone()));
                let reply = router.ask(call).await.unwrap();
                let (more, answer) = (chance.u64(50..400), chance.u64(50..600));
                caches.read(&common::name(&reply), &number.to_string(), prompt, answer);
                prompt += answer + more;
                messages.extend([Message::assistant("fine"), Message::user(format!("And then? {turn}"))]);
                let pause = -(1.0 - chance.f64()).ln() * 40.0;
                tokio::time::sleep(Duration::from_secs_f64(pause)).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    caches
}

/// The tokens that an oracle would read from the caches: it never moves a session, and knows no bound.
struct Oracle(Mutex<HashMap<u64, usize>>);

impl Strategy for Oracle {
    fn name(&self) -> &str {
        "oracle"
    }

    fn score(&self, _: &Candidate<'_>, _: &Choice<'_>) -> f64 {
        0.0
    }

    fn choose(&self, choice: &Choice<'_>, chance: &mut Chance) -> usize {
        let key = choice.session.unwrap().key;
        *self.0.lock().unwrap().entry(key).or_insert_with(|| chance.below(choice.candidates.len()))
    }

    fn needs_session(&self) -> bool {
        true
    }
}

// Section 9: 20-turn sessions over 4 deployments, at least 95 % of an oracle's cached tokens; bounded load.
#[tokio::test(start_paused = true)]
async fn sessions_find_their_prompts_in_the_cache() {
    for count in [20, 100, 400] {
        for seed in 1..4 {
            let read = async |strategy: Arc<dyn Strategy>| {
                let caches = sessions(&over_four(strategy, seed), count, seed).await;
                let read = caches.0.lock().unwrap().read as f64;
                (read, caches.most())
            };
            let (oracle, _) = read(Arc::new(Oracle(Mutex::default()))).await;
            let (ours, most) = read(strategy::named("affinity").unwrap()).await;
            let (round_robin, _) = read(Arc::new(RoundRobin(AtomicUsize::new(0)))).await;
            let (random, _) = read(strategy::named("weighted").unwrap()).await;
            let percent = |read: f64| 100.0 * read / oracle;
            println!(
                "{count} sessions, seed {seed}: of an oracle's cached tokens affinity {:.1} %, round-robin {:.1} %, \
                 random {:.1} %; the busiest deployment {most:.2} times the mean",
                percent(ours),
                percent(round_robin),
                percent(random)
            );
            assert!(percent(ours) >= 95.0);
            // Of 20 sessions a single one is a fifth of the mean.
            assert!(most <= 1.25 || count == 20, "{most}");
        }
    }
}

fn hot(key: &str) -> Call {
    let mut call = Call::ask("main", "hello");
    call.request_mut().user = Some(key.into());
    call
}

// Bounded load: a session of its own that is most of the traffic is spread.
#[tokio::test(start_paused = true)]
async fn a_session_that_is_most_of_the_traffic_is_spread() {
    let router = over_four(strategy::named("affinity").unwrap(), 1);
    let mut chance = fastrand::Rng::with_seed(1);
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut tasks = Vec::new();
    for number in 0..6_000 {
        let key = if chance.f64() < 0.8 { "hot".to_owned() } else { number.to_string() };
        let router = router.clone();
        tasks.push(tokio::spawn(async move { common::name(&router.ask(hot(&key)).await.unwrap()) }));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for task in tasks {
        *counts.entry(task.await.unwrap()).or_default() += 1;
    }
    let most = *counts.values().max().unwrap() as f64 * 4.0 / 6_000.0;
    println!("{counts:?}: the busiest {most:.2} times the mean");
    assert!(most <= 1.27, "{most}");
}

async fn served(router: &Router, call: Call) -> String {
    common::who(router, call).await
}

#[tokio::test(start_paused = true)]
async fn a_session_goes_elsewhere_while_its_deployment_is_down_or_short_of_limits_and_stays_there() {
    let told = DEPLOYMENTS.map(|_| Told::ready());
    let deployments = DEPLOYMENTS.iter().zip(&told).map(|(name, told)| told.of(answering(name).0));
    let router = seeded().strategy(strategy::Affinity).build_of([model("main", deployments)]);
    let of = |name: &str| &told[DEPLOYMENTS.iter().position(|one| *one == name).unwrap()];

    let first = served(&router, hot("alice")).await;
    for _ in 0..3 {
        assert_eq!(served(&router, hot("alice")).await, first);
    }
    of(&first).down_for(seconds(30));
    let second = served(&router, hot("alice")).await;
    assert_ne!(second, first);
    tokio::time::advance(seconds(31)).await;
    of(&first).set(Availability::Ready);
    // Its newest turns are cached there now.
    assert_eq!(served(&router, hot("alice")).await, second);
    of(&second).left(0.1);
    let third = served(&router, hot("alice")).await;
    assert_ne!(third, second);
}

#[tokio::test]
async fn every_process_sends_a_new_session_to_the_same_deployment() {
    for user in ["alice", "bob", "carol", "dave"] {
        let mut chosen = Vec::new();
        for seed in 0..5 {
            let router = seeded()
                .seed(seed)
                .strategy(strategy::Affinity)
                .build_of([model("main", DEPLOYMENTS.map(|name| answering(name).0))]);
            chosen.push(served(&router, hot(user)).await);
        }
        chosen.dedup();
        assert_eq!(chosen.len(), 1, "{user}");
    }
}

#[tokio::test]
async fn tenants_with_the_same_session_name_are_not_one_session() {
    let router = seeded()
        .strategy(strategy::Affinity)
        .build_of([model("main", DEPLOYMENTS.map(|name| answering(name).0))]);
    let mut chosen = std::collections::HashSet::new();
    for tenant in 0..40 {
        let mut call = hot("alice");
        call.context_mut().namespace = Namespace::new(tenant.to_string());
        chosen.insert(served(&router, call).await);
    }
    assert_eq!(chosen.len(), 4);
}

fn candidates() -> Vec<Candidate<'static>> {
    DEPLOYMENTS.map(Candidate::new).to_vec()
}

fn choose(candidates: &[Candidate<'_>], session: Session) -> usize {
    let mut choice = Choice::of(candidates);
    choice.session = Some(session);
    strategy::Affinity.choose(&choice, &mut Chance::seeded(1))
}

#[test]
fn a_cache_is_a_price() {
    let mut candidates = candidates();
    for (candidate, price) in candidates.iter_mut().zip([3.0, 2.9, 1.0, 0.2]) {
        candidate.price = Some(mainstay_router::Price::new(price, 10.0));
    }
    // Cold, the cheapest; warm, the one that has it, unless another is cheaper even so.
    assert_eq!(choose(&candidates, Session::new(5)), 3);
    let mut session = Session::new(5);
    (session.last, session.warm) = (Some(2), 0.974);
    assert_eq!(choose(&candidates, session), 2);
    session.last = Some(0);
    assert_eq!(choose(&candidates, session), 3);
}

#[test]
fn when_one_leaves_only_its_sessions_move() {
    let all = candidates();
    let fewer: Vec<_> = all[..3].to_vec();
    for key in 0..2_000 {
        let session = Session::new(key * 7_919);
        let before = choose(&all, session);
        if before < 3 {
            assert_eq!(choose(&fewer, session), before);
        }
    }
}

#[test]
fn new_sessions_spread_by_weight() {
    let mut candidates = candidates();
    candidates[0].weight = 3.0;
    let mut counts = [0; 4];
    for key in 0..60_000 {
        counts[choose(&candidates, Session::new(key * 7_919))] += 1;
    }
    for (count, wanted) in counts.into_iter().zip([0.5, 1.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0]) {
        assert!((f64::from(count) / 60_000.0 / wanted - 1.0).abs() < 0.05, "{counts:?}");
    }
}
