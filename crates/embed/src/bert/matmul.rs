//! The one product that a transformer is made of: few rows by many columns, the columns laid out beforehand.
//!
//! A general product packs both sides anew each time, and a query of ten tokens is over before that pays. Here the
//! weights are laid out once, in panels that are read from front to back; a tile of the answer stays in registers until
//! it is done.
//!
//! What such a product waits for is memory: each weight is read once and used for a dozen rows. So weights are kept in 16
//! bits, as whole numbers with a scale for each column, and become numbers of 32 bits in registers: half the time. The
//! rounding is a seventh of half precision's; all-MiniLM-L6-v2's vectors move by at most 4e-5.

use std::marker::PhantomData;

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch};
use ndarray::ArrayView2;

use super::gelu::gelu;

/// Columns of a panel: two AVX-512 registers, four of AVX2, eight of NEON.
pub(super) const WIDTH: usize = 32;

/// A matrix as the right side of a product: panels of [`WIDTH`] columns, in each the rows one after the other. The
/// last panel is filled up with zeros.
#[derive(Debug, Clone)]
pub(super) struct Columns<T> {
    panels: Vec<T>,
    /// What each column is to be multiplied by in the end.
    scales: Vec<f32>,
    depth: usize,
    columns: usize,
}

/// What a matrix is kept in.
pub(super) trait Element: Copy + Default {
    /// Whether taking them costs nothing, so that nothing is saved by doing it once for many rows.
    const IS_FREE: bool;

    /// Two registers of numbers from as many elements as fill them.
    fn pair<S: Simd>(simd: S, elements: &[Self]) -> [S::f32s; 2];

    /// One of them.
    fn number(self) -> f32;
}

impl Element for f32 {
    const IS_FREE: bool = true;

    #[inline(always)]
    fn pair<S: Simd>(simd: S, elements: &[f32]) -> [S::f32s; 2] {
        let (left, right) = elements.split_at(S::f32s::LEN);
        [S::f32s::from_slice(simd, left), S::f32s::from_slice(simd, right)]
    }

    #[inline(always)]
    fn number(self) -> f32 {
        self
    }
}

impl Element for i16 {
    const IS_FREE: bool = false;

    #[inline(always)]
    fn pair<S: Simd>(simd: S, elements: &[i16]) -> [S::f32s; 2] {
        let (left, right) = S::i16s::from_slice(simd, elements).widen();
        [left.to_float(), right.to_float()]
    }

    #[inline(always)]
    fn number(self) -> f32 {
        self.into()
    }
}

impl<T: Element> Columns<T> {
    fn resize(&mut self, depth: usize, columns: usize) {
        (self.depth, self.columns) = (depth, columns);
        self.panels.clear();
        self.panels.resize(columns.div_ceil(WIDTH) * WIDTH * depth, T::default());
        self.scales.clear();
        self.scales.resize(columns, 1.0);
    }

    /// The places of a column, from its first row to its last.
    fn column(&mut self, column: usize) -> impl Iterator<Item = &mut T> {
        let start = (column / WIDTH) * self.depth * WIDTH + column % WIDTH;
        self.panels[start..].iter_mut().step_by(WIDTH).take(self.depth)
    }
}

impl Columns<i16> {
    /// Lays out the transpose of a matrix: each of its rows is a column of the product, as in the file of a model.
    pub(super) fn of_transposed(matrix: ArrayView2<'_, f32>) -> Self {
        let mut columns = Self::default();
        columns.resize(matrix.ncols(), matrix.nrows());
        for (column, values) in matrix.rows().into_iter().enumerate() {
            let most = values.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
            let scale = if most > 0.0 { most / f32::from(i16::MAX) } else { 1.0 };
            columns.scales[column] = scale;
            for (place, value) in columns.column(column).zip(values) {
                *place = (value / scale).round() as i16;
            }
        }
        columns
    }
}

impl Columns<f32> {
    /// Lays out the transpose of a matrix.
    pub(super) fn lay_out_transposed(&mut self, matrix: ArrayView2<'_, f32>) {
        self.resize(matrix.ncols(), matrix.nrows());
        for (column, values) in matrix.rows().into_iter().enumerate() {
            for (place, value) in self.column(column).zip(values) {
                *place = *value;
            }
        }
    }

