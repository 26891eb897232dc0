//! Named matrices of a safetensors file, with their shapes checked.

use ndarray::Array2;
use safetensors::{Dtype, SafeTensors};

use super::norm::Norm;
use crate::error::OpenError;
use crate::folder::ModelFolder;

pub(super) struct Weights<'a> {
    folder: &'a ModelFolder,
    tensors: SafeTensors<'a>,
    /// Some files name the model before the part.
    prefix: &'static str,
}

impl<'a> Weights<'a> {
    pub(super) fn parse(folder: &'a ModelFolder, bytes: &'a [u8]) -> Result<Self, OpenError> {
        let tensors =
            SafeTensors::deserialize(bytes).map_err(|error| folder.weights_are_wrong(error.to_string()))?;
        let prefix = if tensors.iter().any(|(name, _)| name.starts_with("bert.")) { "bert." } else { "" };
        Ok(Self { folder, tensors, prefix })
    }

    pub(super) fn matrix(&self, name: &str, rows: usize, columns: usize) -> Result<Array2<f32>, OpenError> {
        let values = self.values(name, &[rows, columns])?;
        Ok(Array2::from_shape_vec((rows, columns), values).expect("the shape was checked"))
    }

    /// The weight, a row for each output as the file has it, and the bias.
    pub(super) fn linear(
        &self,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<(Array2<f32>, Vec<f32>), OpenError> {
        let weight = self.matrix(&format!("{name}.weight"), outputs, inputs)?;
        Ok((weight, self.values(&format!("{name}.bias"), &[outputs])?))
    }

    pub(super) fn norm(&self, name: &str, size: usize, epsilon: f32) -> Result<Norm, OpenError> {
        let weight = self.values(&format!("{name}.weight"), &[size])?;
        Ok(Norm { weight, bias: self.values(&format!("{name}.bias"), &[size])?, epsilon })
    }

    fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, OpenError> {
        let name = format!("{}{name}", self.prefix);
        let wrong = |what: String| self.folder.weights_are_wrong(format!("{name} {what}"));
        let tensor = self.tensors.tensor(&name).map_err(|_| wrong("is missing".to_owned()))?;
        if tensor.shape() != shape {
            return Err(wrong(format!("has the shape {:?}, expected {shape:?}", tensor.shape())));
        }
        let data = tensor.data();
        Ok(match tensor.dtype() {
            Dtype::F32 => data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            Dtype::F16 => data.as_chunks().0.iter().map(|bytes| half(u16::from_le_bytes(*bytes))).collect(),
            Dtype::BF16 => data
                .as_chunks()
                .0
                .iter()
                .map(|bytes| f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16))
                .collect(),
            other => return Err(wrong(format!("holds {other:?}, which is not read: F32, F16 and BF16 are"))),
        })
    }
}

/// A half-precision number.
fn half(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let (exponent, fraction) = (u32::from(bits >> 10 & 0x1f), u32::from(bits & 0x3ff));
    let magnitude = match exponent {
        // Below the smallest normal number, in steps of 2^-24.
        0 => (fraction as f32 / 16_777_216.0).to_bits(),
        0x1f => 0xff << 23 | fraction << 13,
        exponent => (exponent + 112) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}

#[cfg(test)]
mod tests {
    use super::half;

    #[test]
    fn half_precision_is_read_right() {
        let cases =
            [(0x0000, 0.0), (0x3c00, 1.0), (0xc000, -2.0), (0x3555, 0.333_251_95), (0x7bff, 65_504.0)];
        for (bits, value) in cases {
            assert_eq!(half(bits), value);
        }
        assert_eq!(half(0x0001), 2.0_f32.powi(-24));
        assert_eq!(half(0x7c00), f32::INFINITY);
        assert!(half(0x7e00).is_nan());
    }
}
