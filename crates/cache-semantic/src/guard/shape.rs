//! How words are written: where they end, which letters are large, which symbols belong to them.

/// How a word is written.
pub(super) struct Shape {
    pub(super) is_large: bool,
    pub(super) has_inner_large: bool,
    pub(super) has_digit: bool,
    /// It has an apostrophe, or ends as words do that were written without theirs.
    pub(super) may_be_contracted: bool,
}

impl Shape {
    /// Writes the word in small letters, with straight apostrophes and without the points of `U.S.`.
    pub(super) fn of(word: &str, small: &mut String) -> Self {
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
pub(super) fn word_length(text: &str) -> usize {
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
pub(super) fn symbols_after(word: &str, after: &str) -> usize {
    let short = word.len() <= 2 && word.bytes().all(|byte| byte.is_ascii_alphabetic());
    if !short {
        return 0;
    }
    let symbols = after.bytes().take_while(|byte| matches!(byte, b'+' | b'#')).count();
    let ends = !after[symbols..].chars().next().is_some_and(char::is_alphanumeric);
    if ends { symbols } else { 0 }
}
