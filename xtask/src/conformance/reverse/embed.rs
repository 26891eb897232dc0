//! Embeddings in every dialect.

use serde_json::{Value, json};

use crate::conformance::dialect::Wire;
use crate::conformance::json::{Look as _, Object, drop_nulls, object, rename};

pub(super) fn embed(wire: Wire, body: &Value, path: &str) -> Value {
    let mut body = body.clone();
    drop_nulls(&mut body, &[]);
    let mut rest = object(&body);
    let mut neutral = Object::new();
    match wire {
        Wire::CohereEmbed => {
            rename(&mut rest, "texts", &mut neutral, "input");
            rename(&mut rest, "output_dimension", &mut neutral, "dimensions");
            // Floats are what the neutral form asks for anyway.
            if rest.get("embedding_types") == Some(&json!(["float"])) {
                rest.remove("embedding_types");
            }
        }
        Wire::GeminiEmbed => {
            neutral.insert("model".into(), gemini_model(path).into());
            let single = rest.remove("content").map(|content| vec![json!({"content": content})]);
            let requests =
                single.or_else(|| rest.remove("requests").and_then(|list| list.as_array().cloned()));
            let texts =
                requests.unwrap_or_default().iter().map(|request| text_of(&request["content"])).collect();
            neutral.insert("input".into(), texts);
            rename(&mut rest, "outputDimensionality", &mut neutral, "dimensions");
            rest.remove("model");
        }
        _ => {}
    }
    neutral.extend(rest);
    Value::Object(neutral)
}

fn text_of(content: &Value) -> Value {
    content.items("parts").iter().map(|part| part.text("text")).collect::<String>().into()
}

fn gemini_model(path: &str) -> &str {
    path.rsplit("/models/").next().and_then(|rest| rest.split(':').next()).unwrap_or_default()
}
