//! One recorded exchange through an adapter.

use mainstay_adapters::{Adapter, Transport};
use mainstay_provider_core::{
    Call, ChatRequest, EmbedCall, EmbedReply, EmbedRequest, Embedder as _, Error, ErrorKind, Provider as _,
    Reply,
};
use serde_json::{Value, json};

use super::dialect::{Target, Wire};
use super::expect::{self, Expected, failure};
use super::fixture::Fixture;
use super::gateway::{self, Gateway};
use super::json::{Look as _, difference, is_empty};
use super::meaning::{Sent, meaning};
use super::reverse::{self, Ask};
use super::server::{Loopback, Received, Scripted};
use super::validate::Specs;
use super::{auth, report::Outcome};

/// What the replay of files shares.
pub(crate) struct Stage {
    pub(crate) server: Loopback,
    pub(crate) transport: Transport,
    pub(crate) specs: Option<Specs>,
    /// The gateway to go through; the adapters themselves when there is none.
    pub(crate) gateway: Option<Gateway>,
    pub(crate) verbose: bool,
}

/// What an adapter gave back.
pub(crate) enum Got {
    Reply(Box<Reply>),
    Vectors(Box<EmbedReply>),
    Error(Error),
    Client(Box<gateway::Answer>),
}

impl Stage {
    pub(crate) async fn replay(&self, fixture: &Fixture) -> Outcome {
        match self.try_replay(fixture).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Fail(format!("the tool cannot read the file: {error:#}")),
        }
    }

    async fn try_replay(&self, fixture: &Fixture) -> anyhow::Result<Outcome> {
        let wire = Wire::of(fixture);
        if wire == Wire::Other && !fixture.is_failure() {
            return Ok(Outcome::Skip(not_our_job(&fixture.api).into()));
        }
        let target = Target::of(fixture, wire);
        let (ask, mut note) = match &fixture.request {
            None => (None, Some("no recorded request: a minimal one")),
            Some(request) => match reverse::neutral(wire, request) {
                Ok(ask) => (Some(ask), None),
                Err(reason) => (None, Some(reason.0)),
            },
        };
        let expected = expect::expected(fixture, wire)?;
        self.server.play(Scripted::recorded(&fixture.response)?);
        if let Some(ask) = &ask {
            let got = self.ask(&target, ask).await;
            let received = self.server.received();
            match (received.first(), &got) {
                (None, Got::Error(error)) if refused_as_recorded(fixture, error) => {
                    note = Some("the adapter itself refuses what the provider refused");
                }
                (None, Got::Error(error)) => {
                    return Ok(Outcome::Fail(format!("request: not sent: {error}: {}", error.message())));
                }
                (None, Got::Client(answer)) if gateway::refused(answer) && is_invalid_request(fixture) => {
                    note = Some("the adapter itself refuses what the provider refused");
                }
                (None, Got::Client(answer)) => {
                    return Ok(Outcome::Fail(format!("request: not sent: {}", gateway::said(answer))));
                }
                (None, _) => return Ok(Outcome::Fail("request: nothing was sent".into())),
                (Some(sent), _) => {
                    if let Some(flaw) = self.request_flaw(fixture, wire, &target, ask, sent) {
                        return Ok(Outcome::Fail(format!("request: {flaw}")));
                    }
                    let (outcome, answer) = compare(&expected, got, None).await;
                    return Ok(match self.round_trip_flaw(&expected, &target, ask, &answer).await {
                        Some(flaw) if matches!(outcome, Outcome::Pass(_)) => {
                            Outcome::Fail(format!("next turn: {flaw}"))
                        }
                        _ => outcome,
                    });
                }
            }
        }
        let got = self.ask(&target, &reverse::minimal(fixture, wire, &target.model)).await;
        Ok(compare(&expected, got, note).await.0)
    }

    async fn ask(&self, target: &Target, ask: &Ask) -> Got {
        if let Some(gateway) = &self.gateway {
            return match gateway.ask(target, ask).await {
                Ok(answer) => Got::Client(Box::new(answer)),
                Err(error) => Got::Error(Error::new(ErrorKind::Network, format!("{error:#}"))),
            };
        }
        let adapter = match Adapter::new(target.config(&self.server.origin), &self.transport) {
            Ok(adapter) => adapter,
            Err(error) => return Got::Error(error),
        };
        match ask {
            Ask::Chat(chat) => match serde_json::from_value::<ChatRequest>(chat.clone()) {
                Ok(request) => match adapter.ask(Call::new(request)).await {
                    Ok(reply) => Got::Reply(Box::new(reply)),
                    Err(error) => Got::Error(error),
                },
                Err(error) => Got::Error(unreadable(&error)),
            },
            Ask::Embed(embed) => match serde_json::from_value::<EmbedRequest>(embed.clone()) {
                Ok(request) => match adapter.embed(EmbedCall::new(request)).await {
                    Ok(reply) => Got::Vectors(Box::new(reply)),
                    Err(error) => Got::Error(error),
                },
                Err(error) => Got::Error(unreadable(&error)),
            },
        }
    }

    /// What the provider wants back with the next turn and does not get.
    async fn round_trip_flaw(
        &self,
        expected: &Expected,
        target: &Target,
        ask: &Ask,
        answer: &Value,
    ) -> Option<String> {
        let Expected::Answer(expected) = expected else { return None };
        let Ask::Chat(chat) = ask else { return None };
        let message = answer.items("choices").first()?.get("message")?;
        if expected.signed.is_empty() {
            return None;
        }
        let mut next = chat.clone();
        let messages = next.get_mut("messages")?.as_array_mut()?;
        messages.push(message.clone());
        let calls = message.items("tool_calls");
        messages.extend(
            calls.iter().map(|call| json!({"role": "tool", "tool_call_id": call["id"], "content": "done"})),
        );
        if calls.is_empty() {
            messages.push(json!({"role": "user", "content": "Go on."}));
        }
        self.server.play(Scripted::json(400, &json!({"error": {"message": "not today"}})));
        let got = self.ask(target, &Ask::Chat(next)).await;
        let received = self.server.received();
        let Some(received) = received.first() else {
            let Got::Error(error) = got else { return Some("nothing was sent".into()) };
            return Some(format!("not sent: {error}: {}", error.message()));
        };
        let body: Value = serde_json::from_slice(&received.body).unwrap_or_default();
        let printed = body.to_string();
        let lost = expected
            .signed
            .iter()
            .find(|text| !printed.contains(Value::from(text.as_str()).to_string().trim_matches('"')))?;
        Some(format!(
            "the signature {:?}… does not come back to the provider",
            lost.chars().take(40).collect::<String>()
        ))
    }

    /// Where the sent request does not mean what the recorded one means.
    fn request_flaw(
        &self,
        fixture: &Fixture,
        wire: Wire,
        target: &Target,
        ask: &Ask,
        received: &Received,
    ) -> Option<String> {
        let recorded = fixture.request.as_ref()?;
        if let Some(flaw) = auth::flaw(target, received) {
            return Some(flaw);
        }
        let body: Value = match serde_json::from_slice(&received.body) {
            Ok(body) => body,
            Err(error) => return Some(format!("the body is no JSON: {error}")),
        };
        let recorded = Sent {
            method: recorded.method.clone(),
            path: recorded.path.clone(),
            body: recorded.body.clone(),
        };
        let sent = Sent { method: received.method.clone(), path: received.path.clone(), body };
        let (expected, mut got) =
            (meaning(wire, &target.kind, &recorded), meaning(wire, &target.kind, &sent));
        // Azure demands a version; a recording without one stands for the adapter's default.
        if is_empty(&expected["query"]) {
            got["query"] = expected["query"].clone();
        }
        if self.verbose {
            println!("      asked {}", neutral_text(ask));
            println!("      sent  {} {}", sent.path, sent.body);
        }
        if let Some(difference) = difference(&expected, &got) {
            return Some(difference.to_string());
        }
        if let Some(flaw) = usage_not_asked_for(wire, &target.kind, &recorded.body, &sent.body) {
            return Some(flaw.into());
        }
        let specs = self.specs.as_ref()?;
        // A request that the provider itself refused need not fit its document.
        if fixture.is_failure() { None } else { specs.flaw(wire, &target.kind, &sent, Some(&recorded.body)) }
    }
}

