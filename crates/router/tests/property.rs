//! Whatever fails: a call asks each deployment at most once without being told to back off, it ends, and the last error
//! carries all.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{BuildOf as _, Told, call, seeded};
use mainstay_provider_core::test_kit::{Piece, Scripted, Step};
use mainstay_provider_core::{Availability, Call, Error, ErrorKind, Next, Provider, Timer};
use mainstay_router::{Deployment, Model, Router};
use proptest::prelude::*;

/// What a deployment does with its calls, one after another; the last for ever.
type Script = Vec<Act>;

#[derive(Debug, Clone)]
enum Act {
    Answer,
    Fail {
        kind: ErrorKind,
        retryable: Option<bool>,
        pause: Option<u64>,
        down_for: Option<u64>,
    },
    /// It begins to answer and breaks off.
    Break(ErrorKind),
}

#[derive(Debug, Clone)]
struct Site {
    script: Script,
    order: u32,
    window: Option<u64>,
    prefill: bool,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Ready,
    HalfOpen,
    Down(u64),
    ClosedByHand,
    UsedUp,
}

#[derive(Debug, Clone)]
struct World {
    models: Vec<Vec<Site>>,
    fallbacks: Vec<usize>,
    longer: Vec<usize>,
    other_policy: Vec<usize>,
    stream: bool,
    hedged: bool,
}

fn kind() -> impl Strategy<Value = ErrorKind> {
    use ErrorKind::*;
    prop::sample::select(vec![
        Network,
        Timeout(Timer::Connect),
        Timeout(Timer::FirstToken),
        Timeout(Timer::Total),
        RateLimited,
        QuotaExhausted,
        Overloaded,
        ServerError,
        Authentication,
        PermissionDenied,
        ModelNotFound,
        InvalidRequest,
        ContextLengthExceeded,
        ContentFiltered,
        MalformedToolCall,
        MalformedResponse,
        LimitReached,
        Unavailable,
        Configuration,
        Internal,
    ])
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        1 => Just(Act::Answer),
        8 => (kind(), prop::option::weighted(0.1, any::<bool>()), prop::option::weighted(0.3, 0u64..90), prop::option::weighted(0.3, 1u64..90))
            .prop_map(|(kind, retryable, pause, down_for)| Act::Fail { kind, retryable, pause, down_for }),
        1 => kind().prop_map(Act::Break),
    ]
}

fn site() -> impl Strategy<Value = Site> {
    let state = prop_oneof![
        6 => Just(State::Ready),
        1 => Just(State::HalfOpen),
        1 => (1u64..90).prop_map(State::Down),
        1 => Just(State::ClosedByHand),
        1 => Just(State::UsedUp),
    ];
    let window = prop::option::of(prop::sample::select(vec![8_000u64, 32_000, 1_000_000]));
    (prop::collection::vec(act(), 1..4), 1u32..4, window, any::<bool>(), state)
        .prop_map(|(script, order, window, prefill, state)| Site { script, order, window, prefill, state })
}

fn world() -> impl Strategy<Value = World> {
    let models = prop::collection::vec(prop::collection::vec(site(), 1..5), 1..5);
    (models, any::<u64>(), any::<bool>(), any::<bool>()).prop_map(|(models, links, stream, hedged)| {
        let others = |shift: u64| {
            (1..models.len()).filter(|at| links >> (shift + *at as u64) & 1 == 1).collect::<Vec<_>>()
        };
        let (fallbacks, longer, other_policy) = (others(0), others(8), others(16));
        World { models, fallbacks, longer, other_policy, stream, hedged }
    })
}

type Asked = Arc<Mutex<Vec<String>>>;

fn build(world: &World, asked: &Asked) -> Router {
    let name = |model: usize| if model == 0 { "main".to_owned() } else { format!("model-{model}") };
    let models = world.models.iter().enumerate().map(|(model_at, sites)| {
        let mut model = Model::new(name(model_at));
        for (at, site) in sites.iter().enumerate() {
            model = model.deployment(deployment(&format!("{model_at}-{at}"), site, asked));
        }
        if model_at == 0 {
            let names = |all: &[usize]| all.iter().map(|at| name(*at)).collect::<Vec<_>>();
            model = model
                .fallbacks(names(&world.fallbacks))
                .context_window_fallbacks(names(&world.longer))
                .content_policy_fallbacks(names(&world.other_policy));
        }
        model
    });
    let builder = if world.hedged { seeded().hedging(mainstay_router::Hedging::new()) } else { seeded() };
    builder.build_of(models.collect::<Vec<_>>())
}

