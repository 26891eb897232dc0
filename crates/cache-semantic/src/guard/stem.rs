//! Words to stems, so that `cities` meets `city` and `stopped` meets `stop`.
//!
//! A stem need not be a word, only the same for all forms of one: it is never shown.

/// The key of a text.
pub(crate) fn key(text: &str) -> u64 {
    // FNV-1a: the words are short, and nobody but the asker is harmed by two that collide.
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The key of the stem of a word in small letters.
pub(crate) fn stem_key(word: &str) -> u64 {
    let word = IRREGULAR.binary_search_by_key(&word, |(form, _)| form).map_or(word, |at| IRREGULAR[at].1);
    let fits = (3..=LONGEST).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_lowercase())
        && UNCHANGED.binary_search(&word).is_err();
    if !fits {
        return key(word);
    }
    let mut stem = Stem { letters: [0; LONGEST], length: word.len() };
    stem.letters[..word.len()].copy_from_slice(word.as_bytes());
    stem.shorten();
    key(stem.as_str())
}

const LONGEST: usize = 32;

struct Stem {
    letters: [u8; LONGEST],
    length: usize,
}

impl Stem {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.letters[..self.length]).unwrap_or_default()
    }

    fn ends(&self, suffix: &str) -> bool {
        self.letters[..self.length].ends_with(suffix.as_bytes())
    }

    /// Puts `new` in the place of `suffix`, if at least `rest` letters stay before it.
    fn replace(&mut self, suffix: &str, new: &str, rest: usize) -> bool {
        if !self.ends(suffix) || self.length < suffix.len() + rest {
            return false;
        }
        let start = self.length - suffix.len();
        self.letters[start..start + new.len()].copy_from_slice(new.as_bytes());
        self.length = start + new.len();
        true
    }

    fn has_vowel(&self, length: usize) -> bool {
        self.letters[..length].iter().any(|letter| matches!(letter, b'a' | b'e' | b'i' | b'o' | b'u' | b'y'))
    }

    fn undouble(&mut self) {
        if let [.., a, b] = self.letters[..self.length]
            && a == b
            && matches!(b, b'b' | b'd' | b'g' | b'm' | b'n' | b'p' | b'r' | b't')
            && self.length > 3
        {
            self.length -= 1;
        }
    }

    fn shorten(&mut self) {
        self.plural();
        self.verb();
        self.compare();
        let _ = self.length >= 6 && self.replace("ly", "", 4);
        self.spell();
        if self.ends("e") && self.length >= 4 {
            self.length -= 1;
        }
        if self.ends("y") && self.length >= 3 {
            self.letters[self.length - 1] = b'i';
        }
    }

    fn plural(&mut self) {
        let done = self.replace("sses", "ss", 1)
            || self.replace("ies", "y", 2)
            || self.replace("ches", "ch", 2)
            || self.replace("shes", "sh", 2)
            || self.replace("xes", "x", 2)
            || self.replace("oes", "o", 2);
        if !done && !self.ends("ss") && !self.ends("us") && !self.ends("is") {
            self.replace("s", "", 3);
        }
    }

    fn verb(&mut self) {
        if self.ends("ing") && self.length >= 6 && self.has_vowel(self.length - 3) {
            self.length -= 3;
            self.undouble();
        } else if self.replace("ied", "y", 2) {
        } else if self.ends("ed") && !self.ends("eed") && self.length >= 5 && self.has_vowel(self.length - 2)
        {
            self.length -= 2;
            self.undouble();
        }
    }

    /// `cheaper` and `cheapest` to `cheap`; only of well-known adjectives, since `number` and `interest` end so too.
    fn compare(&mut self) {
        for suffix in ["est", "er"] {
            if !self.ends(suffix) || self.length < suffix.len() + 3 {
                continue;
            }
            let before = (self.letters, self.length);
            self.length -= suffix.len();
            if self.letters[self.length - 1] == b'i' {
                self.letters[self.length - 1] = b'y';
            }
            let is_known = |stem: &Self| ADJECTIVES.binary_search(&stem.as_str()).is_ok();
            if is_known(self) {
                return;
            }
            self.undouble();
            if is_known(self) {
                return;
            }
            self.letters[self.length] = b'e';
            self.length += 1;
            if is_known(self) {
                return;
            }
            (self.letters, self.length) = before;
        }
    }

    /// British spellings to American ones.
    fn spell(&mut self) {
        let _ = self.replace("isation", "ization", 3)
            || self.replace("ise", "ize", 4)
            || self.replace("is", "iz", 5)
            || self.replace("yse", "yze", 3)
            || self.replace("avour", "avor", 1)
            || self.replace("olour", "olor", 1)
            || self.replace("abour", "abor", 1)
            || self.replace("umour", "umor", 1)
            || self.replace("viour", "vior", 1)
            || self.replace("ghbour", "ghbor", 1)
            || self.replace("ogramme", "ogram", 1)
            || self.replace("tre", "ter", 2)
            || self.replace("ll", "l", 4);
    }
}

/// Words that only look like a form of another; sorted.
const UNCHANGED: &[&str] = &[
    "bring",
    "building",
    "chaos",
    "during",
    "evening",
    "hundred",
    "lens",
    "morning",
    "naked",
    "news",
    "nothing",
    "sacred",
    "series",
    "something",
    "species",
    "spring",
    "string",
    "texas",
    "wedding",
];

