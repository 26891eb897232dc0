//! A question taken apart into its words.

use super::lexicon::{Asking, Class, Joint, Known, Lexicon, Note, Tense};
use super::stem::{key, stem_key};

/// A question taken apart.
#[derive(Debug, Default)]
pub(crate) struct Question {
    /// All words in small letters, one after the other.
    letters: String,
    pub(crate) words: Vec<Word>,
    pub(crate) asks: Asks,
}

/// One word.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word {
    start: u32,
    end: u32,
    /// Of its stem; of the word itself where that is a function word; of its value where it is a number.
    pub(crate) key: u64,
    pub(crate) known: Known,
    /// Somebody's or something's name, as far as the letters say.
    pub(crate) is_name: bool,
    /// The word stands right after a comma, a colon or a bracket.
    pub(crate) after_comma: bool,
    /// A sentence begins with it.
    pub(crate) begins: bool,
    pub(crate) note: Note,
    /// Stands directly after another name.
    pub(crate) joins_name: bool,
}

/// What is asked for, a bit for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Asks(pub(crate) u32);

impl Asks {
    pub(crate) const WHAT: u32 = 1;
    pub(crate) const HOW: u32 = 2;
    pub(crate) const WHY: u32 = 4;
    pub(crate) const WHEN: u32 = 8;
    pub(crate) const WHERE: u32 = 16;
    pub(crate) const WHO: u32 = 32;
    pub(crate) const HOW_MANY: u32 = 64;
    pub(crate) const HOW_LONG: u32 = 128;
    pub(crate) const HOW_MUCH: u32 = 256;
    pub(crate) const YES_NO: u32 = 512;
}

impl Question {
    pub(crate) fn read(text: &str) -> Self {
        let mut reader = Reader::new(text);
        reader.read();
        reader.question.names();
        reader.question.find_asks();
        reader.question
    }

    pub(crate) fn letters(&self, word: &Word) -> &str {
        self.letters.get(word.start as usize..word.end as usize).unwrap_or_default()
    }

    /// In a text whose words all begin large, nothing says which are names.
    fn names(&mut self) {
        let said = self.words.iter().filter(|word| word.is_content() && !word.begins).count();
        let names = self.words.iter().filter(|word| word.is_name && !word.begins).count();
        if said >= 4 && names * 10 > said * 8 {
            for word in &mut self.words {
                word.is_name = false;
            }
        }
        let mut before = false;
        for word in &mut self.words {
            word.joins_name = before && word.is_name && !word.after_comma;
            before = word.is_name;
        }
    }

    fn find_asks(&mut self) {
        let mut asks = 0;
        let words = &self.words;
        for (at, word) in words.iter().enumerate() {
            let next = words.get(at + 1);
            match word.known.class {
                Class::Asking(Asking::How) => {
                    let next = next.map(|next| self.letters(next)).unwrap_or_default();
                    asks |= match next {
                        "many" => Asks::HOW_MANY,
                        "much" | "expensive" => Asks::HOW_MUCH,
                        "long" | "soon" | "quickly" | "fast" | "often" => Asks::HOW_LONG,
                        "old" | "tall" | "far" | "big" | "high" | "deep" | "large" | "strong" | "hot"
                        | "cold" | "hard" | "heavy" => Asks::HOW_MANY,
                        "come" => Asks::WHY,
                        _ => Asks::HOW,
                    };
                }
                Class::Asking(Asking::What) => {
                    asks |= self.what(at);
                }
                Class::Asking(Asking::Why) => asks |= Asks::WHY,
                Class::Asking(Asking::When) if word.begins || at <= 1 => asks |= Asks::WHEN,
                Class::Asking(Asking::Where) if word.begins || at <= 1 => asks |= Asks::WHERE,
                Class::Asking(Asking::Who) if word.begins || at <= 1 => asks |= Asks::WHO,
                Class::Verb(_) if word.begins => asks |= Asks::YES_NO,
                _ => {}
            }
        }
        self.asks = Asks(asks);
    }

    /// `what` asks for many things: the words after it say for which.
    fn what(&self, at: usize) -> u32 {
        for word in self.words.iter().skip(at + 1).take(6) {
            match self.letters(word) {
                "way" | "ways" | "tips" | "tip" | "steps" | "step" | "method" | "methods" | "process"
                | "procedure" => {
                    return Asks::HOW;
                }
                "reason" | "reasons" | "cause" | "causes" | "caused" => return Asks::WHY,
                "time" | "date" | "year" | "day" => return Asks::WHEN,
                "place" | "places" | "city" | "country" | "site" | "website" | "websites" | "sites" => {
                    return Asks::WHERE | Asks::WHAT;
                }
                "cost" | "price" | "fee" | "fees" | "salary" => return Asks::HOW_MUCH | Asks::WHAT,
                "number" | "amount" | "population" => return Asks::HOW_MANY | Asks::WHAT,
                "person" | "people" => return Asks::WHO | Asks::WHAT,
                _ => {}
            }
        }
        Asks::WHAT
    }
}

