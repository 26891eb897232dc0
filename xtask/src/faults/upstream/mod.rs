//! The hostile upstream: OpenAI's chat completions, whole and streamed, with one fault.
//!
//! It writes to sockets itself: no server library resets a connection or leaves a transfer unfinished on purpose.

pub(super) mod body;
mod connection;
#[cfg(test)]
mod tests;

use self::connection::{Connection, Request};
use super::answer;
use super::log::Log;
use super::plan::{Cut, Fault, Plan, Prefill, Who};
use super::scale::Scale;
use anyhow::{Context, Result};
use serde_json::Value;
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How quick a healthy upstream is, in seconds of the full profile.
pub(crate) const FIRST_TOKEN: f64 = 0.2;
pub(crate) const PER_WORD: f64 = 0.05;

/// How long the connection stays open after an answer without `[DONE]`.
const OPEN_WITHOUT_DONE: f64 = 60.0;

/// A listening upstream; no new connection is taken after this is dropped.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    accepts: JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepts.abort();
    }
}

/// What a connection needs to know.
#[derive(Clone)]
struct Part {
    who: Who,
    plan: Plan,
    scale: Scale,
    log: Log,
}

impl Upstream {
    pub(crate) async fn start(who: Who, plan: Plan, scale: Scale, log: Log) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a port for the upstream")?;
        let address = listener.local_addr()?;
        let part = Part { who, plan, scale, log };
        let accepts = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let part = part.clone();
                tokio::spawn(async move { part.serve(Connection::new(stream)).await });
            }
        });
        Ok(Self { address, accepts })
    }
}

/// What becomes of a connection after an answer.
#[derive(Debug, PartialEq, Eq)]
enum After {
    KeepOpen,
    Close,
    Reset,
}

/// One request, decided upon.
struct Exchange<'a> {
    part: &'a Part,
    place: usize,
    connection: &'a mut Connection,
    streamed: bool,
    with_usage: bool,
    tokens: Vec<String>,
    fault: Fault,
    events: usize,
}

impl Part {
    async fn serve(self, mut connection: Connection) {
        while let Ok(Some(request)) = connection.request().await {
            match self.answer(&mut connection, request).await {
                Ok(After::KeepOpen) => {}
                Ok(After::Close) | Err(_) => return,
                Ok(After::Reset) => return connection.reset(),
            }
        }
    }

    async fn answer(&self, connection: &mut Connection, request: Request) -> io::Result<After> {
        let is_chat = request.line.starts_with("POST ") && request.line.contains("/chat/completions ");
        if !is_chat {
            connection.write(&body::response("404 Not Found", "", &body::no_such_path())).await?;
            return Ok(After::KeepOpen);
        }
        let chat: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let (place, decision) = self.log.arrived(self.who, chat.clone(), |before, at| {
            let decision = self.decide(&chat, before, at.as_secs_f64() * self.scale.0);
            let did = decision.as_ref().map_or_else(|refusal| refusal.name.to_owned(), |fault| fault.name());
            (decision, did)
        });
        let fault = match decision {
            Ok(fault) => fault,
            Err(refusal) => {
                connection.write(&body::response("400 Bad Request", "", &refusal.body)).await?;
                self.log.wrote(place);
                return Ok(After::KeepOpen);
            }
        };
        let mut exchange = Exchange {
            part: self,
            place,
            connection,
            streamed: chat["stream"] == true,
            with_usage: chat["stream_options"]["include_usage"] == true,
            tokens: self.tokens(&chat),
            fault,
            events: 0,
        };
        let result = exchange.play().await;
        if result.is_err() {
            self.log.left(place);
        }
        result
    }

    /// The fault of this attempt, or what is wrong with its request.
    fn decide(&self, chat: &Value, before: usize, at: f64) -> Result<Fault, body::Refusal> {
        let messages = chat["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        if chat["model"] != self.who.model() {
            return Err(body::no_such_model(&chat["model"]));
        }
        let Some(last) = messages.last() else { return Err(body::no_messages()) };
        let length = tokens_of(messages);
        if let Some(window) = self.plan.window.filter(|window| length > *window) {
            return Err(body::too_long(window, length));
        }
        if self.plan.prefill == Prefill::Rejected && last["role"] == "assistant" {
            return Err(body::no_prefill());
        }
        Ok(self.plan.fault_of(before, at))
    }

    /// What it will say.
    fn tokens(&self, chat: &Value) -> Vec<String> {
        let last = chat["messages"].as_array().and_then(|messages| messages.last());
        let said = last.filter(|last| last["role"] == "assistant" && self.plan.prefill == Prefill::Continues);
        said.and_then(|said| answer::rest_after(&answer::text_of(said))).unwrap_or_else(answer::tokens)
    }
}

/// The length of a prompt as this upstream counts it.
pub(crate) fn tokens_of(messages: &[Value]) -> usize {
    messages.iter().map(|message| answer::text_of(message).len().div_ceil(4)).sum()
}

