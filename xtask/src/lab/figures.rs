//! What is made of a list of numbers.

use std::time::Duration;

/// The value that this share of them does not exceed; zero of none.
pub(super) fn quantile(times: &[Duration], share: f64) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied().unwrap_or_default()
}

pub(super) fn median(times: &[Duration]) -> Duration {
    quantile(times, 0.5)
}

pub(super) fn mean(numbers: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = numbers.len().max(1) as f64;
    numbers.sum::<f64>() / count
}

/// How many of the times lie in each stretch of `width`, from 0 to the last of them.
pub(super) fn histogram(times: &[Duration], width: Duration) -> Vec<u32> {
    let place = |time: &Duration| (time.as_nanos() / width.as_nanos()) as usize;
    let mut counts = vec![0; times.iter().map(place).max().map_or(0, |last| last + 1)];
    times.iter().for_each(|time| counts[place(time)] += 1);
    counts
}

/// How even the counts are from the first that is not zero to the last: Jain's index, 1 when all are the same, 1/n when
/// one of n has everything.
pub(super) fn flatness(counts: &[u32]) -> f64 {
    let first = counts.iter().position(|count| *count > 0).unwrap_or(counts.len());
    let counts = &counts[first..];
    let sum: f64 = counts.iter().map(|count| f64::from(*count)).sum();
    let squares: f64 = counts.iter().map(|count| f64::from(*count).powi(2)).sum();
    if squares == 0.0 { 1.0 } else { sum * sum / (counts.len() as f64 * squares) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(times: &[u64]) -> Vec<Duration> {
        times.iter().map(|time| Duration::from_millis(*time)).collect()
    }

    #[test]
    fn quantiles_are_values_of_the_list() {
        let times = milliseconds(&[40, 10, 30, 20]);
        assert_eq!(median(&times), Duration::from_millis(20));
        assert_eq!(quantile(&times, 0.95), Duration::from_millis(40));
        assert_eq!(quantile(&times, 0.0), Duration::from_millis(10));
        assert_eq!(median(&[]), Duration::ZERO);
    }

    #[test]
    fn a_histogram_counts_from_zero_to_the_last() {
        let times = milliseconds(&[0, 99, 100, 350]);
        assert_eq!(histogram(&times, Duration::from_millis(100)), [2, 1, 0, 1]);
        assert!(histogram(&[], Duration::from_millis(100)).is_empty());
    }

    #[test]
    fn what_is_even_is_flat_and_what_comes_at_once_is_not() {
        assert_eq!(flatness(&[0, 0, 3, 3, 3]), 1.0);
        assert_eq!(flatness(&[8, 0, 0, 0]), 0.25);
        assert_eq!(flatness(&[]), 1.0);
        assert!(flatness(&[4, 2, 3]) > flatness(&[8, 0, 1]));
    }
}
