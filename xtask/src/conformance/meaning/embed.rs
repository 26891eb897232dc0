//! Embeddings in every dialect.

use serde_json::{Value, json};

use crate::conformance::dialect::Wire;
use crate::conformance::json::{Look as _, Object, drop_default, drop_nulls, object, rename};

pub(super) fn meaning(wire: Wire, body: &Value) -> Value {
    let mut body = body.clone();
    drop_nulls(&mut body, &[]);
    let mut request = object(&body);
    match wire {
        Wire::GeminiEmbed => gemini(&mut request),
        Wire::CohereEmbed => {
            drop_default(&mut request, "embedding_types", |types| *types == json!(["float"]))
        }
        _ => {
            // How the vectors are written is between the adapter and the provider.
            request.remove("encoding_format");
            if let Some(input) = request.get("input").filter(|input| input.is_string()).cloned() {
                request.insert("input".into(), json!([input]));
            }
        }
    }
    Value::Object(request)
}

/// One `embedContent` is the same as a batch of one; the model stands in the address too.
fn gemini(request: &mut Object) {
    let requests = match request.remove("requests") {
        Some(Value::Array(list)) => list,
        _ => vec![Value::Object(std::mem::take(request))],
    };
    let one = |one: &Value| {
        let mut one = object(one);
        one.remove("model");
        let content = one.remove("content").unwrap_or_default();
        let text: String = content.items("parts").iter().map(|part| part.text("text")).collect();
        one.insert("text".into(), text.into());
        let mut renamed = Object::new();
        rename(&mut one, "output_dimensionality", &mut renamed, "outputDimensionality");
        one.extend(renamed);
        Value::Object(one)
    };
    let requests: Value = requests.iter().map(one).collect();
    request.insert("requests".into(), requests);
}