impl Word {
    /// Whether it says what the question is about.
    pub(crate) fn is_content(&self) -> bool {
        matches!(self.known.class, Class::Content | Class::Number)
    }

    pub(crate) fn is_article(&self) -> bool {
        self.note == Note::Article
    }

    pub(crate) fn is_number(&self) -> bool {
        self.known.class == Class::Number
    }

    pub(crate) fn is(&self, class: Class) -> bool {
        self.known.class == class
    }

    pub(crate) fn joint(&self) -> Option<Joint> {
        match self.known.class {
            Class::Joint(joint) => Some(joint),
            _ => None,
        }
    }

    pub(crate) fn tense(&self) -> Option<Tense> {
        match self.known.class {
            Class::Verb(tense) => Some(tense),
            _ => None,
        }
    }
}

struct Reader<'a> {
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

    fn read(&mut self) {
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

/// How a word is written.
struct Shape {
    is_large: bool,
    has_inner_large: bool,
    has_digit: bool,
    /// It has an apostrophe, or ends as words do that were written without theirs.
    may_be_contracted: bool,
}

impl Shape {
    /// Writes the word in small letters, with straight apostrophes and without the points of `U.S.`.
    fn of(word: &str, small: &mut String) -> Self {
        let mut shape =
            Self { is_large: false, has_inner_large: false, has_digit: false, may_be_contracted: false };
        for (at, letter) in word.chars().enumerate() {
            if letter.is_ascii_lowercase() {
                small.push(letter);
            } else if letter.is_ascii_digit() {
                shape.has_digit = true;
                small.push(letter);
            } else if letter.is_uppercase() {
                *(if at == 0 { &mut shape.is_large } else { &mut shape.has_inner_large }) = true;
                small.extend(letter.to_lowercase().map(plain));
            } else if matches!(letter, '\'' | '’' | '‘' | '`') {
                shape.may_be_contracted = true;
                small.push('\'');
            } else {
                small.push(plain(letter));
            }
        }
        if !shape.has_digit && small.contains('.') {
            small.retain(|letter| letter != '.');
        }
        shape.may_be_contracted |= matches!(
            small.as_bytes(),
            [b'i', b'm']
                | [b'i', b'v', b'e']
                | [.., b'n', b't']
                | [b'h' | b'w', .., b's']
                | [b'c', .., b'o', b't']
        );
        shape
    }
}

/// The letter without its accent.
fn plain(letter: char) -> char {
    match letter {
        'à'..='å' | 'ā' | 'ă' | 'ą' => 'a',
        'ç' | 'ć' | 'č' => 'c',
        'è'..='ë' | 'ē' | 'ę' | 'ě' => 'e',
        'ì'..='ï' | 'ī' => 'i',
        'ñ' | 'ń' | 'ň' => 'n',
        'ò'..='ö' | 'ø' | 'ō' => 'o',
        'ù'..='ü' | 'ū' | 'ů' => 'u',
        'ý' | 'ÿ' => 'y',
        'ś' | 'š' => 's',
        'ź' | 'ż' | 'ž' => 'z',
        'ł' => 'l',
        letter => letter,
    }
}

/// How long the word is that `text` begins with.
fn word_length(text: &str) -> usize {
    let mut letters = text.char_indices().peekable();
    let mut before = ' ';
    while let Some((at, letter)) = letters.next() {
        if letter.is_alphanumeric() {
            before = letter;
            continue;
        }
        let next = letters.peek().map_or(' ', |(_, next)| *next);
        let inside = match letter {
            '\'' | '’' | '`' => before.is_alphabetic() && next.is_alphabetic(),
            '.' => {
                (before.is_ascii_digit() && next.is_ascii_digit())
                    // U.S. and e.g., but not the end of a sentence without a space.
                    || (before.is_alphabetic() && next.is_alphabetic() && is_abbreviation(&text[..at], &text[at..]))
            }
            ',' => before.is_ascii_digit() && next.is_ascii_digit(),
            _ => false,
        };
        if !inside {
            return at;
        }
        before = letter;
    }
    text.len()
}

/// Whether the point stands between single letters.
fn is_abbreviation(before: &str, after: &str) -> bool {
    let single_before = before.rsplit('.').next().is_some_and(|part| part.chars().count() == 1);
    let mut after = after.chars().skip(2);
    single_before && !after.next().is_some_and(char::is_alphanumeric)
}

/// `C++`, `C#`, `A+`: symbols that belong to the word.
fn symbols_after(word: &str, after: &str) -> usize {
    let short = word.len() <= 2 && word.bytes().all(|byte| byte.is_ascii_alphabetic());
    if !short {
        return 0;
    }
    let symbols = after.bytes().take_while(|byte| matches!(byte, b'+' | b'#')).count();
    let ends = !after[symbols..].chars().next().is_some_and(char::is_alphanumeric);
    if ends { symbols } else { 0 }
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
