//! How much too long a conversation is, out of the words of a provider.
//!
//! Deciding by text is what layers do not do: whether it is too long is the error's kind. Text is read here because
//! the figures stand nowhere else, and a misread one costs a second round and nothing more.

/// Which share of the conversation fits. `estimate` is the length that we think it has, in tokens; `output` is the longest
/// answer that was asked for, which most providers count in.
pub(super) fn share(message: &str, estimate: u64, output: Option<u64>) -> Option<f64> {
    let (limit, actual) = limit_and_actual(message, estimate)?;
    let output = output.filter(|output| *output < limit).unwrap_or(0);
    let (limit, actual) = (limit - output, actual.saturating_sub(output));
    (limit < actual).then(|| limit as f64 / actual as f64 * TO_SPARE)
}

fn limit_and_actual(message: &str, estimate: u64) -> Option<(u64, u64)> {
    let message = message.to_ascii_lowercase();
    // "size limit exceeded by 25836 tokens. […] The limit for this model is 288000 tokens."
    if let Some((before, after)) = message.split_once("exceeded").filter(|(_, after)| says_by(after)) {
        let mut after = numbers(after).into_iter();
        let excess = after.next()?;
        let limit = numbers(before).into_iter().chain(after).find(|number| *number >= SMALLEST);
        let limit = limit.or_else(|| estimate.checked_sub(excess))?;
        return Some((limit, limit.checked_add(excess)?));
    }
    // "188240 + 21333 > 200000"
    if let Some((before, after)) = message.split_once('>') {
        let limit = *numbers(after).first()?;
        let mut summands = before.rsplit('+').map_while(|part| numbers(part).last().copied());
        let last = summands.next()?;
        let sum = if before.contains('+') { summands.fold(last, u64::saturating_add) } else { last };
        return Some((limit, sum));
    }
    // "maximum context length is 8192 tokens. However, your messages resulted in 8227 tokens", and the other way round.
    let mut figures = numbers(&message).into_iter().filter(|number| *number >= SMALLEST);
    let first = figures.next()?;
    let second = figures.find(|number| *number != first)?;
    Some((first.min(second), first.max(second)))
}

/// "exceeded by 3", "exceeded max context length by 3": the number is what is too much.
fn says_by(after: &str) -> bool {
    let sentence = after.split(". ").next().unwrap_or_default();
    sentence.split_once("by ").is_some_and(|(_, after)| after.starts_with(|c: char| c.is_ascii_digit()))
}

/// The whole numbers that stand alone: not those in names (`gpt-4`, `claude-3-5-20241022`), ids and fractions.
fn numbers(text: &str) -> Vec<u64> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut before = None;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let last = rest[..start].chars().next_back().or(before);
        let number = rest[start..]
            .find(|c: char| !c.is_ascii_digit() && c != ',')
            .map_or(rest.len(), |end| start + end);
        let digits: String = rest[start..number].chars().filter(char::is_ascii_digit).collect();
        let after: Vec<char> = rest[number..].chars().take(2).collect();
        if last.is_none_or(may_stand_before) && stands_alone(&after) {
            found.extend(digits.parse::<u64>().ok());
        }
        before = rest[..number].chars().next_back();
        rest = &rest[number..];
    }
    found
}

fn may_stand_before(character: char) -> bool {
    character.is_whitespace() || matches!(character, '(' | '[' | '~' | '=' | ':' | '`' | '"' | '\'')
}

fn stands_alone(after: &[char]) -> bool {
    match after {
        [] => true,
        ['.', next, ..] => !next.is_ascii_digit(),
        [next, ..] => !next.is_alphanumeric() && !matches!(next, '-' | '_' | '/' | ':'),
    }
}

