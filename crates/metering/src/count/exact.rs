//! Text counted with the model's own encoding.

use std::ops::Range;

use mainstay_provider_core::ChatRequest;
use tiktoken::CoreBpe;

use super::family::{Encoding, Family};
use super::{ESTIMATED, Error, Estimate, TokenCount, TokenCounter, request, text};

/// Counts the text of OpenAI's models with their own encodings (`o200k_base`, `cl100k_base`), and everything else as
/// [`Estimate`] does.
///
/// A text that stands for itself is counted exactly, unless some hundred letters in it stand without any space or
/// sign between them: those are counted in pieces, so that nobody can hold a thread with a text that is built for it. A request is not: what OpenAI writes around messages, tools and
/// schemas is not published, so 2 % and 8 tokens are stated as its error, and more for images that nobody has seen.
#[derive(Debug, Clone, Copy)]
pub struct Exact(());

const FRAMED: Error = Error { permille: 20, tokens: 8 };

impl Exact {
    /// Reads both vocabularies, if nobody has yet: some 100 ms, once in a process.
    pub fn new() -> Self {
        for encoding in [Encoding::O200k, Encoding::Cl100k] {
            vocabulary(encoding);
        }
        Self(())
    }
}

impl Default for Exact {
    fn default() -> Self {
        Self::new()
    }
}

impl TokenCounter for Exact {
    fn count(&self, provider: &str, model: &str, request: &ChatRequest) -> TokenCount {
        let Some(encoding) = encoding(model) else { return Estimate.count(provider, model, request) };
        let error =
            if request.tools.is_empty() && request.response_format.is_none() { FRAMED } else { ESTIMATED };
        request::count(request, Family::of(model), |text| counted(encoding, text).at_most() * 1_000, error)
    }

    fn count_text(&self, provider: &str, model: &str, text: &str) -> TokenCount {
        match encoding(model) {
            Some(encoding) => counted(encoding, text),
            None => Estimate.count_text(provider, model, text),
        }
    }
}

fn encoding(model: &str) -> Option<&'static CoreBpe> {
    Encoding::of(model).and_then(vocabulary)
}

fn vocabulary(encoding: Encoding) -> Option<&'static CoreBpe> {
    tiktoken::get_encoding(match encoding {
        Encoding::O200k => "o200k_base",
        Encoding::Cl100k => "cl100k_base",
    })
}

/// Pieces of more letters without a border within are cut: what an encoding does with one grows faster than its length,
/// and no word of any language is as long.
const LONGEST_PIECE: usize = 256;

/// After so many cuts the rest of such pieces is estimated: it is no text that anybody wrote.
const MOST_CUTS: u64 = 400;

/// The tokens of a text. Each cut may add some.
fn counted(encoding: &CoreBpe, text: &str) -> TokenCount {
    let (mut tokens, mut slack, mut cuts, mut rest) = (0, 0, 0, text);
    while let Some(piece) = first_long_piece(rest) {
        tokens += encoding.count(&rest[..piece.start]) as u64;
        let long = &rest[piece.clone()];
        if cuts < MOST_CUTS {
            tokens += encoding.count(long) as u64;
        } else {
            let weighed = text::weigh(long);
            // No vocabulary has much longer tokens than these for what repeats.
            let estimated = (weighed.latin + weighed.other).div_ceil(1_000).max(long.len() as u64 / 16);
            tokens += estimated;
            slack += estimated;
        }
        (slack, cuts) = (slack + 2, cuts + 1);
        rest = &rest[piece.end..];
    }
    tokens += encoding.count(rest) as u64;
    TokenCount::about(tokens, slack)
}

/// The first piece that is too long, up to where it is cut.
fn first_long_piece(text: &str) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let (mut begun, mut letters, mut before, mut at) = (0, 0, Class::Border, 0);
    while let Some(&byte) = bytes.get(at) {
        let (class, length) = class(bytes, at, byte);
        if class == Class::Border || class != before {
            (begun, letters) = (at, 0);
        } else if letters == LONGEST_PIECE {
            return Some(begun..at);
        }
        (letters, before, at) = (letters + 1, class, at + length);
    }
    None
}

/// What stays together in one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Letters,
    Spaces,
    Signs,
    Border,
}

/// The class of the letter at a place, and its length.
fn class(bytes: &[u8], at: usize, first: u8) -> (Class, usize) {
    match first {
        b'a'..=b'z' | b'A'..=b'Z' => (Class::Letters, 1),
        // Cut by threes.
        b'0'..=b'9' => (Class::Border, 1),
        b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c => (Class::Spaces, 1),
        0..=0x7f => (Class::Signs, 1),
        0x80..=0xdf => (Class::Letters, 2),
        0xe0..=0xef => {
            // The punctuation of East Asia: U+3000 to U+303F, U+FF00 and on.
            let second = bytes.get(at + 1).copied().unwrap_or(0);
            let is_sign = (first == 0xe3 && second == 0x80) || (first == 0xef && second == 0xbc);
            (if is_sign { Class::Signs } else { Class::Letters }, 3)
        }
        0xf0.. => (Class::Letters, 4),
    }
}
