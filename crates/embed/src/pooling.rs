//! From one row per token to one vector per text, of unit length.

use ndarray::{Array2, Axis, Slice};

use crate::batch::Batch;

/// What stands for a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// The mean of its tokens.
    Mean,
    /// Its first token.
    First,
}

impl Pooling {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::First => "first",
        }
    }

    pub(crate) fn pool(self, batch: &Batch, hidden: &Array2<f32>) -> Vec<Vec<f32>> {
        batch
            .ranges()
            .map(|range| {
                let mut vector = match self {
                    // A sum is the mean in all but length, and the length is 1 in the end.
                    Self::Mean => hidden.slice_axis(Axis(0), Slice::from(range)).sum_axis(Axis(0)).to_vec(),
                    Self::First => hidden.row(range.start).to_vec(),
                };
                normalise(&mut vector);
                vector
            })
            .collect()
    }
}

/// Makes the length 1. False, and nothing done, when there is no direction to keep: all zeros, or not a number.
pub(crate) fn normalise(vector: &mut [f32]) -> bool {
    let length = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    let can = length.is_finite() && length > 0.0;
    if can {
        let scale = (1.0 / length) as f32;
        vector.iter_mut().for_each(|value| *value *= scale);
    }
    can
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn the_mean_is_of_the_text_s_own_tokens() {
        let mut batch = Batch::default();
        batch.push(&[1, 2]);
        batch.push(&[3]);
        let hidden = array![[3.0, 0.0], [0.0, 4.0], [0.0, 2.0]];
        assert_eq!(Pooling::Mean.pool(&batch, &hidden), [[0.6, 0.8], [0.0, 1.0]]);
        assert_eq!(Pooling::First.pool(&batch, &hidden), [[1.0, 0.0], [0.0, 1.0]]);
    }

    #[test]
    fn what_has_no_direction_is_left_alone_and_told() {
        assert!(!normalise(&mut [0.0, 0.0]));
        assert!(!normalise(&mut [f32::NAN, 1.0]));
        assert!(normalise(&mut [1e-30, 1e-30]), "small is not nothing");
    }
}
