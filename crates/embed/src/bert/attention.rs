//! Every token looks at every other of its text: scores, shares, and the mean of what was looked at.

use fearless_simd::Level;
use ndarray::{Array2, ArrayView2, Axis, Slice};

use super::matmul::{Columns, Rows, Then, WIDTH, multiply};
use super::norm::softmax;

/// What one head after the other is computed in.
#[derive(Debug, Default)]
pub(super) struct Heads {
    rows: Rows,
    columns: Columns<f32>,
    scores: Vec<f32>,
}

impl Heads {
    /// Attention within one text. `qkv` has the queries (scaled), keys and values of its tokens side by side; the answer
    /// is written to the same rows of `out`.
    pub(super) fn attend(
        &mut self,
        level: Level,
        heads: usize,
        qkv: ArrayView2<'_, f32>,
        first_row: usize,
        out: &mut Array2<f32>,
    ) {
        let (tokens, hidden) = (qkv.nrows(), qkv.ncols() / 3);
        let size = hidden / heads;
        let stride = tokens.next_multiple_of(WIDTH);
        self.scores.clear();
        self.scores.resize(tokens * stride, 0.0);
        let stride_out = out.ncols();
        let out = out.as_slice_mut().expect("a matrix of the model's own is laid out by rows");
        for head in 0..heads {
            let part = |of: usize| {
                let first = of * hidden + head * size;
                qkv.slice_axis_move(Axis(1), Slice::from(first..first + size))
            };
            self.rows.lay_out(level, part(0));
            self.columns.lay_out_transposed(part(1));
            multiply(level, &self.rows, &self.columns, None, Then::Keep, &mut self.scores, stride);
            for row in self.scores.chunks_exact_mut(stride) {
                softmax(level, &mut row[..tokens]);
            }
            let shares = ArrayView2::from_shape((tokens, stride), &self.scores)
                .expect("the scores have a row for each token");
            self.rows.lay_out(level, shares.slice_axis(Axis(1), Slice::from(..tokens)));
            self.columns.lay_out(part(2));
            let place = &mut out[first_row * stride_out + head * size..];
            multiply(level, &self.rows, &self.columns, None, Then::Keep, place, stride_out);
        }
    }
}