impl Exchange<'_> {
    async fn play(&mut self) -> io::Result<After> {
        match self.fault {
            Fault::RateLimited { retry_after } => {
                let header = retry_after.map(|seconds| format!("retry-after: {seconds}\r\n"));
                self.refuse("429 Too Many Requests", &header.unwrap_or_default(), &body::rate_limited()).await
            }
            Fault::ServerError => self.refuse("500 Internal Server Error", "", &body::server_error()).await,
            Fault::Unavailable => self.refuse("503 Service Unavailable", "", &body::unavailable()).await,
            Fault::FilteredPrompt => self.refuse("400 Bad Request", "", &body::filtered()).await,
            Fault::Reset => Ok(After::Reset),
            Fault::Silence(time) => {
                self.pause(time).await?;
                self.fault = Fault::None;
                self.speak().await
            }
            _ => self.speak().await,
        }
    }

    async fn refuse(&mut self, status: &str, headers: &str, body: &Value) -> io::Result<After> {
        self.write(&body::response(status, headers, body)).await?;
        Ok(After::KeepOpen)
    }

    async fn speak(&mut self) -> io::Result<After> {
        let after = if self.streamed { self.stream().await? } else { self.whole().await? };
        if matches!(
            self.fault,
            Fault::None | Fault::SlowFirstToken(_) | Fault::Stall { .. } | Fault::NoDone { .. }
        ) {
            self.part.log.answered(self.place);
        }
        Ok(after)
    }

    async fn stream(&mut self) -> io::Result<After> {
        let model = self.part.who.model();
        self.write(body::STREAM_HEAD).await?;
        self.event(&body::role(model)).await?;
        self.pause(if let Fault::SlowFirstToken(time) = self.fault { time } else { FIRST_TOKEN }).await?;
        let mut reason = "stop";
        for (said, token) in std::mem::take(&mut self.tokens).into_iter().enumerate() {
            match self.fault {
                Fault::Cut { words, how: Cut::Socket } if said == words => return Ok(After::Close),
                Fault::Cut { words, how: Cut::CleanEnd } if said == words => {
                    self.write(body::LAST_CHUNK).await?;
                    return Ok(After::Close);
                }
                Fault::FilteredAnswer { words } if said == words => {
                    reason = "content_filter";
                    break;
                }
                Fault::Stall { words, pause } if said == words => self.pause(pause).await?,
                _ => {}
            }
            self.event(&body::word(model, &token)).await?;
            self.pause(PER_WORD).await?;
        }
        self.event(&body::finish(model, reason)).await?;
        if self.with_usage {
            self.event(&body::usage_event(self.part.who, self.words_said())).await?;
        }
        match self.fault {
            Fault::NoDone { closes: false } => {
                self.pause(OPEN_WITHOUT_DONE).await?;
                return Ok(After::Close);
            }
            Fault::NoDone { closes: true } => {}
            _ => self.write(&body::chunk("[DONE]")).await?,
        }
        self.write(body::LAST_CHUNK).await?;
        Ok(After::KeepOpen)
    }

    /// The events that were words: all but the role and the finish.
    fn words_said(&self) -> usize {
        self.events.saturating_sub(2)
    }

    async fn whole(&mut self) -> io::Result<After> {
        let mut wait = FIRST_TOKEN + PER_WORD * self.tokens.len() as f64;
        let (mut said, mut reason) = (self.tokens.len(), "stop");
        match self.fault {
            Fault::SlowFirstToken(time) => wait += time,
            Fault::Stall { pause, .. } => wait += pause,
            Fault::FilteredAnswer { words } => (said, reason) = (words, "content_filter"),
            _ => {}
        }
        self.pause(wait).await?;
        let body = body::whole(self.part.who, &self.tokens[..said].concat(), said, reason);
        let response = body::response("200 OK", "", &body);
        if matches!(self.fault, Fault::Cut { .. } | Fault::MalformedEvent(_)) {
            let half = &response[..response.len() - body.to_string().len() / 2];
            self.write(half).await?;
            return Ok(After::Close);
        }
        self.write(&response).await?;
        Ok(After::KeepOpen)
    }

    async fn event(&mut self, event: &Value) -> io::Result<()> {
        self.events += 1;
        let text = event.to_string();
        let broken = self.fault == Fault::MalformedEvent(self.events);
        let text = if broken { &text[..text.len() / 2] } else { &text };
        self.write(&body::chunk(text)).await
    }

    async fn write(&mut self, text: &str) -> io::Result<()> {
        self.connection.write(text).await?;
        self.part.log.wrote(self.place);
        Ok(())
    }

    async fn pause(&mut self, full_seconds: f64) -> io::Result<()> {
        self.connection.pause(self.part.scale.seconds(full_seconds)).await
    }
}
