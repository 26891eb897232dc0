//! The beginning of a stream is read before the caller gets any of it: what breaks there is asked again, and nobody can
//! tell.

use std::collections::VecDeque;

use mainstay_provider_core::{ChatChunk, Error, ErrorKind, Provider, Reply, ReplyHead, Rescued, Wire};
use tokio::time::{Instant, timeout_at};

use crate::config::HoldBack;
use crate::plan::{Plan, is_rescued};
use crate::seam::Seam;
use crate::sent::Sent;
use crate::stream::{Leg, Reading, Watched};

/// Reads a reply ahead; asks anew for as long as its stream breaks off there.
pub(crate) async fn read_ahead<S: Provider>(
    mut reply: Reply,
    mut plan: Plan<S>,
    hold_back: HoldBack,
) -> Result<Reply, Error> {
    let until = plan.until();
    let began = reply.head.started;
    let mut broken: Vec<Error> = Vec::new();
    loop {
        let mut head = reply.head.clone();
        let mut leg = Leg::of(reply);
        leg.seam = (plan.breaks() > 0).then(|| Seam::unseen(plan.spent().0));
        let mut held = Held::new(leg, plan.rules.keep);
        let Err(error) = held.fill(hold_back).await else {
            if let Some(reason) = plan.last_reason() {
                tell(&mut head, &plan, reason);
                // The caller has waited since the first stream was asked for.
                (head.started, head.first_token) = (began, None);
            }
            return held.release(*head, plan).await;
        };
        let again = is_rescued(error.kind()) && plan.broke(&held.leg.name, None, error.kind());
        if !again || Instant::now() >= until || !plan.may_ask() {
            return Err(with_attempts(error, broken));
        }
        plan.spend(held.leg.usage);
        plan.tell("rescue.held_back", |event| event);
        drop(held);
        match timeout_at(until, plan.inner.ask(plan.call.clone())).await {
            Ok(Ok(another)) => {
                broken.push(error);
                reply = another;
            }
            Ok(Err(failed)) => {
                broken.push(error);
                return Err(with_attempts(failed, broken));
            }
            Err(_) => return Err(with_attempts(error, broken)),
        }
    }
}

/// Tells in the head what broke off here, and what a layer beneath told.
fn tell<S>(head: &mut ReplyHead, plan: &Plan<S>, reason: ErrorKind) {
    let mut rescued = Rescued::new(reason);
    rescued.breaks = plan.breaks();
    rescued.usage_known = plan.spent().1;
    head.attempts = head.attempts.max(rescued.breaks.saturating_add(1));
    if let Some(beneath) = head.rescued {
        rescued.breaks = rescued.breaks.saturating_add(beneath.breaks);
        rescued.usage_known &= beneath.usage_known;
    }
    head.rescued = Some(rescued);
}

/// The error with those before it, unless a router beneath has told them all.
fn with_attempts(error: Error, mut before: Vec<Error>) -> Error {
    if before.is_empty() || !error.attempts().is_empty() {
        return error;
    }
    before.push(error.clone());
    error.with_attempts(before)
}

/// Far above the chunks without content that a provider sends while its model thinks.
const MOST_HELD: usize = 20_000;

/// The beginning of a stream.
struct Held {
    leg: Leg,
    sent: Sent,
    chunks: VecDeque<Wire<ChatChunk>>,
}

impl Held {
    fn new(leg: Leg, keep: usize) -> Self {
        Self { leg, sent: Sent::nothing(keep), chunks: VecDeque::new() }
    }

    /// Reads until the beginning is as long as it shall be. `Err`: it broke off before.
    async fn fill(&mut self, hold_back: HoldBack) -> Result<(), Error> {
        let until = Instant::now() + hold_back.time;
        let (mut content, mut text) = (0, String::new());
        let mut is_short = true;
        // The clock decides, not the timer: a stream that is always ready leaves the timer no turn.
        while is_short && !self.sent.is_finished() && Instant::now() < until {
            match timeout_at(until, self.leg.chunks.next()).await {
                // A slow stream goes out too; what breaks later is rescued in the open.
                Err(_) | Ok(None) => break,
                Ok(Some(Err(error))) => return Err(error),
                Ok(Some(Ok(chunk))) => {
                    content += usize::from(chunk.has_content());
                    chunk.push_text(&mut text);
                    self.chunks.extend(self.leg.pass(chunk, &mut self.sent));
                    is_short = content < hold_back.chunks
                        && text.len() < hold_back.bytes
                        && self.chunks.len() < MOST_HELD;
                }
            }
        }
        Ok(())
    }

    /// The reply, which begins with what was held: its first content is among that.
    async fn release<S: Provider>(self, head: ReplyHead, plan: Plan<S>) -> Result<Reply, Error> {
        let Self { leg, sent, chunks } = self;
        Reply::stream(head, Watched::beginning(chunks, Reading { leg, sent, plan })).await
    }
}