    /// Lays out a matrix as it stands.
    pub(super) fn lay_out(&mut self, matrix: ArrayView2<'_, f32>) {
        let (depth, columns) = matrix.dim();
        self.resize(depth, columns);
        for (row, values) in matrix.rows().into_iter().enumerate() {
            for (column, value) in values.iter().enumerate() {
                self.panels[(column / WIDTH * depth + row) * WIDTH + column % WIDTH] = *value;
            }
        }
    }
}

impl<T> Default for Columns<T> {
    fn default() -> Self {
        Self { panels: Vec::new(), scales: Vec::new(), depth: 0, columns: 0 }
    }
}

/// A matrix as the left side of a product: blocks of rows of nearly the same height, in each the columns one after the
/// other, so that a step of the product reads one run of values.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    blocks: Vec<f32>,
    depth: usize,
    rows: usize,
    highest: usize,
}

impl Rows {
    pub(super) fn lay_out(&mut self, level: Level, matrix: ArrayView2<'_, f32>) {
        let (rows, depth) = matrix.dim();
        (self.rows, self.depth, self.highest) = (rows, depth, highest_block(level));
        // Every place is written below.
        self.blocks.resize(rows * depth, 0.0);
        for (start, height) in blocks(rows, self.highest) {
            let from: Vec<_> = (start..start + height).map(|row| matrix.row(row)).collect();
            let from: Vec<&[f32]> = from.iter().filter_map(|row| row.to_slice()).collect();
            debug_assert_eq!(from.len(), height, "the rows of a matrix of the model's own are slices");
            let block = &mut self.blocks[start * depth..(start + height) * depth];
            for (column, places) in block.chunks_exact_mut(height.max(1)).enumerate() {
                for (place, row) in places.iter_mut().zip(&from) {
                    *place = row[column];
                }
            }
        }
    }
}

/// What happens to a finished tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// It is the answer.
    Keep,
    /// Its GELU is the answer.
    Gelu,
    /// It is added to what is there.
    Add,
}

/// `rows × columns + bias` into `out`, whose rows begin `stride` apart.
pub(super) fn multiply<T: Element>(
    level: Level,
    rows: &Rows,
    columns: &Columns<T>,
    bias: Option<&[f32]>,
    then: Then,
    out: &mut [f32],
    stride: usize,
) {
    debug_assert_eq!(rows.depth, columns.depth, "the sides of a product fit");
    let mut numbers = Vec::new();
    for (index, panel) in columns.panels.chunks_exact((columns.depth * WIDTH).max(1)).enumerate() {
        let first = index * WIDTH;
        let width = WIDTH.min(columns.columns - first);
        let (mut scale, mut start) = ([0.0; WIDTH], [0.0; WIDTH]);
        scale[..width].copy_from_slice(&columns.scales[first..first + width]);
        if let Some(bias) = bias {
            start[..width].copy_from_slice(&bias[first..first + width]);
        }
        let tiles = Tiles { rows, scale: &scale, bias: &start, then, width };
        let out = &mut out[first..];
        if T::IS_FREE || rows.rows <= 2 * rows.highest {
            tiles.compute(level, panel, out, stride);
        } else {
            dispatch!(level, simd => into_numbers(simd, panel, &mut numbers));
            tiles.compute(level, &numbers, out, stride);
        }
    }
}

#[inline(always)]
fn into_numbers<S: Simd, T: Element>(_: S, panel: &[T], numbers: &mut Vec<f32>) {
    numbers.clear();
    numbers.extend(panel.iter().map(|element| element.number()));
}

/// As many rows as keep a tile two registers wide in registers, beside what is being multiplied: of 32 registers 24, of
/// 16 registers 12 or fewer.
struct Highest<S>(PhantomData<S>);

impl<S: Simd> Highest<S> {
    const ROWS: usize = match S::f32s::LEN {
        16 => 12,
        _ if cfg!(target_arch = "aarch64") => 12,
        8 => 6,
        _ => 4,
    };
}

fn highest_block(level: Level) -> usize {
    dispatch!(level, simd => highest_of(simd))
}

#[inline(always)]
fn highest_of<S: Simd>(_: S) -> usize {
    Highest::<S>::ROWS
}

