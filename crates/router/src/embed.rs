//! Embedding calls: every deployment of the model once, no other model.

use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use mainstay_provider_core::{
    Begun, BoxFuture, EmbedCall, EmbedReply, Embedder, Error, ErrorKind, Needs, Next,
};
use tokio::time::Instant;
use tower_service::Service;

use crate::failure::{WithAll, nobody};
use crate::flight::Flight;
use crate::group::Group;
use crate::load::Lane;
use crate::past::Past;
use crate::route::Route;
use crate::service::{Router, Shared, Taken, with_room};
use crate::survey::Survey;

impl Service<EmbedCall> for Router {
    type Response = EmbedReply;
    type Error = Error;
    type Future = BoxFuture<Result<EmbedReply, Error>>;

    /// Always ready: which deployment is asked is known only with the call.
    fn poll_ready(&mut self, _task: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: EmbedCall) -> Self::Future {
        Box::pin(self.0.clone().embed(call))
    }
}

impl Shared {
    async fn embed(self: Arc<Self>, call: EmbedCall) -> Result<EmbedReply, Error> {
        let asked = self.find(&call.request.model)?;
        let attempts = call.context.attempts.clone();
        let mut errors: Vec<Error> = Vec::new();
        loop {
            let taken = self.pick_embedder(&asked, &errors)?;
            let begun = attempts.begin();
            let error = match self.embed_at(&taken, begun, call.clone()).await {
                Ok(reply) => {
                    attempts.end(begun, taken.member().name.clone(), None);
                    return Ok(reply);
                }
                Err(error) => error.with_deployment(taken.member().name.clone()),
            };
            attempts.end(begun, taken.member().name.clone(), Some(&error));
            let verdict = self
                .embed_survey(&asked, Past::new(&errors).with(&error), Needs::default())
                .next(&error, &asked);
            let next = verdict.next.unwrap_or(Next::Nowhere);
            errors.push(error.clone());
            if next != Next::Peer {
                let error = verdict.wait.map_or(error.clone(), |wait| error.with_retry_after(wait));
                return Err(error.with_next(next).with_all(&errors));
            }
        }
    }

    async fn embed_at(&self, taken: &Taken, begun: Begun, mut call: EmbedCall) -> Result<EmbedReply, Error> {
        let member = taken.member();
        let Some(embedder) = &member.embedder else {
            return Err(Error::new(ErrorKind::Internal, "the router chose a deployment that does not embed"));
        };
        if call.request.model != *member.model {
            Arc::make_mut(&mut call.request).model = member.model.to_string();
        }
        let mut flight = Flight::begin(member.load.clone(), Lane::Embed, begun.at);
        match embedder.embed(call).await {
            Ok(mut reply) => {
                flight.answered(Instant::now());
                reply.head.deployment = Some(member.name.clone());
                reply.head.attempts = begun.number;
                Ok(reply)
            }
            Err(error) => {
                flight.failed(&error, Instant::now());
                Err(error)
            }
        }
    }

    fn pick_embedder(&self, asked: &Arc<Group>, errors: &[Error]) -> Result<Taken, Error> {
        // Each is asked once.
        let mut needs = Needs::default();
        needs.fresh = true;
        let mut chance = self.chance();
        with_room(asked.widest, |room| {
            let survey = self.embed_survey(asked, Past::new(errors), needs);
            match survey.pick(room, &mut chance) {
                Some(seat) => Ok(Taken::new(seat.group, seat.index, seat.why)),
                None => Err(nobody(&survey, &asked.name, errors)),
            }
        })
    }

    fn embed_survey<'a>(&self, asked: &'a Arc<Group>, past: Past<'a>, needs: Needs) -> Survey<'a> {
        let now = Instant::now();
        Survey {
            route: Route::only(asked),
            past,
            needs,
            lane: Lane::Embed,
            now,
            tick: self.clock.tick(now),
            session: None,
            only_looks: false,
        }
    }
}
