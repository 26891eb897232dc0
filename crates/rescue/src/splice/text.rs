//! The text of a new answer held against the text that the caller has.

use super::Differs;

/// How far the text of a new answer has been accounted for.
#[derive(Debug)]
pub(crate) enum Text {
    /// It must begin with all that was sent; so much of it has.
    Again(usize),
    /// It goes on from the prefill, which is so long, or it repeats the prefill first, as some providers do: what has come
    /// could be either.
    Either {
        /// The length of the prefill.
        prefill: usize,
        /// What has come.
        held: String,
    },
    /// It goes on from so much of what was sent; the rest is white space, which may come again.
    White {
        /// How much is accounted for.
        at: usize,
        /// Whether the prefill was repeated.
        repeated: bool,
    },
    /// It is all new.
    New {
        /// Whether what was sent was repeated.
        repeated: bool,
    },
}

/// From this length on, a text that is all repetition is no answer of its own.
const CLEARLY_REPEATED: usize = 16;

impl Text {
    /// The text of an answer to the same call.
    pub(crate) fn restarted(sent: &str) -> Self {
        if sent.is_empty() { Self::New { repeated: true } } else { Self::Again(0) }
    }

    /// The text of an answer that goes on from a prefill of this length.
    pub(crate) fn resumed(prefill: usize) -> Self {
        Self::Either { prefill, held: String::new() }
    }

    pub(crate) fn is_new(&self) -> bool {
        matches!(self, Self::New { .. })
    }

    /// Whether it began with what was sent.
    pub(crate) fn was_repeated(&self) -> bool {
        matches!(self, Self::New { repeated: true } | Self::White { repeated: true, .. })
    }

    /// The part of the next piece that is new to the caller.
    pub(crate) fn push(&mut self, sent: &str, piece: String) -> Result<String, Differs> {
        match self {
            Self::New { .. } => Ok(piece),
            Self::Again(at) => {
                let rest = &sent[*at..];
                if let Some(new) = piece.strip_prefix(rest) {
                    let new = new.to_owned();
                    *self = Self::New { repeated: true };
                    return Ok(new);
                }
                if !rest.starts_with(&piece) {
                    return Err(Differs("the new answer begins differently"));
                }
                *at += piece.len();
                Ok(String::new())
            }
            Self::Either { prefill, held } => {
                held.push_str(&piece);
                let prefill = *prefill;
                if let Some(new) = held.strip_prefix(&sent[..prefill]) {
                    let new = new.to_owned();
                    *self = Self::White { at: prefill, repeated: true };
                    return Ok(self.skip_white(sent, new));
                }
                if sent[..prefill].starts_with(&**held) {
                    return Ok(String::new());
                }
                Ok(self.go_on(sent))
            }
            Self::White { .. } => Ok(self.skip_white(sent, piece)),
        }
    }

    /// What is left for the caller when the new answer is at its end, or `cut_off` before it.
    pub(crate) fn finish(&mut self, sent: &str, cut_off: bool) -> Result<String, Differs> {
        let rest = match self {
            Self::Again(at) if !sent[*at..].trim_end().is_empty() => {
                return Err(Differs("the new answer is shorter than what was sent"));
            }
            // However short: that it would have ended there by itself is not known.
            Self::Either { held, .. } if cut_off && !held.is_empty() || held.len() >= CLEARLY_REPEATED => {
                return Err(Differs("the new answer is shorter than what was sent"));
            }
            Self::Either { .. } => self.go_on(sent),
            _ => String::new(),
        };
        let repeated = matches!(self, Self::Again(_)) || self.was_repeated();
        *self = Self::New { repeated };
        Ok(rest)
    }

    /// What has come goes on from the prefill.
    fn go_on(&mut self, sent: &str) -> String {
        let Self::Either { prefill, held } = self else { return String::new() };
        let (at, held) = (*prefill, std::mem::take(held));
        *self = Self::White { at, repeated: false };
        self.skip_white(sent, held)
    }

