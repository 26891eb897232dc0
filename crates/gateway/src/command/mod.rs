//! The command line.

mod keys;
mod model;
mod rehearse;
#[cfg(test)]
mod tests;
mod usage;

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mainstay::config::BudgetStoreSetting::{Journal, Memory};
use mainstay::{Call, ChatRequest, Client, Error, Events, Message, Severity};

pub(crate) use self::rehearse::whole;
use crate::alerts::Alerts;
use crate::config::GatewayConfig;
use crate::metrics::Tally;
use crate::serve::{self, Guard, Watched};

/// A gateway for large language models that existing OpenAI clients use by changing their base URL.
#[derive(Parser)]
#[command(name = "mainstay", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the OpenAI API (also without a subcommand).
    Serve {
        #[command(flatten)]
        config: ConfigFile,
        /// Address to listen on; overrides the configuration. Default 127.0.0.1:4000.
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: Option<SocketAddr>,
    },
    /// Send one prompt through the stack and print the answer.
    Chat {
        /// The prompt; read from standard input when it is missing or "-".
        prompt: Option<String>,
        /// A logical model, or provider/model.
        #[arg(long, short, default_value = "sim/echo")]
        model: String,
        /// Print the answer as it arrives.
        #[arg(long)]
        stream: bool,
        /// Instructions for the model.
        #[arg(long)]
        system: Option<String>,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Check a configuration and explain each error with its line.
    Check {
        /// The file to check.
        file: PathBuf,
    },
    /// Say which deployments would answer for a model, and why. Nothing is sent.
    Route {
        /// A logical model, or provider/model.
        model: String,
        /// Print every candidate with its score, and why others are left out.
        #[arg(long)]
        explain: bool,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// List the models of the configuration.
    Models {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Find the threshold of the semantic cache that labelled pairs of questions allow (S4.6).
    Calibrate(rehearse::CalibrateArguments),
    /// Say what caches would have done with a stream of labelled questions: hits, wrong hits, what was saved.
    ReplayCache(rehearse::ReplayArguments),
    /// Local embedding models.
    Model {
        #[command(subcommand)]
        command: model::ModelCommand,
    },
    /// Keys of callers: make, list, change, rotate, disable, delete.
    Keys(keys::KeysArguments),
    /// Say who has used how much of which model, and what it cost.
    Usage(usage::UsageArguments),
    /// Print the JSON schema of the configuration, for editors.
    Schema,
}

#[derive(clap::Args)]
struct ConfigFile {
    /// The configuration. Without it: the simulated provider, and each provider whose usual key variable is set.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What a command failed with, for the user.
type Failure = String;

pub(crate) fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let default = || Command::Serve { config: ConfigFile { config: None }, listen: None };
    let result = match arguments.command.unwrap_or_else(default) {
        Command::Serve { config, listen } => serve_command(&config, listen),
        Command::Chat { prompt, model, stream, system, config } => {
            chat_command(&config, prompt.as_deref(), &model, system.as_deref(), stream)
        }
        Command::Check { file } => check_command(&file),
        Command::Route { model, explain, config } => route_command(&config, &model, explain),
        Command::Models { config } => models_command(&config),
        Command::Calibrate(arguments) => rehearse::calibrate_command(&arguments),
        Command::ReplayCache(arguments) => rehearse::replay_command(&arguments),
        Command::Model { command } => model::model_command(&command),
        Command::Keys(arguments) => keys::keys_command(&arguments),
        Command::Usage(arguments) => usage::usage_command(&arguments),
        Command::Schema => schema_command(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Standard error may be closed; there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "error: {failure}");
            ExitCode::FAILURE
        }
    }
}

impl ConfigFile {
    fn is_given(&self) -> bool {
        self.config.is_some()
    }

    fn read(&self) -> Result<GatewayConfig, Failure> {
        match &self.config {
            None => Ok(GatewayConfig::embedded(&env)),
            Some(path) => read_config(path),
        }
    }
}

fn read_config(path: &Path) -> Result<GatewayConfig, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    GatewayConfig::from_toml(&text).map_err(|problems| {
        problems
            .iter()
            .map(|problem| format!("{}: {problem}", path.display()))
            .collect::<Vec<_>>()
            .join("\n       ")
    })
}