/// Cuts rows into as few blocks as can be, none much lower than the others.
fn blocks(rows: usize, highest: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = rows.div_ceil(highest.max(1)).max(1);
    let (height, higher) = (rows / count, rows % count);
    let mut start = 0;
    (0..count).map(move |block| {
        let height = height + usize::from(block < higher);
        start += height;
        (start - height, height)
    })
}

/// What the tiles of one panel have in common.
struct Tiles<'a> {
    rows: &'a Rows,
    scale: &'a [f32; WIDTH],
    bias: &'a [f32; WIDTH],
    then: Then,
    /// How many columns are of the matrix, and not filling.
    width: usize,
}

impl Tiles<'_> {
    /// All of them; `out` begins at the panel's first column.
    fn compute<T: Element>(&self, level: Level, panel: &[T], out: &mut [f32], stride: usize) {
        let depth = self.rows.depth;
        for (row, height) in blocks(self.rows.rows, self.rows.highest) {
            let block = &self.rows.blocks[row * depth..(row + height) * depth];
            self.tile(level, height, block, panel, &mut out[row * stride..], stride);
        }
    }

    fn tile<T: Element>(
        &self,
        level: Level,
        height: usize,
        block: &[f32],
        panel: &[T],
        out: &mut [f32],
        stride: usize,
    ) {
        match height {
            0 => {}
            1 => dispatch!(level, simd => self.compute_rows::<_, T, 1>(simd, block, panel, out, stride)),
            2 => dispatch!(level, simd => self.compute_rows::<_, T, 2>(simd, block, panel, out, stride)),
            3 => dispatch!(level, simd => self.compute_rows::<_, T, 3>(simd, block, panel, out, stride)),
            4 => dispatch!(level, simd => self.compute_rows::<_, T, 4>(simd, block, panel, out, stride)),
            5 => dispatch!(level, simd => self.compute_rows::<_, T, 5>(simd, block, panel, out, stride)),
            6 => dispatch!(level, simd => self.compute_rows::<_, T, 6>(simd, block, panel, out, stride)),
            7 => dispatch!(level, simd => self.compute_rows::<_, T, 7>(simd, block, panel, out, stride)),
            8 => dispatch!(level, simd => self.compute_rows::<_, T, 8>(simd, block, panel, out, stride)),
            9 => dispatch!(level, simd => self.compute_rows::<_, T, 9>(simd, block, panel, out, stride)),
            10 => dispatch!(level, simd => self.compute_rows::<_, T, 10>(simd, block, panel, out, stride)),
            11 => dispatch!(level, simd => self.compute_rows::<_, T, 11>(simd, block, panel, out, stride)),
            _ => dispatch!(level, simd => self.compute_rows::<_, T, 12>(simd, block, panel, out, stride)),
        }
    }

    #[inline(always)]
    fn compute_rows<S: Simd, T: Element, const HEIGHT: usize>(
        &self,
        simd: S,
        block: &[f32],
        panel: &[T],
        out: &mut [f32],
        stride: usize,
    ) {
        // No block is higher; so nothing is compiled for it.
        if HEIGHT > Highest::<S>::ROWS {
            return;
        }
        let (block, _) = block.as_chunks::<HEIGHT>();
        let (panel, _) = panel.as_chunks::<WIDTH>();
        let lanes = S::f32s::LEN;
        for pair in 0..WIDTH / (2 * lanes) {
            let column = pair * 2 * lanes;
            if column >= self.width {
                break;
            }
            let mut sums = [[S::f32s::splat(simd, 0.0); 2]; HEIGHT];
            for (values, weights) in block.iter().zip(panel) {
                let weights = T::pair(simd, &weights[column..column + 2 * lanes]);
                for row in 0..HEIGHT {
                    let value = S::f32s::splat(simd, values[row]);
                    sums[row][0] = value.mul_add(weights[0], sums[row][0]);
                    sums[row][1] = value.mul_add(weights[1], sums[row][1]);
                }
            }
            let scale = f32::pair(simd, &self.scale[column..column + 2 * lanes]);
            let bias = f32::pair(simd, &self.bias[column..column + 2 * lanes]);
            for sums in &mut sums {
                sums[0] = sums[0].mul_add(scale[0], bias[0]);
                sums[1] = sums[1].mul_add(scale[1], bias[1]);
            }
            for (row, sums) in sums.iter().enumerate() {
                self.finish(simd, sums, column, &mut out[row * stride..]);
            }
        }
    }

    /// Writes one row of a tile to its place in `out`, which begins at the panel's first column.
    #[inline(always)]
    fn finish<S: Simd>(&self, simd: S, sums: &[S::f32s; 2], column: usize, out: &mut [f32]) {
        let lanes = S::f32s::LEN;
        if column + 2 * lanes <= self.width {
            for (half, sum) in sums.iter().enumerate() {
                let at = column + half * lanes;
                self.store(simd, *sum, &mut out[at..at + lanes]);
            }
            return;
        }
        // The filling of a last panel has no place in `out`.
        let mut padded = [0.0; WIDTH];
        let rest = &mut out[column..self.width];
        padded[..rest.len()].copy_from_slice(rest);
        for (half, sum) in sums.iter().enumerate() {
            self.store(simd, *sum, &mut padded[half * lanes..(half + 1) * lanes]);
        }
        rest.copy_from_slice(&padded[..rest.len()]);
    }

    #[inline(always)]
    fn store<S: Simd>(&self, simd: S, sum: S::f32s, place: &mut [f32]) {
        let value = match self.then {
            Then::Keep => sum,
            Then::Gelu => gelu(simd, sum),
            Then::Add => sum + S::f32s::from_slice(simd, place),
        };
        value.store_slice(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    fn random(rng: &mut fastrand::Rng, rows: usize, columns: usize) -> Array2<f32> {
        Array2::from_shape_simple_fn((rows, columns), || rng.f32() - 0.5)
    }

    /// Every level that this machine has; the highest is what is used.
    fn levels() -> Vec<Level> {
        let best = Level::new();
        #[cfg(target_arch = "x86_64")]
        {
            let mut levels = vec![best];
            levels.extend(best.as_avx2().map(Level::Avx2));
            levels.extend(best.as_sse4_2().map(Level::Sse4_2));
            levels
        }
        #[cfg(not(target_arch = "x86_64"))]
        vec![best]
    }

    #[test]
    fn it_is_the_product_of_ndarray_in_every_shape() {
        let mut rng = fastrand::Rng::with_seed(7);
        for level in levels() {
            for (rows, depth, columns) in
                [(1, 1, 1), (2, 3, 33), (5, 32, 64), (7, 40, 31), (12, 48, 32), (13, 16, 100), (30, 64, 96)]
            {
                let (left, right) = (random(&mut rng, rows, depth), random(&mut rng, depth, columns));
                let bias: Vec<f32> = (0..columns).map(|_| rng.f32()).collect();
                let (mut packed, mut plain) = (Rows::default(), Columns::default());
                packed.lay_out(level, left.view());
                plain.lay_out(right.view());
                let mut transposed = Columns::<f32>::default();
                transposed.lay_out_transposed(right.t());
                assert_eq!(plain.panels, transposed.panels, "both ways to lay out columns agree");

                let expected = left.dot(&right) + ndarray::aview1(&bias);
                let mut out = vec![1.0; rows * columns];
                multiply(level, &packed, &plain, Some(&bias), Then::Keep, &mut out, columns);
                close(&out, expected.iter().copied());
                multiply(level, &packed, &plain, Some(&bias), Then::Add, &mut out, columns);
                close(&out, expected.iter().map(|value| 2.0 * value));

                let short = Columns::of_transposed(right.t());
                multiply(level, &packed, &short, Some(&bias), Then::Keep, &mut out, columns);
                close(&out, expected.iter().copied());
            }
        }
    }

    #[track_caller]
    fn close(found: &[f32], expected: impl Iterator<Item = f32>) {
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 5e-5, "{found} is not {expected}");
        }
    }

    #[test]
    fn rows_are_cut_into_blocks_of_nearly_the_same_height() {
        let cut = |rows| blocks(rows, 12).map(|(_, height)| height).collect::<Vec<_>>();
        assert_eq!(cut(12), [12]);
        assert_eq!(cut(16), [8, 8]);
        assert_eq!(cut(29), [10, 10, 9]);
        assert_eq!(blocks(29, 12).map(|(start, _)| start).collect::<Vec<_>>(), [0, 10, 20]);
    }
}