fn neutral_text(ask: &Ask) -> String {
    match ask {
        Ask::Chat(value) | Ask::Embed(value) => value.to_string(),
    }
}

fn unreadable(error: &serde_json::Error) -> Error {
    let message = format!("the neutral form cannot hold the request: {error}");
    Error::new(ErrorKind::Internal, message)
}

fn not_our_job(api: &str) -> &'static str {
    match api {
        "count_tokens" => "token counting is no adapter's job",
        "cached" => "managing caches is no adapter's job",
        "models" => "listing models is no adapter's job",
        "rerank" => "reranking is no adapter's job",
        "invoke" => "Bedrock's InvokeModel is no adapter's job: the adapter speaks Converse",
        "ollama_generate" => "Ollama's generate is no adapter's job: the adapter speaks its chat",
        _ => "no adapter speaks this interface",
    }
}

/// The adapter saw by itself that the request is wrong, in the same way as the provider did.
fn refused_as_recorded(fixture: &Fixture, error: &Error) -> bool {
    error.kind() == ErrorKind::InvalidRequest && is_invalid_request(fixture)
}

fn is_invalid_request(fixture: &Fixture) -> bool {
    fixture.expected_class.as_deref() == Some("InvalidRequest")
}

/// A stream without its usage is a loss that no later layer can make good.
fn usage_not_asked_for(wire: Wire, kind: &str, recorded: &Value, sent: &Value) -> Option<&'static str> {
    let streamed = wire == Wire::OpenAiChat && sent["stream"] == true;
    // Mistral sends it anyway and refuses the member.
    let wanted = recorded["stream_options"]["include_usage"] == true && kind != "mistral";
    let asked = sent["stream_options"]["include_usage"] == true;
    (streamed && wanted && !asked)
        .then_some("$.body.stream_options.include_usage: the usage is not asked for")
}

