//! The gateway as a process of its own, with a configuration for one scenario.

use super::plan::Who;
use super::scale::Scale;
use anyhow::{Context, Result, bail};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

const READY_WITHIN: Duration = Duration::from_secs(20);

/// The logical model that the client asks for.
pub(crate) const MODEL: &str = "main";

/// From the issue: two retries, 30 s for a request; the rest are defaults, written down so that they can be scaled.
/// All times in seconds of the full profile.
pub(crate) mod settings {
    pub(crate) const RETRIES: usize = 2;
    pub(crate) const TIMEOUT: f64 = 30.0;
    pub(crate) const FIRST_TOKEN_TIMEOUT: f64 = 10.0;
    pub(crate) const IDLE_TIMEOUT: f64 = 20.0;
    pub(crate) const ALLOWED_FAILS: usize = 3;
    pub(crate) const COOLDOWN: f64 = 60.0;
    pub(crate) const RETRY_BASE: f64 = 1.0;
}

/// A running gateway; it ends when this is dropped.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    process: Child,
    folder: TempDir,
}

impl Gateway {
    pub(crate) async fn start(binary: &Path, config: &str) -> Result<Self> {
        let folder = tempfile::tempdir().context("a folder for the gateway")?;
        let file = folder.path().join("gateway.toml");
        std::fs::write(&file, config)?;
        let mut process = Command::new(binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&file)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.path().join("log"))?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} did not start", binary.display()))?;
        let stdout = process.stdout.take().context("the gateway has an output")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(READY_WITHIN, lines.next_line()).await;
        let line = line.context("the gateway says nothing")??.unwrap_or_default();
        // Whoever does not read lets a process wait that prints.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let Some(address) = address_in(&line) else {
            let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            bail!("the gateway does not serve: {line}{}", log.trim());
        };
        Ok(Self { address, process, folder })
    }

    /// An error when it has ended or does not answer.
    pub(crate) async fn check_health(&mut self) -> Result<(), String> {
        if let Ok(Some(status)) = self.process.try_wait() {
            return Err(format!("the gateway ended with {status}"));
        }
        let health = tokio::time::timeout(Duration::from_secs(2), is_live(self.address)).await;
        match health {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err("the gateway says that it is not live".to_owned()),
            Ok(Err(error)) => Err(format!("the gateway does not answer: {error}")),
            Err(_) => Err("the gateway does not answer within 2 s".to_owned()),
        }
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let rest = line.split("http://").nth(1)?;
    rest.split(|letter: char| letter == '/' || letter.is_whitespace()).next()?.parse().ok()
}

async fn is_live(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}

/// The configuration: a primary and one fallback model, two retries, 30 s for a request.
pub(crate) fn config(primary: SocketAddr, fallback: (&str, SocketAddr), scale: Scale) -> String {
    let (kind, fallback) = fallback;
    use settings::*;
    let span = |full: f64| format!("\"{}ms\"", scale.seconds(full).as_millis());
    let [timeout, first_token, idle, cooldown, retry_base] =
        [TIMEOUT, FIRST_TOKEN_TIMEOUT, IDLE_TIMEOUT, COOLDOWN, RETRY_BASE].map(span);
    let (first, second) = (Who::Primary.model(), Who::Fallback.model());
    format!(
        r#"[router]
num_retries = {RETRIES}
timeout = {timeout}
first_token_timeout = {first_token}
idle_timeout = {idle}
allowed_fails = {ALLOWED_FAILS}
cooldown_time = {cooldown}
retry_base = {retry_base}

[models.{MODEL}]
fallbacks = ["backup"]
deployments = [{{ model = "primary/{first}" }}]

[models.backup]
deployments = [{{ model = "secondary/{second}" }}]

[providers.primary]
kind = "openai"
base_url = "http://{primary}/v1"
api_key = "test"

[providers.secondary]
kind = "{kind}"
base_url = "http://{fallback}/v1"
api_key = "test"
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_toml_with_all_times_scaled() {
        let address: SocketAddr = "127.0.0.1:9".parse().unwrap();
        let config: toml::Table = config(address, ("openai", address), Scale(10.0)).parse().unwrap();
        let router = config["router"].as_table().unwrap();
        let texts: Vec<&str> = router.values().filter_map(toml::Value::as_str).collect();
        assert_eq!(router["timeout"].as_str(), Some("3000ms"));
        assert_eq!(router["num_retries"].as_integer(), Some(2));
        assert_eq!(texts.len(), 5);
        assert_eq!(config["models"]["main"]["fallbacks"][0].as_str(), Some("backup"));
    }

    #[test]
    fn the_address_is_read_from_what_the_gateway_prints() {
        let address: SocketAddr = "127.0.0.1:41".parse().unwrap();
        assert_eq!(address_in("listening on http://127.0.0.1:41"), Some(address));
        assert_eq!(address_in("mainstay serves http://127.0.0.1:41/v1 now"), Some(address));
        assert_eq!(address_in("no such file"), None);
    }
}
