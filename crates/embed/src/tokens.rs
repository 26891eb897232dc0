//! From text to the model's tokens.

use std::borrow::Cow;

use mainstay_provider_core::BoxError;
use tokenizers::{Tokenizer, TruncationParams};

use crate::error::OpenError;
use crate::folder::ModelFolder;

pub(crate) struct Tokens {
    tokenizer: Tokenizer,
    prefix: String,
    lower_case: bool,
    /// The most bytes of a text that are looked at.
    most_bytes: usize,
}

impl Tokens {
    /// `bytes` is the tokenizer's file.
    pub(crate) fn read(folder: &ModelFolder, bytes: &[u8], prefix: String) -> Result<Self, OpenError> {
        let wrong = |error: BoxError| folder.tokenizer_is_wrong(error.to_string());
        let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(wrong)?;
        let highest = tokenizer.get_vocab(true).into_values().max().unwrap_or(0);
        if highest as usize >= folder.config.vocab_size {
            let what = format!("has a token {highest}; the model knows {}", folder.config.vocab_size);
            return Err(folder.tokenizer_is_wrong(what));
        }
        // A text is as long as it is. The file of all-MiniLM-L6-v2 fills each up to 128 tokens, which costs four times
        // the time of a short one, and cuts at 128 where the model's window is 256.
        tokenizer.with_padding(None);
        let own = tokenizer.encode_fast("", true).map_err(wrong)?.len();
        if own == 0 || folder.window <= own {
            let what = format!("puts {own} tokens around a text, and the window is {}", folder.window);
            return Err(folder.tokenizer_is_wrong(what));
        }
        let truncation = TruncationParams { max_length: folder.window, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(wrong)?;
        let most_bytes = folder.window * BYTES_PER_TOKEN;
        Ok(Self { tokenizer, prefix, lower_case: folder.lower_case, most_bytes })
    }

    pub(crate) fn of(&self, text: &str) -> Result<Vec<u32>, BoxError> {
        let mut text = Cow::Borrowed(head(text, self.most_bytes));
        if !self.prefix.is_empty() {
            text = Cow::Owned(format!("{}{text}", self.prefix));
        }
        if self.lower_case {
            text = Cow::Owned(text.to_lowercase());
        }
        Ok(self.tokenizer.encode_fast(text.as_ref(), true)?.get_ids().to_vec())
    }
}

/// A megabyte of text is read to its end by the tokenizer, and 256 tokens of it are used. No text is so sparse that its
/// first 256 tokens need more than this.
const BYTES_PER_TOKEN: usize = 256;

fn head(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::head;

    #[test]
    fn a_cut_falls_between_characters() {
        assert_eq!(head("größe", 3), "gr");
        assert_eq!(head("größe", 4), "grö");
        assert_eq!(head("größe", 100), "größe");
    }
}