/// The environment is read here and nowhere below.
#[allow(clippy::disallowed_methods)]
fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn client(config: &GatewayConfig) -> Result<Client, Failure> {
    client_telling(config, Events::to(log_event))
}

fn client_telling(config: &GatewayConfig, events: Events) -> Result<Client, Failure> {
    Client::builder()
        .config(&config.client, env)
        .map(|builder| builder.events(events))
        .and_then(|builder| builder.build())
        .map_err(|error| error.message().to_owned())
}

/// Where events go: among the metrics, into the log, and to the webhook if there is one.
fn events(alerts: Option<&Alerts>, tally: Tally) -> Events {
    let teller = alerts.map(Alerts::teller);
    Events::to(move |event| {
        tally.count(event.name);
        if let Some(teller) = &teller {
            teller.tell(&event);
        }
        log_event(event);
    })
}

fn log_event(event: mainstay::Event) {
    let attributes: Vec<_> = event.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let attributes = attributes.join(" ");
    match event.severity {
        Severity::Info => tracing::info!(event = event.name, "{attributes}"),
        Severity::Warning => tracing::warn!(event = event.name, "{attributes}"),
        Severity::Alert => tracing::error!(event = event.name, "{attributes}"),
    }
}

fn log_to_stderr() {
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("MAINSTAY_LOG").unwrap_or_else(|_| "info".into());
    let colours = std::io::stderr().is_terminal();
    // A second start within one process (a test) keeps the first.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .try_init();
}

/// One worker on one core needs no work stealing.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut builder = match cores {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.enable_all().build().map_err(|error| format!("the runtime cannot be started: {error}"))
}

fn serve_command(file: &ConfigFile, listen: Option<SocketAddr>) -> Result<(), Failure> {
    log_to_stderr();
    let mut config = file.read()?;
    if let Some(listen) = listen {
        config.server.listen = listen;
    }
    let alerts = alerts(&config)?;
    let watched = Watched {
        events: Tally::default(),
        alerts: alerts.as_ref().map(Alerts::figures),
        token: config.metrics.token(&env)?,
    };
    let events = events(alerts.as_ref(), watched.events.clone());
    let guard = guard(&config)?;
    let client = client_telling(&config, events.clone())?;
    runtime()?.block_on(Alerts::during(alerts, serve::run(config, client, guard, events, watched)))
}

/// The webhook of alerts; none without `[alerts]`.
fn alerts(config: &GatewayConfig) -> Result<Option<Alerts>, Failure> {
    config.alerts.as_ref().map(|alerts| alerts.open(&env)).transpose()
}

/// The keys of callers, opened; none without `[keys]`.
fn guard(config: &GatewayConfig) -> Result<Option<Guard>, Failure> {
    let Some(keys) = &config.keys else { return Ok(None) };
    let token = config.admin.as_ref().map(|admin| admin.token(&env)).transpose()?;
    Ok(Some(Guard { keys: keys.open(&env)?, token }))
}

/// For commands that ask nobody: a gateway may have the files open, and such a command makes none.
fn without_files(config: &mut GatewayConfig) -> Result<(), Failure> {
    if let Some(budget) = config.client.budget.as_mut().filter(|budget| budget.store == Journal) {
        budget.store = Memory;
    }
    let Some(folder) = config.client.semantic_cache.as_mut().and_then(|cache| cache.folder.take()) else {
        return Ok(());
    };
    let folder = folder.resolve("semantic_cache.folder", &env).map_err(|error| error.message().to_owned())?;
    if Path::new(&folder).is_dir() {
        return Ok(());
    }
    Err(format!("semantic_cache.folder: there is no folder {folder}; make it"))
}

