//! From grounding and recitation metadata to annotations.

use serde_json::{Value, json};

/// What is cited in one candidate. In a stream the metadata comes in parts whose numbers run on over all events.
#[derive(Default)]
pub(super) struct Citations {
    /// The visible text so far: Google counts bytes in it, annotations count characters.
    text: String,
    chunks: Vec<Source>,
    emitted: Vec<Value>,
}

struct Source {
    chunk: Value,
    cited: bool,
}

impl Citations {
    /// Adds to the text that citations point into.
    pub(super) fn text(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// The annotations that new grounding metadata makes.
    pub(super) fn grounding(&mut self, metadata: &Value) -> Vec<Value> {
        self.add_chunks(list(metadata, "groundingChunks"));
        let mut annotations = Vec::new();
        for support in list(metadata, "groundingSupports") {
            let segment = &support["segment"];
            let span = self.span(segment);
            for index in list(support, "groundingChunkIndices") {
                let index = index.as_u64().and_then(|index| usize::try_from(index).ok());
                let Some(source) = index.and_then(|index| self.chunks.get_mut(index)) else { continue };
                source.cited = true;
                let annotation = annotation(&source.chunk, Some((segment, span)));
                self.emit(annotation, &mut annotations);
            }
        }
        annotations
    }

    /// At the end: annotations for the sources that no passage was given for.
    pub(super) fn uncited(&mut self) -> Vec<Value> {
        let rest: Vec<_> = self
            .chunks
            .iter()
            .filter(|source| !source.cited)
            .map(|source| annotation(&source.chunk, None))
            .collect();
        let mut annotations = Vec::new();
        rest.into_iter().for_each(|annotation| self.emit(annotation, &mut annotations));
        annotations
    }

    /// The annotations of passages that repeat known texts. Vertex names the list otherwise than Gemini.
    pub(super) fn recitation(&mut self, metadata: &Value) -> Vec<Value> {
        let mut annotations = Vec::new();
        for source in list(metadata, "citationSources").iter().chain(list(metadata, "citations")) {
            let (start, end) = self.span(source);
            let annotation = match source["uri"].as_str() {
                Some(url) => url_citation(url, &source["title"], Some((start, end))),
                None => json!({ "type": "citation", "citation": source }),
            };
            self.emit(annotation, &mut annotations);
        }
        annotations
    }

    /// Some services repeat in each event what they sent before, others send only what is new.
    fn add_chunks(&mut self, chunks: &[Value]) {
        let known = self.chunks.len();
        let repeated = known > 0
            && chunks.len() >= known
            && self.chunks.iter().zip(chunks).all(|(source, chunk)| source.chunk == *chunk);
        let new = if repeated { &chunks[known..] } else { chunks };
        self.chunks.extend(new.iter().map(|chunk| Source { chunk: chunk.clone(), cited: false }));
    }

    fn emit(&mut self, annotation: Value, annotations: &mut Vec<Value>) {
        if !self.emitted.contains(&annotation) {
            self.emitted.push(annotation.clone());
            annotations.push(annotation);
        }
    }

    /// Where a segment lies in the text, in characters. Google's numbers are bytes within one part; where
    /// they do not lead to the segment's own words, the words are looked for.
    fn span(&self, segment: &Value) -> (u64, u64) {
        let (start, end) = (offset(&segment["startIndex"]), offset(&segment["endIndex"]));
        let words = segment["text"].as_str().unwrap_or_default();
        let found = match self.text.get(start..end) {
            Some(there) if words.is_empty() || there == words => Some(start),
            _ if words.is_empty() => None,
            _ => self.text.find(words),
        };
        let Some(at) = found else { return (start as u64, end as u64) };
        let length = if words.is_empty() { end - start } else { words.len() };
        let characters = |text: Option<&str>| text.map_or(0, |text| text.chars().count()) as u64;
        let before = characters(self.text.get(..at));
        (before, before + characters(self.text.get(at..at + length)))
    }
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn offset(value: &Value) -> usize {
    value.as_u64().and_then(|offset| usize::try_from(offset).ok()).unwrap_or(0)
}

fn annotation(chunk: &Value, cited: Option<(&Value, (u64, u64))>) -> Value {
    let (web, maps, image, context) =
        (&chunk["web"], &chunk["maps"], &chunk["image"], &chunk["retrievedContext"]);
    let address = [(web, "uri"), (maps, "uri"), (image, "sourceUri"), (context, "uri")];
    let url = address.iter().find_map(|(source, name)| Some((source[*name].as_str()?, &source["title"])));
    match (url, cited) {
        (Some((url, title)), _) => url_citation(url, title, cited.map(|(_, span)| span)),
        (None, Some((segment, _))) => {
            json!({ "type": "citation", "citation": { "groundingChunk": chunk, "segment": segment } })
        }
        (None, None) => json!({ "type": "citation", "citation": { "groundingChunk": chunk } }),
    }
}

fn url_citation(url: &str, title: &Value, span: Option<(u64, u64)>) -> Value {
    let mut citation = json!({ "url": url, "title": title.as_str().unwrap_or(url) });
    if let Some((start, end)) = span {
        citation["start_index"] = start.into();
        citation["end_index"] = end.into();
    }
    json!({ "type": "url_citation", "url_citation": citation })
}