/// Smaller numbers are no window.
const SMALLEST: u64 = 100;
/// A twentieth less than fits: our sizes are bytes, and the provider's are tokens.
const TO_SPARE: f64 = 0.95;

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(message: &str) -> Option<(u64, u64)> {
        limit_and_actual(message, 5_000)
    }

    // S2.1, in the forms that providers say it in
    #[test]
    fn limit_and_actual_length_are_found_in_what_providers_say() {
        for (message, limit, actual) in [
            (
                "This model's maximum context length is 8192 tokens. However, your messages resulted in 8227 tokens.",
                8_192,
                8_227,
            ),
            (
                "This model's maximum context length is 4097 tokens, however you requested 5000 tokens (4000 in your \
                 prompt; 1000 for the completion).",
                4_097,
                5_000,
            ),
            ("prompt is too long: 208310 tokens > 200000 maximum", 200_000, 208_310),
            (
                "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease",
                200_000,
                209_573,
            ),
            ("Request too large for gpt-4-32768: Limit 30,000, Requested 41,500.", 30_000, 41_500),
            (
                "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum",
                32_768,
                40_000,
            ),
            (
                "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
                1_048_576,
                1_200_000,
            ),
            (
                "You passed 5000 input tokens and requested 10 output tokens. However, the model's context length is \
                 only 4096 tokens, resulting in a maximum input length of 4086 tokens.",
                4_096,
                5_000,
            ),
            (
                "too many tokens: size limit exceeded by 25836 tokens. The limit for this model is 288000 tokens.",
                288_000,
                313_836,
            ),
            ("claude-3-5-sonnet-20241022: 210000 tokens > 200000 maximum", 200_000, 210_000),
            ("context window exceeded: 5000 tokens > 4096", 4_096, 5_000),
            (
                "request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it",
                4_096,
                5_000,
            ),
        ] {
            assert_eq!(figures(message), Some((limit, actual)), "{message}");
        }
    }

    #[test]
    fn an_excess_alone_is_taken_off_the_estimate() {
        let message = "prompt too long; exceeded max context length by 1000 tokens (ref: 96164522-08b2-4cbf)";
        assert_eq!(figures(message), Some((4_000, 5_000)));
        assert_eq!(figures("exceeded max context length by 7000 tokens"), None);
    }

    #[test]
    fn words_without_two_figures_say_nothing() {
        for message in [
            "",
            "Input is too long for requested model.",
            "Your input exceeds the context window of this model.",
            "maximum context length is 8192 tokens",
            "gpt-4-0613 (id 96164522-08b2-4cbf) has 8192.5 or 4.1 or 8192 or 8192",
            "exceeded by",
            "> 200000",
            "99999999999999999999999 tokens > 99999999999999999999999",
            "exceeded by 18446744073709551615 of 18446744073709551615",
        ] {
            assert_eq!(figures(message), None, "{message}");
        }
    }

    #[test]
    fn whatever_a_provider_writes_does_no_harm() {
        let pieces = [
            "1",
            "9,",
            "000",
            "18446744073709551615",
            ".",
            " ",
            ">",
            "+",
            "exceeded ",
            "by ",
            "é",
            "-",
            "(",
            "x",
        ];
        let mut chance = fastrand::Rng::with_seed(1);
        for _ in 0..20_000 {
            let message: String =
                (0..chance.usize(0..12)).map(|_| pieces[chance.usize(0..pieces.len())]).collect();
            if let Some(share) = share(&message, 5_000, Some(chance.u64(0..10_000))) {
                assert!((0.0..1.0).contains(&share), "{share} of {message:?}");
            }
        }
    }

    #[test]
    fn the_share_leaves_a_twentieth_and_the_answers_place_to_spare() {
        let near = |share: Option<f64>, expected: f64| (share.unwrap() - expected).abs() < 1e-9;
        let message = "208000 tokens > 200000 maximum";
        assert!(near(share(message, 0, None), 200.0 / 208.0 * 0.95));
        assert!(near(share(message, 0, Some(8_000)), 192.0 / 200.0 * 0.95));
        for output in [200_000, 500_000] {
            assert!(near(share(message, 0, Some(output)), 200.0 / 208.0 * 0.95));
        }
        assert_eq!(share("200000 tokens > 208000 maximum", 0, None), None);
        assert_eq!(share("208000 tokens > 208000 maximum", 0, None), None);
        assert_eq!(share("no figures", 5_000, None), None);
    }
}