/// Whether the right thing came, and the answer in its neutral form where one came.
async fn compare(expected: &Expected, got: Got, note: Option<&'static str>) -> (Outcome, Value) {
    let mut answer = Value::Null;
    let flaw = match (expected, got) {
        (expected, Got::Client(answer)) => gateway::flaw(expected, &answer),
        (Expected::Answer(expected), Got::Reply(reply)) => match reply.collect().await {
            Ok(whole) => {
                answer = serde_json::to_value(&*whole).unwrap_or_default();
                answer_flaw(expected, &answer)
            }
            Err(error) => Some(format!("expected an answer, got {error}: {}", error.message())),
        },
        (Expected::Failure(expected), Got::Reply(reply)) => match reply.collect().await {
            Ok(answer) => Some(format!("expected {}, got an answer: {:?}", expected.kind, answer.text())),
            Err(error) => failure_flaw(expected, &error),
        },
        (Expected::Failure(expected), Got::Error(error)) => failure_flaw(expected, &error),
        (Expected::Vectors { vectors, input }, Got::Vectors(reply)) => vectors_flaw(vectors, *input, &reply),
        (_, Got::Error(error)) => Some(format!("expected an answer, got {error}: {}", error.message())),
        (_, Got::Vectors(_)) => Some("expected something else than vectors".into()),
        (Expected::Vectors { .. }, Got::Reply(_)) => Some("expected vectors, got a chat answer".into()),
    };
    let outcome = match flaw {
        Some(flaw) => Outcome::Fail(format!("answer: {flaw}")),
        None => Outcome::Pass(note),
    };
    (outcome, answer)
}

pub(crate) fn answer_flaw(expected: &expect::Answer, answer: &Value) -> Option<String> {
    let seen = expect::seen(expected, answer);
    match difference(&expected.to_json(), &seen) {
        Some(difference) => Some(difference.to_string()),
        None => expect::flaws(expected, answer),
    }
}

fn failure_flaw(expected: &failure::Failure, error: &Error) -> Option<String> {
    if let Some(difference) = difference(&expected.to_json(), &failure::seen(expected, error)) {
        return Some(format!("{difference} ({error}: {})", error.message()));
    }
    failure::flaws(expected, error.retry_after().map(|wait| wait.as_secs_f64()), error.message())
}

fn vectors_flaw(vectors: &[Vec<f32>], input: Option<u64>, reply: &EmbedReply) -> Option<String> {
    let (expected, got) = (serde_json::json!(vectors), serde_json::json!(reply.vectors));
    if let Some(difference) = difference(&expected, &got) {
        return Some(difference.to_string());
    }
    let used = reply.usage.map(|usage| usage.input);
    (input.is_some() && used != input).then(|| format!("$.usage.input: expected {input:?}, got {used:?}"))
}
