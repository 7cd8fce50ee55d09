//! Elements of tensors as files hold them, and as the engine computes with them.

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 32-bit floats.
    F32,
    /// 64-bit floats.
    F64,
    /// 16-bit floats of IEEE 754.
    F16,
    /// The upper half of 32-bit floats.
    BF16,
    /// Whole numbers, truth values, complex numbers: no weights of a model.
    Other {
        /// As its library calls it.
        name: &'static str,
        /// Bytes of one.
        bytes: usize,
    },
}

impl Element {
    /// Bytes of one element.
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F64 => 8,
            Self::F16 | Self::BF16 => 2,
            Self::Other { bytes, .. } => bytes,
        }
    }

    pub(super) const fn is_float(self) -> bool {
        !matches!(self, Self::Other { .. })
    }

    /// Elements as 32-bit floats, in the order they lie; none where they are no floats. What is left of the last element is
    /// dropped. 64-bit floats beyond the range of 32 bits become infinite.
    pub(super) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F32 => bytes.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)).collect(),
            Self::F64 => bytes.as_chunks().0.iter().map(|&value| f64::from_le_bytes(value) as f32).collect(),
            Self::F16 => bytes.as_chunks().0.iter().map(|&value| half(u16::from_le_bytes(value))).collect(),
            Self::BF16 => {
                let whole = |value| f32::from_bits(u32::from(u16::from_le_bytes(value)) << 16);
                bytes.as_chunks().0.iter().map(|&value| whole(value)).collect()
            }
            Self::Other { .. } => Vec::new(),
        }
    }
}

/// A 16-bit float, widened; every one has a place among those of 32 bits.
///
/// # Sources
/// IEEE 754-2008, table 3.5, binary16.
fn half(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let (exponent, fraction) = (u32::from(bits >> 10) & 0x1f, u32::from(bits) & 0x3ff);
    let size = match exponent {
        // Subnormal: a multiple of 2^-24, which 32 bits hold as a normal number.
        0 => (fraction as f32 * 2.0_f32.powi(-24)).to_bits(),
        31 => 0x7f80_0000 | fraction << 13,
        _ => (exponent + 127 - 15) << 23 | fraction << 13,
    };
    f32::from_bits(sign | size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_what_the_formula_says() {
        for bits in 0..=u16::MAX {
            let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
            let size = match exponent {
                0 => fraction / 1024.0 * 2.0_f64.powi(-14),
                31 if fraction > 0.0 => f64::NAN,
                31 => f64::INFINITY,
                _ => (1.0 + fraction / 1024.0) * 2.0_f64.powi(exponent - 15),
            };
            let expected = if bits >> 15 == 1 { -size } else { size };
            let got = f64::from(half(bits));
            assert!(got == expected || got.is_nan() && expected.is_nan(), "{bits:#x}: {got}, not {expected}");
        }
    }

    #[test]
    fn each_type_is_widened_or_rounded() {
        assert_eq!(Element::F64.decode(&0.1_f64.to_le_bytes()), [0.1]);
        assert_eq!(Element::BF16.decode(&[0xc0, 0x3f]), [1.5]);
        assert_eq!(Element::F16.decode(&[0x00, 0xbe]), [-1.5]);
        assert_eq!(Element::F32.decode(&1e-40_f32.to_le_bytes()), [1e-40]);
        assert!(Element::Other { name: "I64", bytes: 8 }.decode(&[0; 8]).is_empty());
    }
}
