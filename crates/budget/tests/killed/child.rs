//! A process of a seed: calls through the whole layer, at full speed, until it is ended.

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use mainstay_budget::{AttemptMeterLayer, Budget, BudgetLayer};
use mainstay_provider_core::test_kit::Scripted;
use mainstay_provider_core::{BoxProvider, Call, Provider};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::Layer;

use crate::chance::step;
use crate::clock::Clock;
use crate::common::meter;
use crate::plan::{End, Plan};
use crate::stores::Place;
use crate::told::{Telling, Told};
use crate::watch::look;

/// Which life of which process of which seed this is.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) seed: u64,
    pub(crate) process: usize,
    pub(crate) life: usize,
    pub(crate) born_ms: u64,
    pub(crate) place: Place,
}

impl Job {
    pub(crate) fn write(&self) -> String {
        let Self { seed, process, life, born_ms, place } = self;
        format!("{seed} {process} {life} {born_ms} {}", place.write())
    }

    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut words = text.splitn(5, ' ');
        let mut number = || words.next()?.parse::<u64>().ok();
        let (seed, process, life, born_ms) = (number()?, number()?, number()?, number()?);
        let place = Place::read(words.next()?)?;
        Some(Self { seed, process: process as usize, life: life as usize, born_ms, place })
    }

    pub(crate) fn work(&self) {
        let plan = Plan::of(self.seed, self.place.kind());
        let mut builder =
            if plan.is_on_two_threads { Builder::new_multi_thread() } else { Builder::new_current_thread() };
        let runtime = builder.worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(self.live(&plan));
    }

    async fn live(&self, plan: &Plan) {
        let mut terminated = signal(SignalKind::terminate()).unwrap();
        let clock = plan.clock(self.born_ms);
        let store = Telling { store: self.place.open(plan), lease: plan.lease };
        let layer = BudgetLayer::builder_over(meter(), Arc::new(store), plan.book())
            .lease(Duration::from_secs(3))
            .store_timeout(plan.store_timeout)
            .clock(move || clock.now())
            .build()
            .unwrap();
        let budget = layer.budget().clone();
        let chance = (self.process as u64) << 32 | (self.life as u64) << 40;
        let mut rng = Rng::with_seed(plan.seed ^ chance);
        let provider = provider(&layer, plan, &mut rng);
        // A store that is not reached yet is one of the things that happen.
        let _reached = budget.ping().await;
        let is_over = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for _ in 0..plan.callers {
            callers.spawn(caller(provider.clone(), plan.clone(), rng.fork(), is_over.clone()));
        }
        let housekeeper = tokio::spawn(keep(budget.clone(), plan.clone(), clock));
        Told::Ready.say();
        terminated.recv().await;
        is_over.store(true, Ordering::Relaxed);
        if plan.processes[self.process][self.life].end == End::Cancelled {
            callers.abort_all();
        }
        while let Some(ended) = callers.join_next().await {
            if ended.is_err_and(|error| error.is_panic()) {
                Told::Broken("a caller panicked".into()).say();
            }
        }
        housekeeper.abort();
        // G3: nothing that is not booked is left behind.
        match budget.flush(Duration::from_secs(10)).await {
            Ok(()) => Told::Flushed.say(),
            Err(_) => Told::Unflushed.say(),
        }
    }
}

fn provider(layer: &BudgetLayer, plan: &Plan, rng: &mut Rng) -> BoxProvider {
    let (chance, pause) = (Mutex::new(rng.fork()), plan.pause);
    let upstream = Scripted::by(move |_| step(&mut chance.lock().unwrap(), pause));
    if plan.has_meter {
        layer.layer(AttemptMeterLayer::new("openai").layer(upstream)).boxed()
    } else {
        layer.layer(upstream).boxed()
    }
}

/// One call after the other; some are left at any moment.
async fn caller(provider: BoxProvider, plan: Plan, mut rng: Rng, is_over: Arc<AtomicBool>) {
    while !is_over.load(Ordering::Relaxed) {
        let mut call = Call::ask("test-model", "What is a mainstay?");
        call.request_mut().max_tokens = Some(60);
        call.request_mut().stream = Some(rng.u32(0..4) > 0);
        call.context_mut().subjects = plan.some_subjects(&mut rng);
        // Nobody waits for ever: some upstreams never answer.
        let patience = if rng.u32(0..4) == 0 { plan.pause } else { plan.lease };
        let asked = async {
            let reply = provider.ask(call).await;
            let is_refused = reply.is_err();
            if let Ok(reply) = reply {
                let _answer = reply.collect().await;
            }
            is_refused
        };
        if let Ok(true) = timeout(patience.mul_f64(rng.f64()), asked).await {
            // Who is refused does not knock without end.
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Keeps house as often as short leases ask for, and looks at the limits where only this process can.
async fn keep(budget: Budget, plan: Plan, clock: Clock) {
    let keep = async {
        if !plan.renews {
            return pending().await;
        }
        loop {
            sleep(plan.lease / 3).await;
            budget.maintain().await;
        }
    };
    let watch = async {
        if budget.stats().store.is_some() {
            return pending().await;
        }
        loop {
            if let Err(over) = look(&budget, &plan, clock).await {
                Told::Broken(over).say();
            }
            sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::join!(keep, watch);
}
