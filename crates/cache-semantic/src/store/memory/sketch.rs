//! A vector in a few bytes: on which side of 512 random planes it lies.
//!
//! Two vectors at an angle lie on different sides of a random plane with a chance of the angle over 180 degrees, so
//! the bits that differ tell how far apart they are, near enough to find those worth a look at the real vectors. The
//! planes are the axes after a rotation by chance (signs flipped and a Walsh-Hadamard transform, three times), which
//! costs a few thousand additions and no matrix. Against the int8 scan it reads a sixth of the memory, and
//! against a graph it costs nothing to keep.

use super::kernel::Kernel;

/// The rotation for vectors of one length.
#[derive(Debug)]
pub(super) struct Sketch {
    kernel: Kernel,
    dims: usize,
    /// 1 or -1 for each place, once per round.
    signs: [Box<[f32]>; ROUNDS],
}

/// Two rounds leave a vector with one big part recognisable, three do not.
const ROUNDS: usize = 3;

/// Codes are compared within one process only; one constant will do for all.
const SEED: u64 = 0x6d61_696e_7374_6179;

impl Sketch {
    pub(super) fn new(kernel: Kernel, dims: usize) -> Self {
        let mut rng = fastrand::Rng::with_seed(SEED);
        let bits = dims.next_power_of_two().max(64);
        let signs = std::array::from_fn(|_| (0..bits).map(|_| if rng.bool() { 1.0 } else { -1.0 }).collect());
        Self { kernel, dims, signs }
    }

    /// The length of the vectors.
    pub(super) fn dims(&self) -> usize {
        self.dims
    }

    /// The length of a code.
    pub(super) fn words(&self) -> usize {
        self.signs[0].len() / 64
    }

    /// The code of a vector.
    pub(super) fn code(&self, vector: &[f32]) -> Vec<u64> {
        let mut turned = vec![0.0; self.signs[0].len()];
        turned[..self.dims].copy_from_slice(&vector[..self.dims]);
        for signs in &self.signs {
            for (value, sign) in turned.iter_mut().zip(signs) {
                *value *= sign;
            }
            self.kernel.hadamard(&mut turned);
        }
        let side = |(bit, value): (usize, &f32)| u64::from(*value >= 0.0) << bit;
        turned.chunks_exact(64).map(|word| word.iter().enumerate().map(side).sum()).collect()
    }
}

/// How much further than a code another may lie whose vector could still be nearer: six standard deviations of the
/// distance.
pub(super) fn margin(distance: u16, bits: usize) -> u16 {
    let share = f64::from(distance) / bits as f64;
    let deviation = (bits as f64 * share * (1.0 - share)).max(0.0).sqrt();
    // Small and positive; the cast saturates.
    (6.0 * deviation).ceil() as u16 + 6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differing(a: &[u64], b: &[u64]) -> u32 {
        a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
    }

    fn unit(rng: &mut fastrand::Rng, dims: usize) -> Vec<f32> {
        let vector: Vec<f32> = (0..dims).map(|_| rng.f32() + rng.f32() + rng.f32() - 1.5).collect();
        let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
        vector.iter().map(|v| v / length).collect()
    }

    #[test]
    fn the_share_of_differing_bits_is_the_angle() {
        let mut rng = fastrand::Rng::with_seed(7);
        let sketch = Sketch::new(Kernel::detect(), 384);
        assert_eq!(sketch.words(), 8);
        let (mut told, mut real) = (0.0, 0.0);
        for _ in 0..200 {
            let (a, b) = (unit(&mut rng, 384), unit(&mut rng, 384));
            // About 25 degrees apart, as a question in other words is.
            let near: Vec<f32> = a.iter().zip(&b).map(|(a, b)| 0.906 * a + 0.423 * b).collect();
            let cosine = a.iter().zip(&near).map(|(a, b)| a * b).sum::<f32>()
                / near.iter().map(|v| v * v).sum::<f32>().sqrt();
            real += f64::from(cosine.acos()) / std::f64::consts::PI;
            told += f64::from(differing(&sketch.code(&a), &sketch.code(&near))) / 512.0;
        }
        assert!((told / 200.0 - real / 200.0).abs() < 0.01, "{told} {real}");
    }

    #[test]
    fn vectors_of_few_parts_are_told_apart_as_well() {
        let sketch = Sketch::new(Kernel::detect(), 384);
        let axis = |i: usize| {
            let mut vector = vec![0.0; 384];
            vector[i] = 1.0;
            sketch.code(&vector)
        };
        let apart: Vec<u32> = (1..40).map(|i| differing(&axis(0), &axis(i))).collect();
        assert!(apart.iter().all(|bits| (180..330).contains(bits)), "{apart:?}");
    }
}
