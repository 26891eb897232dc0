//! Citations as annotations.

use serde_json::{Value, json};

/// The annotations of one citation. `offset` is where its text begins within the message's text, in characters.
///
/// A citation names a passage and several sources. Sources with an address become `url_citation`s; where one
/// has none, the citation itself is kept.
pub(super) fn annotations(citation: &Value, offset: u64) -> Vec<Value> {
    let sources = citation["sources"].as_array().map_or(&[][..], Vec::as_slice);
    // Passages of the plan or of the thoughts are not in the text that an index could point into.
    let of_text = citation.get("type").is_none_or(|kind| kind == "TEXT_CONTENT");
    let mut annotations = Vec::new();
    let mut others = sources.is_empty() || !of_text;
    for source in sources.iter().filter(|_| of_text) {
        let document = [&source["document"], &source["tool_output"]].into_iter().find(|it| it.is_object());
        let Some(url) = document.and_then(|document| document["url"].as_str()) else {
            others = true;
            continue;
        };
        let title = document.and_then(|document| document["title"].as_str()).unwrap_or(url);
        let position = |name: &str| offset.saturating_add(citation[name].as_u64().unwrap_or(0));
        let url_citation = json!({
            "url": url,
            "title": title,
            "start_index": position("start"),
            "end_index": position("end"),
        });
        // By its id the caller finds the document or the result that it sent.
        let source = json!({ "type": source["type"], "id": source["id"] });
        annotations.push(json!({ "type": "url_citation", "url_citation": url_citation, "source": source }));
    }
    if others {
        annotations.push(json!({ "type": "citation", "citation": citation }));
    }
    annotations
}