    /// Skips the white space that the caller has, as far as it comes again.
    fn skip_white(&mut self, sent: &str, mut piece: String) -> String {
        let Self::White { at, repeated } = self else { return piece };
        let white = &sent[*at..];
        let same: usize = white
            .chars()
            .zip(piece.chars())
            .take_while(|(old, new)| old == new)
            .map(|(old, _)| old.len_utf8())
            .sum();
        *at += same;
        let differs = same < piece.len();
        if *at == sent.len() || differs {
            *self = Self::New { repeated: *repeated };
        }
        piece.drain(..same);
        piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the caller has in the end, when `new` comes in pieces of this many characters.
    fn spliced(mut text: Text, sent: &str, new: &str, size: usize) -> Result<String, Differs> {
        let characters: Vec<char> = new.chars().collect();
        let mut whole = sent.to_owned();
        for piece in characters.chunks(size) {
            whole.push_str(&text.push(sent, piece.iter().collect())?);
        }
        whole.push_str(&text.finish(sent, false)?);
        assert!(text.is_new());
        Ok(whole)
    }

    fn restarted(sent: &str, new: &str) -> Result<String, Differs> {
        let each = [1, 2, 3, 100].map(|size| spliced(Text::restarted(sent), sent, new, size));
        assert!(each.iter().all(|one| *one == each[0]), "{each:?}");
        each[0].clone()
    }

    fn resumed(sent: &str, new: &str) -> Result<String, Differs> {
        let prefill = sent.trim_end().len();
        let each = [1, 2, 3, 100].map(|size| spliced(Text::resumed(prefill), sent, new, size));
        assert!(each.iter().all(|one| *one == each[0]), "{each:?}");
        each[0].clone()
    }

    #[test]
    fn an_answer_that_begins_with_what_was_sent_goes_on_after_it() {
        assert_eq!(restarted("Hé", "Héllo").unwrap(), "Héllo");
        assert_eq!(restarted("Hello", "Hello").unwrap(), "Hello");
        assert_eq!(restarted("", "Hello").unwrap(), "Hello");
        assert_eq!(restarted("Hello \n", "Hello").unwrap(), "Hello \n", "white space at the end is nothing");
    }

    #[test]
    fn an_answer_that_begins_otherwise_is_told_apart() {
        for (sent, new) in
            [("Hello", "Hallo"), ("Hello", "Hell"), ("Hello", "hello you"), ("a b", "a"), ("é", "e")]
        {
            assert!(restarted(sent, new).is_err(), "{sent:?} {new:?}");
        }
    }

    #[test]
    fn a_continuation_is_put_behind_what_was_sent() {
        assert_eq!(resumed("The cat", " sat.").unwrap(), "The cat sat.");
        assert_eq!(resumed("The cat", "s sat.").unwrap(), "The cats sat.");
        assert_eq!(resumed("ab", "abc").unwrap(), "abc", "it is taken for a repetition");
        assert_eq!(resumed("The cat", "The").unwrap(), "The catThe", "too short to be a repetition");
    }

    #[test]
    fn white_space_at_the_seam_comes_once() {
        assert_eq!(resumed("The cat ", " sat.").unwrap(), "The cat sat.");
        assert_eq!(resumed("The cat ", "sat.").unwrap(), "The cat sat.");
        assert_eq!(resumed("a\n\n", "\n\nb").unwrap(), "a\n\nb");
        assert_eq!(resumed("a\n", "\n\n  b").unwrap(), "a\n\n  b");
        assert_eq!(resumed("a\n\n", "\nb").unwrap(), "a\n\nb");
        assert_eq!(resumed("a\n", "\n").unwrap(), "a\n");
        assert_eq!(resumed("a\n\n", "b\n\nc").unwrap(), "a\n\nb\n\nc", "only at the seam");
        assert_eq!(resumed("a\n\n", "\nb\nc").unwrap(), "a\n\nb\nc");
    }

    #[test]
    fn a_repeated_prefill_comes_once() {
        assert_eq!(resumed("The cat", "The cat sat.").unwrap(), "The cat sat.");
        assert_eq!(resumed("The cat ", "The cat sat.").unwrap(), "The cat sat.");
        assert_eq!(resumed("The cat ", "The catsat.").unwrap(), "The cat sat.");
        assert_eq!(resumed("The cat", "The car").unwrap(), "The catThe car", "that is no repetition");
        assert!(resumed("The cat sat on the mat", "The cat sat on the").is_err());
        let mut cut_off = Text::resumed(7);
        assert_eq!(cut_off.push("The cat", "The".into()).unwrap(), "");
        assert!(cut_off.finish("The cat", true).is_err());
    }
}
