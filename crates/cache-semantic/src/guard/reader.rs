//! Reading a text word by word: names, numbers with their units, contractions, symbols.

use super::asks::Asks;
use super::lexicon::{Class, Known, Lexicon, Note};
use super::question::{Question, Word};
use super::shape::{Shape, symbols_after, word_length};
use super::stem::{key, stem_key};

/// Reads a text.
pub(super) struct Reader<'a> {
    text: &'a str,
    question: Question,
    lexicon: &'static Lexicon,
    begins: bool,
    comma: bool,
    /// The whole text is in capitals.
    shouts: bool,
    /// The word that is being read, in small letters.
    small: String,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        let question = Question {
            letters: String::with_capacity(text.len() + 16),
            words: Vec::with_capacity(text.len() / 5 + 4),
            asks: Asks::default(),
        };
        Self {
            text,
            question,
            lexicon: Lexicon::get(),
            begins: true,
            comma: false,
            shouts: !text.bytes().any(|byte| byte.is_ascii_lowercase()),
            small: String::new(),
        }
    }

    /// The words of a text; which of them are names, and what is asked for, is not known yet.
    pub(super) fn read(text: &'a str) -> Question {
        let mut reader = Self::new(text);
        reader.words();
        reader.question
    }

    fn words(&mut self) {
        let mut rest = self.text;
        while let Some(first) = rest.chars().next() {
            if first.is_alphanumeric() {
                let length = word_length(rest);
                let (word, after) = rest.split_at(length);
                let symbols = symbols_after(word, after);
                let (word, after) = rest.split_at(length + symbols);
                self.word(word);
                rest = after;
                continue;
            }
            rest = &rest[first.len_utf8()..];
            match first {
                '.' | '?' | '!' | '\n' => self.begins = true,
                ',' | ';' | ':' | '(' | ')' | '[' | ']' => self.comma = true,
                '&' | '+' => self.push("and", false),
                '/' => self.comma = true,
                '%' => self.push("percent", false),
                '$' => self.push("dollar", false),
                '€' => self.push("euro", false),
                '£' => self.push("pound", false),
                '₹' => self.push("rupee", false),
                '<' => self.push("less", false),
                '>' => self.push("more", false),
                '=' => self.push("equals", false),
                _ => {}
            }
        }
    }

    fn word(&mut self, word: &str) {
        let mut small = std::mem::take(&mut self.small);
        let shape = Shape::of(word, &mut small);
        self.word_of(word, &small, &shape);
        small.clear();
        self.small = small;
    }

    fn word_of(&mut self, word: &str, small: &str, shape: &Shape) {
        if shape.has_digit {
            self.number(small, shape.is_large || shape.has_inner_large);
            return;
        }
        if !self.shouts && small == "us" && word != "us" {
            // The country, not the pronoun.
            self.push("usa", true);
            return;
        }
        if !self.shouts && matches!(word, "IT" | "WHO") {
            // Computers and the health organisation, not the pronouns.
            self.add(small, !key(small), Known::UNKNOWN, Note::None, true);
            return;
        }
        // The first word of a sentence is written large whatever it is.
        let is_name = (shape.is_large && !self.begins) || shape.has_inner_large;
        if shape.may_be_contracted
            && let Ok(at) = CONTRACTIONS.binary_search_by_key(&small, |(form, _)| form)
        {
            for part in CONTRACTIONS[at].1.split(' ') {
                self.push(part, false);
            }
            return;
        }
        let Some((stem, tail)) = small.split_once('\'') else { return self.push(small, is_name) };
        let second = match tail {
            "re" => "are",
            "ve" => "have",
            "ll" => "will",
            "d" => "would",
            "m" => "am",
            "s" if IS_AFTER.contains(&stem) => "is",
            "t" => "not",
            _ => "",
        };
        // `don't` is `do` and `n't`.
        let stem = if tail == "t" { stem.strip_suffix('n').unwrap_or(stem) } else { stem };
        self.push(stem, is_name);
        self.push(second, false);
    }

    /// `3pm`, `10kg`, `29th`, `2k`: the number, and what it counts.
    fn number(&mut self, word: &str, large: bool) {
        let end = word
            .find(|letter: char| !(letter.is_ascii_digit() || matches!(letter, '.' | ',')))
            .unwrap_or(word.len());
        let (digits, unit) = word.split_at(end);
        if digits.is_empty() {
            self.push_as(word, key(word), Class::Number, large);
            return;
        }
        let mut value: f64 = digits.replace(',', "").trim_end_matches('.').parse().unwrap_or(f64::NAN);
        let mut left = unit;
        match unit {
            "st" | "nd" | "rd" | "th" | "s" => left = "",
            "k" => (value, left) = (value * 1e3, ""),
            "m" | "mn" => (value, left) = (value * 1e6, ""),
            "b" | "bn" => (value, left) = (value * 1e9, ""),
            _ => {}
        }
        if left.is_empty() {
            if value.is_nan() {
                self.push_as(word, key(word), Class::Number, false);
            } else {
                self.push_as(word, number_key(value), Class::Number, false);
            }
        } else if left.len() <= 4
            && left.bytes().all(|byte| byte.is_ascii_lowercase())
            && UNITS.contains(&left)
        {
            self.push_as(digits, number_key(value), Class::Number, false);
            self.push(left, false);
        } else {
            self.push_as(word, key(word), Class::Number, large);
        }
    }

    fn push(&mut self, word: &str, is_name: bool) {
        if word.is_empty() {
            return;
        }
        let plain = key(word);
        let note = self.lexicon.note(plain);
        let known = self.lexicon.of(plain);
        if known.class != Class::Content {
            self.add(word, plain, known, note, false);
            return;
        }
        if let Some(value) = self.lexicon.number(plain) {
            self.push_as(word, number_key(value), Class::Number, false);
            return;
        }
        let stem = stem_key(word);
        let mut known = self.lexicon.of(stem);
        if !matches!(known.class, Class::Content | Class::Weak) {
            known.class = Class::Content;
        }
        self.add(word, stem, known, note, is_name && known.class == Class::Content);
    }

    fn push_as(&mut self, word: &str, key: u64, class: Class, is_name: bool) {
        let known = Known { class, ..self.lexicon.of(key) };
        self.add(word, key, known, Note::None, is_name);
    }

    fn add(&mut self, word: &str, key: u64, known: Known, note: Note, is_name: bool) {
        let start = self.question.letters.len();
        self.question.letters.push_str(word);
        let end = self.question.letters.len();
        // Questions are far shorter than 4 GB: longer ones are not compared.
        #[allow(clippy::cast_possible_truncation)]
        self.question.words.push(Word {
            start: start as u32,
            end: end as u32,
            key,
            known,
            note,
            is_name,
            after_comma: std::mem::take(&mut self.comma),
            begins: std::mem::take(&mut self.begins),
            joins_name: false,
        });
    }
}

