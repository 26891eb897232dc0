//! What is measured: the upstream itself, nginx before it, and the gateway before it.

use crate::Options;
use crate::client::Client;
use crate::machine::Cores;
use crate::process::Process;
use anyhow::{Context, Result, bail, ensure};
use benches::answers::{Shape, check_meaning};
use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

pub(crate) const DIRECT: &str = "direct";
pub(crate) const NGINX: &str = "nginx";
pub(crate) const GATEWAY: &str = "gateway";

pub(crate) struct Targets(pub(crate) Vec<Target>);

pub(crate) struct Target {
    pub(crate) name: &'static str,
    whole: SocketAddr,
    streams: SocketAddr,
    /// `None`: the upstream, which is this process.
    pub(crate) process: Option<Process>,
}

impl Targets {
    /// Starts them all, and lets each answer once before anything is measured.
    pub(crate) async fn start(upstream: SocketAddr, options: &Options, cores: &Cores) -> Result<Self> {
        let direct = Target { name: DIRECT, whole: upstream, streams: upstream, process: None };
        let mut targets = vec![direct];
        targets.extend(Self::start_served(upstream, options, cores).await?);
        targets[0].check().await.context("the upstream")?;
        Ok(Self(targets))
    }

    /// Those that are processes of their own.
    pub(crate) async fn start_served(
        upstream: SocketAddr,
        options: &Options,
        cores: &Cores,
    ) -> Result<Vec<Target>> {
        let mut targets = vec![nginx(&options.nginx, upstream, cores)?];
        if let Some(binary) = &options.gateway {
            targets.push(gateway(binary, upstream, cores)?);
        }
        for target in &mut targets {
            target.wait_until_ready().await.with_context(|| target.name)?;
        }
        Ok(targets)
    }
}

impl Target {
    pub(crate) fn address(&self, shape: Shape) -> SocketAddr {
        if shape.is_stream() { self.streams } else { self.whole }
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(process) = &mut self.process {
                process.ensure_running()?;
            }
            match self.check().await {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    let log = self.process.as_ref().map(Process::log).unwrap_or_default();
                    bail!("not ready after 20 s: {error:#}\n{log}");
                }
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// One whole answer and one stream, looked at closely.
    async fn check(&self) -> Result<()> {
        for shape in [Shape::Json, Shape::Stream] {
            let address = self.address(shape);
            let mut client = Client::connect(address).await?;
            client.exchange(shape, &shape.request(address)).await?;
            check_meaning(shape, client.body())?;
        }
        Ok(())
    }
}

fn nginx(binary: &Path, upstream: SocketAddr, cores: &Cores) -> Result<Target> {
    ensure!(binary.exists(), "{} is missing; as root: apt-get install nginx", binary.display());
    let folder = tempfile::tempdir()?;
    let [whole, streams] = free_addresses()?;
    fs::write(folder.path().join("nginx.conf"), nginx_config(upstream, whole, streams))?;
    let prefix = text(folder.path())?;
    let process =
        Process::start(binary, &["-p", &prefix, "-e", "error.log", "-c", "nginx.conf"], folder, cores)?;
    Ok(Target { name: NGINX, whole, streams, process: Some(process) })
}

/// As lean as nginx goes: one worker, kept-alive upstream connections, no log. Streams are not held back.
fn nginx_config(upstream: SocketAddr, whole: SocketAddr, streams: SocketAddr) -> String {
    let mut folders = String::new();
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        let _ = writeln!(folders, "  {kind}_temp_path temp_{kind};");
    }
    let server = |listen: SocketAddr, buffering: &str| {
        format!(
            "  server {{
    listen {listen} backlog=1024;
    location / {{
      proxy_pass http://upstream;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_buffering {buffering};
    }}
  }}
"
        )
    };
    format!(
        "daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 8192;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  tcp_nodelay on;
  keepalive_requests 1000000000;
{folders}  upstream upstream {{
    server {upstream};
    keepalive 512;
    keepalive_requests 1000000000;
  }}
{}{}}}
",
        server(whole, "on"),
        server(streams, "off")
    )
}

fn gateway(binary: &Path, upstream: SocketAddr, cores: &Cores) -> Result<Target> {
    let folder: TempDir = tempfile::tempdir()?;
    let [address, _] = free_addresses()?;
    fs::write(folder.path().join("mainstay.toml"), gateway_config(upstream, address))?;
    let binary = binary.canonicalize().with_context(|| binary.display().to_string())?;
    let args = ["serve", "--listen", &address.to_string(), "--config", "mainstay.toml"];
    let process = Process::start(&binary, &args, folder, cores)?;
    Ok(Target { name: GATEWAY, whole: address, streams: address, process: Some(process) })
}

fn gateway_config(upstream: SocketAddr, address: SocketAddr) -> String {
    let mut config = format!(
        "[server]\nlisten = \"{address}\"\n\n\
         [providers.up]\nkind = \"openai\"\nbase_url = \"http://{upstream}/v1\"\napi_key = \"sk-bench\"\n"
    );
    for shape in [Shape::Json, Shape::Paced, Shape::Held] {
        let model = shape.model();
        let _ = writeln!(config, "\n[models.{model}]\ndeployments = [{{ model = \"up/{model}-model\" }}]");
    }
    config
}

/// Two ports that were free a moment ago.
fn free_addresses() -> Result<[SocketAddr; 2]> {
    let listeners = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    Ok([listeners[0].local_addr()?, listeners[1].local_addr()?])
}

fn text(path: &Path) -> Result<String> {
    Ok(path.to_str().context("a temporary folder whose path is no text")?.to_owned())
}