fn deployment(name: &str, site: &Site, asked: &Asked) -> Deployment {
    let told = Told::ready();
    match site.state {
        State::Ready => {}
        State::HalfOpen => told.set(Availability::HalfOpen),
        State::Down(time) => told.down_for(Duration::from_secs(time)),
        State::ClosedByHand => told.set(Availability::Unavailable { until: None }),
        State::UsedUp => told.left(0.0),
    }
    let (script, asked, of, reports) = (site.script.clone(), asked.clone(), name.to_owned(), told.clone());
    let count = Mutex::new(0);
    let scripted = Scripted::by(move |call| {
        asked.lock().unwrap().push(of.clone());
        let mut count = count.lock().unwrap();
        let act = script[(*count).min(script.len() - 1)].clone();
        *count += 1;
        match act {
            Act::Answer => Step::text("an answer"),
            Act::Break(kind) if call.is_stream() => {
                Step::stream([Piece::text("half "), Piece::fail_with(kind)])
            }
            Act::Break(kind) => Step::fail_with(kind),
            Act::Fail { kind, retryable, pause, down_for } => {
                if let Some(time) = down_for {
                    reports.down_for(Duration::from_secs(time));
                }
                let mut error = Error::new(kind, "on purpose");
                if let Some(retryable) = retryable {
                    error = error.with_retryable(retryable);
                }
                if let Some(pause) = pause {
                    error = error.with_retry_after(Duration::from_secs(pause));
                }
                Step::fail(error)
            }
        }
    });
    let mut deployment = told.of(Deployment::new(name, scripted)).order(site.order).prefill(site.prefill);
    if let Some(window) = site.window {
        deployment = deployment.context_window(window);
    }
    deployment
}

/// Follows what the router says, as a retry layer does, and checks each step.
async fn follow(world: &World) -> Result<(), TestCaseError> {
    let asked: Asked = Asked::default();
    let router = build(world, &asked);
    let mut call = call();
    call.request_mut().stream = Some(world.stream);
    let deployments: usize = world.models.iter().map(Vec::len).sum();
    let (mut waits, mut shortened, mut is_resumed) = (0, 0, false);
    // Those that were asked since the last back off.
    let mut since: HashSet<String> = HashSet::new();
    for steps in 0.. {
        // Each step asks somebody new, waits, or shortens.
        prop_assert!(steps <= deployments * 8 + 16, "it does not end");
        let before = asked.lock().unwrap().len();
        let result = router.ask(call.clone()).await;
        let new = asked.lock().unwrap()[before..].to_vec();
        for one in &new {
            prop_assert!(since.insert(one.clone()), "{one} is asked again at once");
        }
        let error = match result {
            Ok(reply) => match reply.collect().await {
                Ok(_) => return Ok(()),
                // Once, as a rescue does: with the same ledger.
                Err(_) if !is_resumed => {
                    is_resumed = true;
                    since.clear();
                    continue;
                }
                Err(_) => return Ok(()),
            },
            Err(error) => error,
        };
        check(&error, &asked, &call, &new)?;
        match error.next() {
            Some(Next::Peer | Next::Fallback) => {
                prop_assert!(!new.is_empty(), "it was told to go on and nobody was asked");
            }
            Some(Next::Same { fallback }) if waits < 3 => {
                waits += 1;
                since.clear();
                let pause = error.retry_after().unwrap_or_default().max(Duration::from_millis(100));
                tokio::time::sleep(pause).await;
                if waits == 3 && fallback {
                    call.context_mut().needs.fresh = true;
                }
            }
            Some(Next::Same { .. }) => return Ok(()),
            None if error.kind() == ErrorKind::ContextLengthExceeded && shortened < 2 => {
                shortened += 1;
                since.clear();
            }
            _ => return Ok(()),
        }
    }
    Ok(())
}

fn check(error: &Error, asked: &Asked, call: &Call, new: &[String]) -> Result<(), TestCaseError> {
    let ledger = call.context().attempts.errors();
    let own: Vec<_> =
        error.attempts().iter().map(|one| (one.deployment().map(str::to_owned), one.kind())).collect();
    if ledger.len() > 1 {
        let all: Vec<_> =
            ledger.iter().map(|one| (one.deployment().map(str::to_owned), one.kind())).collect();
        prop_assert_eq!(own, all, "the error carries all");
    }
    let failed: Vec<_> = ledger.iter().filter_map(Error::deployment).collect();
    for name in asked.lock().unwrap().iter() {
        prop_assert!(failed.contains(&name.as_str()), "{} stands in the ledger", name);
    }
    if let (Some(last), Some(deployment)) = (new.last(), error.deployment()) {
        prop_assert_eq!(last, deployment);
    }
    prop_assert!(
        call.context().attempts.len() as usize <= asked.lock().unwrap().len(),
        "a refusal is no attempt"
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    // S1.4, S1.6
    #[test]
    fn a_call_asks_each_once_ends_and_tells_all(world in world()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(follow(&world))?;
    }
}
