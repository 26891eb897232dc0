//! Who drives what several wait for.

use std::task::{Wake, Waker};

use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering};

/// Something that several tasks wait for and that one of them at a time moves on: whoever is polled and finds it free.
///
/// There is no task of its own that could outlive them: when the last of them goes, so does it. None depends on another
/// either: one that is dropped, or not polled any more, leaves it to the others.
pub(crate) struct Baton<T> {
    place: Mutex<Place<T>>,
    bell: std::sync::Arc<Bell>,
}

enum Place<T> {
    Free(T),
    /// One of the tasks moves it on, just now.
    Held,
    /// It is done.
    Gone,
}

/// What a task finds.
pub(crate) enum Found<T> {
    /// It is this task's to move on; then [`Baton::give_back`] or [`Baton::done`].
    Mine(T),
    /// Another task moves it on; this one is woken when there is something new.
    Held,
    /// It is done.
    Gone,
}

/// Wakes all who wait. It is the waker that the thing itself is polled with.
struct Bell {
    /// Who waits, by the number of the task.
    waiting: Mutex<Vec<Option<Waker>>>,
    /// Whether it rang since the baton was taken.
    rang: AtomicBool,
}

impl<T> Baton<T> {
    pub(crate) fn new(thing: T) -> Self {
        let bell = Bell { waiting: Mutex::new(Vec::new()), rang: AtomicBool::new(false) };
        Self { place: Mutex::new(Place::Free(thing)), bell: std::sync::Arc::new(bell) }
    }

    /// Takes it, if nobody has it. In any case task `number` is woken when there is something new.
    pub(crate) fn take(&self, number: usize, waker: &Waker) -> Found<T> {
        // First this, then the look: whoever gives it back in between wakes this task.
        self.bell.register(number, waker);
        let mut place = lock(&self.place);
        match std::mem::replace(&mut *place, Place::Held) {
            Place::Free(thing) => {
                self.bell.rang.store(false, Ordering::SeqCst);
                Found::Mine(thing)
            }
            Place::Held => Found::Held,
            Place::Gone => {
                *place = Place::Gone;
                Found::Gone
            }
        }
    }

    /// The waker to poll the thing with.
    pub(crate) fn waker(&self) -> Waker {
        self.bell.clone().into()
    }

    /// The thing has to wait again, or has moved and is not done.
    pub(crate) fn give_back(&self, thing: T) {
        let rang = {
            let mut place = lock(&self.place);
            *place = Place::Free(thing);
            // Within the lock: the next holder's ring is not this one's to take.
            self.bell.rang.swap(false, Ordering::SeqCst)
        };
        // It was woken meanwhile, and those who were woken with it found it held.
        if rang {
            self.bell.ring_all();
        }
    }

    pub(crate) fn done(&self) {
        let before = std::mem::replace(&mut *lock(&self.place), Place::Gone);
        self.bell.ring_all();
        drop(before);
    }

    /// There is something new for all others.
    pub(crate) fn tell_others(&self, number: usize) {
        self.bell.ring(Some(number));
    }

    /// Task `number` waits no more. The others look whether it left anything undone.
    pub(crate) fn leave(&self, number: usize) {
        let left = lock(&self.bell.waiting).get_mut(number).and_then(Option::take);
        drop(left);
        self.bell.ring_all();
    }
}

impl Bell {
    fn register(&self, number: usize, waker: &Waker) {
        let mut waiting = lock(&self.waiting);
        if waiting.len() <= number {
            waiting.resize(number + 1, None);
        }
        match &mut waiting[number] {
            Some(known) if known.will_wake(waker) => {}
            place => *place = Some(waker.clone()),
        }
    }

    fn ring_all(&self) {
        self.ring(None);
    }

    fn ring(&self, but: Option<usize>) {
        let woken: Vec<Waker> = {
            let mut waiting = lock(&self.waiting);
            // Most often there is one task, and it is the one that need not be told.
            if but.is_some() && waiting.len() <= 1 {
                return;
            }
            let others = waiting.iter_mut().enumerate().filter(|(number, _)| Some(*number) != but);
            others.filter_map(|(_, waker)| waker.take()).collect()
        };
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Wake for Bell {
    fn wake(self: std::sync::Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &std::sync::Arc<Self>) {
        self.rang.store(true, Ordering::SeqCst);
        self.ring_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these locks.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(all(test, loom))]
mod tests {
    use std::task::Context;

    use loom::sync::Arc;
    use loom::sync::atomic::AtomicUsize;
    use loom::thread;

    use super::*;

    /// What is waited for: it has to be woken from outside before each step.
    struct Thing {
        steps: usize,
        may: Arc<AtomicUsize>,
        waker: Arc<Mutex<Option<Waker>>>,
    }

    impl Thing {
        /// Whether it is done.
        fn poll(&mut self, task: &mut Context<'_>) -> bool {
            *lock(&self.waker) = Some(task.waker().clone());
            self.steps = self.may.load(Ordering::SeqCst);
            self.steps == 1
        }
    }

    /// Waits as a task does: polls, sleeps until it is woken, polls again.
    fn wait(baton: &Baton<Thing>, number: usize) {
        loom::future::block_on(std::future::poll_fn(|task| {
            loop {
                match baton.take(number, task.waker()) {
                    Found::Gone => return std::task::Poll::Ready(()),
                    Found::Held => return std::task::Poll::Pending,
                    Found::Mine(mut thing) => {
                        let waker = baton.waker();
                        if thing.poll(&mut Context::from_waker(&waker)) {
                            baton.done();
                            continue;
                        }
                        baton.give_back(thing);
                        return std::task::Poll::Pending;
                    }
                }
            }
        }));
    }

    fn model(check: impl Fn(Arc<Baton<Thing>>) + Sync + Send + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(move || {
            let (may, waker) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(None::<Waker>)));
            let baton = Arc::new(Baton::new(Thing { steps: 0, may: may.clone(), waker: waker.clone() }));
            let outside = thread::spawn(move || {
                may.store(1, Ordering::SeqCst);
                let woken = lock(&waker).take();
                woken.into_iter().for_each(Waker::wake);
            });
            check(baton);
            outside.join().unwrap();
        });
    }

    // loom finds a lost wake-up as a deadlock.
    #[test]
    fn loom_two_who_wait_are_both_told() {
        model(|baton| {
            let other = baton.clone();
            let other = thread::spawn(move || wait(&other, 1));
            wait(&baton, 0);
            other.join().unwrap();
        });
    }

    /// Is polled once, as a task is.
    fn poll_once(baton: &Baton<Thing>, number: usize) {
        if let Found::Mine(mut thing) = baton.take(number, Waker::noop()) {
            let waker = baton.waker();
            if thing.poll(&mut Context::from_waker(&waker)) {
                baton.done();
            } else {
                baton.give_back(thing);
            }
        }
    }

    #[test]
    fn loom_one_who_leaves_leaves_nothing_undone() {
        model(|baton| {
            let other = baton.clone();
            let impatient = thread::spawn(move || {
                poll_once(&other, 1);
                other.leave(1);
            });
            wait(&baton, 0);
            impatient.join().unwrap();
        });
    }

    #[test]
    fn loom_one_who_is_not_polled_any_more_holds_nobody_up() {
        model(|baton| {
            let other = baton.clone();
            let slow = thread::spawn(move || poll_once(&other, 1));
            wait(&baton, 0);
            slow.join().unwrap();
        });
    }
}
