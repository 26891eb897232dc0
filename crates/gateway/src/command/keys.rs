//! `mainstay keys …`: by whoever may read the configuration and its store.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use mainstay::config::Span;
use mainstay::virtual_keys::{
    Access, Actor, Clock, KeyId, KeyLimit, KeyManager, KeySecret, KeySettings, LimitPeriod, LimitUnit,
    ManageError, Pattern, Role,
};
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;

use super::{ConfigFile, Failure, env, print, runtime, whole};
use crate::keys::view::{KeyInput, KeyView, Time};

#[derive(Args)]
pub(super) struct KeysArguments {
    #[command(subcommand)]
    command: KeysCommand,
    /// The configuration that says where the keys are.
    #[arg(long, short, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum KeysCommand {
    /// Make a key, and print its secret: it is shown this once.
    Create {
        /// What people call it.
        name: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// List the keys.
    List,
    /// Show a key.
    Show {
        /// Its id, or its name if no other has the same.
        key: String,
    },
    /// Change a key; what is not named stays as it is.
    Update {
        /// Its id, or its name if no other has the same.
        key: String,
        /// What people call it from now on.
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Give a key a new secret, and print it: it is shown this once.
    Rotate {
        /// Its id, or its name if no other has the same.
        key: String,
        /// How long the old secret goes on: "24h", "0s". Default: keys.grace of the configuration.
        #[arg(long, value_name = "SPAN", value_parser = span)]
        grace: Option<Duration>,
    },
    /// Refuse a key, and all that it has made, from now on.
    Disable {
        /// Its id, or its name if no other has the same.
        key: String,
    },
    /// Take a disabled key again.
    Enable {
        /// Its id, or its name if no other has the same.
        key: String,
    },
    /// Forget a key.
    Delete {
        /// Its id, or its name if no other has the same.
        key: String,
    },
}

#[derive(Args)]
struct Settings {
    /// What it may manage: member (nothing), manager (the keys it makes), admin (everything).
    #[arg(long, value_parser = role)]
    role: Option<Role>,
    /// A model that it may ask for, or a beginning with `*`; may be given several times. `*` is every model.
    #[arg(long, value_name = "MODEL")]
    model: Vec<Pattern>,
    /// Calls a minute.
    #[arg(long, value_name = "CALLS")]
    rpm: Option<u64>,
    /// Tokens a minute.
    #[arg(long, value_name = "TOKENS")]
    tpm: Option<u64>,
    /// Calls at the same time.
    #[arg(long, value_name = "CALLS")]
    concurrent: Option<u64>,
    /// A limit: "12.50 usd/month", "100000 tokens/day"; may be given several times.
    #[arg(long, value_name = "LIMIT")]
    limit: Vec<KeyLimit>,
    /// No limits but those that are named beside this.
    #[arg(long)]
    no_limits: bool,
    /// Who pays besides the key: "org:acme"; may be given several times.
    #[arg(long, value_name = "KIND:ID")]
    subject: Vec<String>,
    /// Subjects that its calls may add: "user:*"; may be given several times.
    #[arg(long, value_name = "PATTERN")]
    caller_subject: Vec<Pattern>,
    /// Whose data its calls are. Default: its own, which no other key shares.
    #[arg(long)]
    namespace: Option<String>,
    /// Namespaces that its calls may name; may be given several times.
    #[arg(long, value_name = "PATTERN")]
    caller_namespace: Vec<Pattern>,
    /// When it ends: a span from now ("30d"), a time ("2027-01-31T12:00:00Z"), or "never".
    #[arg(long, value_name = "WHEN", value_parser = end)]
    expires: Option<End>,
    /// Something to know of it, "owner=search"; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
}

/// When a key ends; `None` is never.
#[derive(Clone, Copy)]
struct End(Option<Time>);

pub(super) fn keys_command(arguments: &KeysArguments) -> Result<(), Failure> {
    let config = ConfigFile { config: arguments.config.clone() }.read()?;
    let keys = config
        .keys
        .ok_or("there are no keys without [keys]; name a configuration that has it with --config")?;
    let opened = keys.open(&env)?;
    let done = Done { json: arguments.json };
    let work = run(&arguments.command, opened.manager(), opened.grace, done);
    runtime()?.block_on(work)
}

async fn run(command: &KeysCommand, manager: KeyManager, grace: Duration, done: Done) -> Result<(), Failure> {
    const ME: Actor = Actor::Operator;
    let find = async |key: &str| find(&manager, key).await;
    match command {
        KeysCommand::List => done.list(&manager.list(&ME).await.map_err(told)?),
        KeysCommand::Create { name, settings } => {
            let mut new = KeySettings::named(name);
            settings.input(&new, None).apply(&mut new);
            let (key, secret) = manager.create(&ME, new).await.map_err(told)?;
            done.key(&manager, &key.id, Some(&secret)).await
        }
        KeysCommand::Show { key } => done.key(&manager, &find(key).await?, None).await,
        KeysCommand::Update { key, name, settings } => {
            let id = find(key).await?;
            let change = |old: &mut KeySettings| settings.input(old, name.clone()).apply(old);
            manager.update(&ME, &id, change).await.map_err(told)?;
            done.key(&manager, &id, None).await
        }
        KeysCommand::Rotate { key, grace: given } => {
            let id = find(key).await?;
            let (_, secret) = manager.rotate(&ME, &id, given.unwrap_or(grace)).await.map_err(told)?;
            done.key(&manager, &id, Some(&secret)).await
        }
        KeysCommand::Disable { key } => {
            let id = find(key).await?;
            manager.disable(&ME, &id).await.map_err(told)?;
            done.key(&manager, &id, None).await
        }
        KeysCommand::Enable { key } => {
            let id = find(key).await?;
            manager.enable(&ME, &id).await.map_err(told)?;
            done.key(&manager, &id, None).await
        }
        KeysCommand::Delete { key } => {
            let id = find(key).await?;
            manager.delete(&ME, &id).await.map_err(told)?;
            print(&format!("{id} is deleted\n"))
        }
    }
}

/// The key of this id, or of this name if it is the only one.
async fn find(manager: &KeyManager, key: &str) -> Result<KeyId, Failure> {
    let keys = manager.list(&Actor::Operator).await.map_err(told)?;
    if let Some(found) = keys.iter().find(|found| found.id().as_str() == key) {
        return Ok(found.id().clone());
    }
    let named: Vec<_> = keys.iter().filter(|found| found.key().settings.name == key).collect();
    match named[..] {
        [found] => Ok(found.id().clone()),
        [] => Err(format!("there is no key {key:?}; `mainstay keys list` lists those that there are")),
        _ => Err(format!("{} keys have the name {key:?}; name one by its id", named.len())),
    }
}

impl Settings {
    /// What is named here, over what there was.
    fn input(&self, old: &KeySettings, name: Option<String>) -> KeyInput {
        fn named<T: Clone>(texts: &[T]) -> Option<Vec<T>> {
            (!texts.is_empty()).then(|| texts.to_vec())
        }
        let every = |models: &Vec<Pattern>| models.contains(&Pattern::any());
        let mut metadata = old.metadata.clone();
        metadata.extend(self.metadata.iter().cloned());
        KeyInput {
            name,
            role: self.role,
            models: named(&self.model).map(|models| (!every(&models)).then_some(models)),
            limits: Some(self.limits(&old.grants.limits)),
            subjects: named(&self.subject),
            caller_subjects: named(&self.caller_subject),
            namespace: self.namespace.clone().map(Some),
            caller_namespaces: named(&self.caller_namespace),
            expires_at: self.expires.map(|end| end.0),
            metadata: Some(metadata),
        }
    }

    /// Each new limit in the place of the old one of its kind.
    fn limits(&self, old: &[KeyLimit]) -> Vec<KeyLimit> {
        let numbers = [
            self.rpm.map(|amount| KeyLimit::new(LimitUnit::Requests, amount, LimitPeriod::Minute)),
            self.tpm.map(|amount| KeyLimit::new(LimitUnit::Tokens, amount, LimitPeriod::Minute)),
            self.concurrent.map(KeyLimit::concurrent),
        ];
        let mut limits = if self.no_limits { Vec::new() } else { old.to_vec() };
        for new in numbers.into_iter().flatten().chain(self.limit.iter().copied()) {
            limits.retain(|limit| !limit.is_of_the_kind_of(&new));
            limits.push(new);
        }
        limits
    }
}

/// How what was done is told.
struct Done {
    json: bool,
}

impl Done {
    async fn key(self, manager: &KeyManager, id: &KeyId, secret: Option<&KeySecret>) -> Result<(), Failure> {
        let key = manager.get(&Actor::Operator, id).await.map_err(told)?;
        let mut shown = serde_json::to_value(view(&key)).map_err(|error| error.to_string())?;
        if self.json {
            if let Some(secret) = secret {
                shown["secret"] = secret.expose().into();
            }
            return print(&format!("{shown:#}\n"));
        }
        let mut text = String::new();
        for (name, value) in shown.as_object().into_iter().flatten().filter(|(name, _)| *name != "object") {
            let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            if !matches!(value.as_str(), "null" | "[]" | "{}") {
                let _ = writeln!(text, "{name:<18} {value}"); // writing to a String cannot fail
            }
        }
        if let Some(secret) = secret {
            let _ = writeln!(text, "\n{}\n\nThis is its secret. It is shown this once.", secret.expose());
        }
        print(&text)
    }

    fn list(self, keys: &[std::sync::Arc<Access>]) -> Result<(), Failure> {
        let views: Vec<_> = keys.iter().map(|key| view(key)).collect();
        if self.json {
            let json = serde_json::to_string_pretty(&views).map_err(|error| error.to_string())?;
            return print(&format!("{json}\n"));
        }
        let mut text = format!(
            "{:<16}  {:<6}  {:<8}  {:<7}  {:<20}  limits\n",
            "id", "secret", "status", "role", "name"
        );
        for key in views {
            let limits: Vec<_> = key.limits.iter().map(ToString::to_string).collect();
            let (id, hint, name) = (&key.id, &key.hint, &key.name);
            let (status, role, limits) = (key.status, key.role, limits.join(", "));
            // writing to a String cannot fail
            let _ = writeln!(text, "{id:<16}  …{hint:<5}  {status:<8}  {role:<7}  {name:<20}  {limits}");
        }
        print(&text)
    }
}

fn view(key: &Access) -> KeyView {
    KeyView::of(key, Clock::default().now_ms())
}

/// The whole chain: the operator may know the store's address.
fn told(error: ManageError) -> Failure {
    whole(&error)
}

fn role(text: &str) -> Result<Role, String> {
    Role::deserialize(text.into_deserializer())
        .map_err(|_: serde::de::value::Error| "member, manager or admin".to_owned())
}

fn span(text: &str) -> Result<Duration, String> {
    let span = Span::deserialize(text.into_deserializer());
    span.map(Span::duration).map_err(|error: serde::de::value::Error| error.to_string())
}

fn end(text: &str) -> Result<End, String> {
    if text == "never" {
        return Ok(End(None));
    }
    if let Ok(span) = span(text) {
        let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        return Ok(End(Some(Time(Clock::default().now_ms().saturating_add(span)))));
    }
    text.parse().map(|time| End(Some(time))).map_err(|error: String| format!("{error}, 30d or never"))
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