fn number_key(value: f64) -> u64 {
    0x6e75_6d62_6572_0000 ^ value.to_bits()
}

const UNITS: &[&str] = &[
    "am", "cc", "cm", "d", "ft", "g", "gb", "ghz", "h", "hr", "hrs", "in", "inr", "kb", "kg", "km", "kmph",
    "l", "lb", "lbs", "mb", "mg", "mhz", "min", "mins", "ml", "mm", "mo", "mph", "ms", "pm", "rs", "sec",
    "tb", "v", "w", "wk", "wks", "yo", "yr", "yrs",
];

/// After these `'s` is `is`; after others it says whose.
const IS_AFTER: &[&str] = &[
    "what", "who", "where", "when", "how", "why", "that", "it", "he", "she", "there", "here", "this", "which",
];

/// Sorted.
const CONTRACTIONS: &[(&str, &str)] = &[
    ("aint", "is not"),
    ("ain't", "is not"),
    ("arent", "are not"),
    ("can't", "can not"),
    ("cannot", "can not"),
    ("cant", "can not"),
    ("couldnt", "could not"),
    ("didnt", "did not"),
    ("doesnt", "does not"),
    ("dont", "do not"),
    ("hadnt", "had not"),
    ("hasnt", "has not"),
    ("havent", "have not"),
    ("hows", "how is"),
    ("im", "i am"),
    ("isnt", "is not"),
    ("ive", "i have"),
    ("let's", "let us"),
    ("shan't", "shall not"),
    ("shouldnt", "should not"),
    ("wasnt", "was not"),
    ("werent", "were not"),
    ("whats", "what is"),
    ("whos", "who is"),
    ("whys", "why is"),
    ("won't", "will not"),
    ("wont", "will not"),
    ("wouldnt", "would not"),
];