/// Sorted.
const ADJECTIVES: &[&str] = &[
    "bad", "big", "bold", "brave", "bright", "broad", "busy", "calm", "cheap", "clean", "clear", "close",
    "cold", "cool", "crazy", "cute", "dark", "deep", "dirty", "dry", "dumb", "early", "easy", "fair", "fast",
    "few", "fine", "fit", "flat", "friendly", "funny", "great", "happy", "hard", "healthy", "heavy", "high",
    "hot", "kind", "large", "late", "lazy", "light", "long", "loud", "lovely", "low", "lucky", "mean",
    "narrow", "near", "new", "nice", "noisy", "odd", "old", "plain", "poor", "pretty", "proud", "pure",
    "quick", "quiet", "rare", "rich", "rude", "sad", "safe", "scary", "sexy", "sharp", "short", "sick",
    "silly", "simple", "slim", "slow", "small", "smart", "smooth", "soft", "soon", "steep", "strange",
    "strict", "strong", "sweet", "tall", "thick", "thin", "tight", "tiny", "tough", "ugly", "warm", "weak",
    "wealthy", "weird", "wet", "wide", "wild", "wise", "young",
];

/// Sorted by the form.
const IRREGULAR: &[(&str, &str)] = &[
    ("ate", "eat"),
    ("became", "become"),
    ("began", "begin"),
    ("begun", "begin"),
    ("bit", "bite"),
    ("bitten", "bite"),
    ("bought", "buy"),
    ("broke", "break"),
    ("broken", "break"),
    ("brought", "bring"),
    ("built", "build"),
    ("came", "come"),
    ("caught", "catch"),
    ("children", "child"),
    ("chose", "choose"),
    ("chosen", "choose"),
    ("criteria", "criterion"),
    ("died", "die"),
    ("drank", "drink"),
    ("drawn", "draw"),
    ("drew", "draw"),
    ("driven", "drive"),
    ("drove", "drive"),
    ("dying", "die"),
    ("eaten", "eat"),
    ("favourite", "favorite"),
    ("favourites", "favorite"),
    ("fed", "feed"),
    ("feet", "foot"),
    ("fell", "fall"),
    ("felt", "feel"),
    ("flew", "fly"),
    ("flown", "fly"),
    ("forgot", "forget"),
    ("forgotten", "forget"),
    ("fought", "fight"),
    ("found", "find"),
    ("froze", "freeze"),
    ("frozen", "freeze"),
    ("gave", "give"),
    ("given", "give"),
    ("grew", "grow"),
    ("grown", "grow"),
    ("heard", "hear"),
    ("held", "hold"),
    ("hid", "hide"),
    ("hidden", "hide"),
    ("kept", "keep"),
    ("knew", "know"),
    ("known", "know"),
    ("laid", "lay"),
    ("learnt", "learn"),
    ("led", "lead"),
    ("lent", "lend"),
    ("lives", "life"),
    ("lost", "lose"),
    ("lying", "lie"),
    ("meant", "mean"),
    ("men", "man"),
    ("met", "meet"),
    ("mice", "mouse"),
    ("paid", "pay"),
    ("proven", "prove"),
    ("ran", "run"),
    ("rode", "ride"),
    ("rose", "rise"),
    ("said", "say"),
    ("sang", "sing"),
    ("sat", "sit"),
    ("saw", "see"),
    ("seen", "see"),
    ("sent", "send"),
    ("shown", "show"),
    ("slept", "sleep"),
    ("sold", "sell"),
    ("spent", "spend"),
    ("spoke", "speak"),
    ("spoken", "speak"),
    ("stolen", "steal"),
    ("stood", "stand"),
    ("swam", "swim"),
    ("taken", "take"),
    ("taught", "teach"),
    ("teeth", "tooth"),
    ("thought", "think"),
    ("threw", "throw"),
    ("thrown", "throw"),
    ("told", "tell"),
    ("took", "take"),
    ("understood", "understand"),
    ("wars", "war"),
    ("went", "go"),
    ("wives", "wife"),
    ("woke", "wake"),
    ("women", "woman"),
    ("won", "win"),
    ("wore", "wear"),
    ("worn", "wear"),
    ("written", "write"),
    ("wrote", "write"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_a_word_have_one_stem() {
        for forms in [
            "city cities",
            "stop stops stopped stopping",
            "movie movies",
            "make makes making",
            "big bigger biggest",
            "easy easier easiest easily",
            "organise organize organised organizing",
            "write writes writing wrote written",
            "program programme programs",
            "travel travelling traveled travelled",
            "family families",
            "day days",
            "box boxes",
            "centre center",
            "favourite favorite",
        ] {
            let mut stems = forms.split_whitespace().map(stem_key);
            let first = stems.next();
            assert!(stems.all(|stem| Some(stem) == first), "{forms}");
        }
    }

    #[test]
    fn other_words_keep_their_own() {
        for words in ["app apply", "interest inter", "number numb", "news new", "bus bu", "organ organic"] {
            let (a, b) = words.split_once(' ').unwrap_or_default();
            assert_ne!(stem_key(a), stem_key(b), "{words}");
        }
    }

    #[test]
    fn the_lists_are_sorted() {
        assert!(ADJECTIVES.is_sorted());
        assert!(IRREGULAR.is_sorted_by_key(|(form, _)| form));
    }
}