fn check_command(file: &Path) -> Result<(), Failure> {
    let mut config = read_config(file)?;
    alerts(&config)?;
    if let Some(keys) = &config.keys {
        keys.check(&env)?;
    }
    if let Some(admin) = &config.admin {
        admin.token(&env)?;
    }
    config.metrics.token(&env)?;
    without_files(&mut config)?;
    client(&config)?;
    print(&format!(
        "{}: in order; {} providers, {} models\n",
        file.display(),
        config.client.providers.len(),
        config.client.models.len()
    ))
}

fn route_command(file: &ConfigFile, model: &str, explain: bool) -> Result<(), Failure> {
    let mut config = file.read()?;
    config.client.budget = None; // nothing is spent
    without_files(&mut config)?;
    let client = client(&config)?;
    let call = Call::ask(model, "");
    let runtime = runtime()?;
    let _clock = runtime.enter();
    let explanation = client.router().explain(&call).map_err(|error| error.message().to_owned())?;
    if explain {
        return print(&format!("{explanation}\n"));
    }
    let order: Vec<_> = explanation.chosen.iter().chain(&explanation.then).map(String::as_str).collect();
    match explanation.refusal {
        Some(refusal) => Err(refusal),
        None => print(&format!("{}\n", order.join("\n"))),
    }
}

fn models_command(file: &ConfigFile) -> Result<(), Failure> {
    let mut config = file.read()?;
    config.client.budget = None; // nothing is spent
    without_files(&mut config)?;
    client(&config)?;
    let mut lines = String::new();
    for (name, model) in &config.client.models {
        let deployments: Vec<_> =
            model.deployments.iter().map(|deployment| deployment.model.as_str()).collect();
        lines.push_str(&format!("{name:<24} {}\n", deployments.join(", ")));
    }
    let providers: Vec<_> = config.client.providers.keys().map(String::as_str).collect();
    lines.push_str(&format!("and provider/model with one of these providers: {}\n", providers.join(", ")));
    print(&lines)
}

fn schema_command() -> Result<(), Failure> {
    let schema = serde_json::to_string_pretty(&GatewayConfig::schema()).map_err(|error| error.to_string())?;
    print(&format!("{schema}\n"))
}

fn chat_command(
    file: &ConfigFile,
    prompt: Option<&str>,
    model: &str,
    system: Option<&str>,
    stream: bool,
) -> Result<(), Failure> {
    let client = client(&file.read()?)?;
    let prompt = match prompt {
        Some(prompt) if prompt != "-" => prompt.to_owned(),
        _ => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|error| format!("standard input: {error}"))?;
            text
        }
    };
    let mut messages: Vec<Message> = system.map(Message::system).into_iter().collect();
    messages.push(Message::user(prompt));
    let call = Call::new(ChatRequest::new(model, messages));
    runtime()?.block_on(async {
        if stream { stream_answer(&client, call).await } else { whole_answer(&client, call).await }
    })
}

async fn whole_answer(client: &Client, call: Call) -> Result<(), Failure> {
    let answer = client.chat(call).await.map_err(explain)?;
    let mut text = answer.text().into_owned();
    for call in answer.choices.iter().flat_map(|choice| &choice.message.tool_calls) {
        if let Some(function) = &call.function {
            text.push_str(&format!("{}({})", function.name, function.arguments));
        }
    }
    print(&format!("{text}\n"))
}

async fn stream_answer(client: &Client, call: Call) -> Result<(), Failure> {
    let mut answer = client.stream(call).await.map_err(explain)?;
    while let Some(chunk) = answer.next().await {
        print(chunk.map_err(explain)?.text())?;
    }
    print("\n")
}

/// The error with the provider's own words: the user of the command line sent the prompt and may see them.
fn explain(error: Error) -> Failure {
    format!("{error}\n       {}", error.message())
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| format!("standard output: {error}"))
}
