//! What is printed at the start.

use std::io::Write as _;
use std::net::SocketAddr;

use crate::beside::Beside;
use crate::config::GatewayConfig;
use crate::models;

/// Says where the gateway is and how to try it.
pub(crate) fn greet(address: SocketAddr, beside: &[Beside], config: &GatewayConfig) {
    let beside: String = beside.iter().map(Beside::greeting).collect();
    let to_try = to_try(address, config);
    let greeting =
        format!("Mainstay serves the OpenAI API on http://{address}/v1\n{beside}\nTry it:\n{to_try}\n");
    // Standard output may be closed; the server runs all the same.
    let _ = std::io::stdout().write_all(greeting.as_bytes());
    if !address.ip().is_loopback() && config.keys.is_none() {
        tracing::warn!(%address, "without [keys] whoever reaches this address can use your providers");
    }
}

/// A call that is answered. Where no model has a name here, only its provider knows which ones there are.
fn to_try(address: SocketAddr, config: &GatewayConfig) -> String {
    let key = if config.keys.is_some() { " -H 'authorization: Bearer YOUR_KEY'" } else { "" };
    if let Some(model) = models::listed(&config.client).first() {
        return chat(address, key, &model.id);
    }
    let providers: Vec<_> = config.client.providers.keys().map(String::as_str).collect();
    let providers = if providers.is_empty() { "none".to_owned() } else { providers.join(", ") };
    format!(
        "  curl http://{address}/v1/models{key}\nModels are named provider/model; providers: {providers}\n"
    )
}

fn chat(address: SocketAddr, key: &str, model: &str) -> String {
    // As JSON has it, and with what ends a text of the shell taken out of it.
    let model = serde_json::Value::from(model).to_string().replace('\'', "'\\''");
    format!(
        "  curl http://{address}/v1/chat/completions{key} -H 'content-type: application/json' \\\n    \
         -d '{{\"model\": {model}, \"messages\": [{{\"role\": \"user\", \"content\": \"Hello\"}}]}}'\n"
    )
}
