//! A question taken apart into its words.

use super::asks::Asks;
use super::lexicon::{Class, Joint, Known, Lexicon, Note, Tense};
use super::reader::Reader;
use super::stem::stem_key;

/// A question taken apart.
#[derive(Debug, Default)]
pub(crate) struct Question {
    /// All words in small letters, one after the other.
    pub(super) letters: String,
    pub(crate) words: Vec<Word>,
    pub(crate) asks: Asks,
}

/// One word.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word {
    pub(super) start: u32,
    pub(super) end: u32,
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

impl Question {
    pub(crate) fn read(text: &str) -> Self {
        let mut question = Reader::read(text);
        question.join_names();
        question.names();
        question.find_asks();
        question
    }

    pub(crate) fn letters(&self, word: &Word) -> &str {
        self.letters.get(word.start as usize..word.end as usize).unwrap_or_default()
    }

    /// Names of several words that are known by a shorter one are that one.
    fn join_names(&mut self) {
        let mut at = 0;
        while at + 1 < self.words.len() {
            let word = &self.words[at];
            let joined = JOINED.iter().find(|(names, _)| word.is_content() && self.has_at(at, names));
            if let Some((names, short)) = joined {
                let key = stem_key(short);
                let known = Lexicon::get().of(key);
                self.words[at] = Word { key, known, is_name: true, ..self.words[at] };
                self.words.drain(at + 1..at + names.len());
            }
            at += 1;
        }
    }

    fn has_at(&self, at: usize, names: &[&str]) -> bool {
        let words = self.words.get(at..at + names.len());
        words.is_some_and(|words| words.iter().zip(names).all(|(word, name)| self.letters(word) == *name))
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

/// The longer before the shorter.
const JOINED: &[(&[&str], &str)] = &[
    (&["united", "states", "of", "america"], "usa"),
    (&["united", "states"], "usa"),
    (&["great", "britain"], "uk"),
    (&["united", "kingdom"], "uk"),
    (&["united", "nations"], "un"),
    (&["united", "arab", "emirates"], "uae"),
    (&["european", "union"], "eu"),
    (&["second", "world", "war"], "wwii"),
    (&["world", "war", "ii"], "wwii"),
    (&["world", "war", "2"], "wwii"),
    (&["world", "war", "two"], "wwii"),
    (&["first", "world", "war"], "wwi"),
    (&["world", "war", "i"], "wwi"),
    (&["world", "war", "1"], "wwi"),
    (&["world", "war", "one"], "wwi"),
];
