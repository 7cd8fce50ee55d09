//! The types of values that images have.

/// Type of a value, in this machine's byte order once it is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SampleKind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

impl SampleKind {
    /// By TIFF's bits and sample format: 1 unsigned, 2 signed, 3 floating point.
    pub(super) fn of(bits: u64, format: u64) -> Option<Self> {
        Some(match (bits, format) {
            (8, 1) => Self::U8,
            (8, 2) => Self::I8,
            (16, 1) => Self::U16,
            (16, 2) => Self::I16,
            (32, 1) => Self::U32,
            (32, 2) => Self::I32,
            (64, 1) => Self::U64,
            (64, 2) => Self::I64,
            (32, 3) => Self::F32,
            (64, 3) => Self::F64,
            _ => return None,
        })
    }

    pub(super) fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    pub(super) fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }
}

/// Takes the value at `offset` of every pixel of `samples` values, as many pixels as `into` is long.
pub(super) fn to_floats(row: &[u8], kind: SampleKind, (offset, samples): (usize, usize), into: &mut [f32]) {
    let each = |bytes: usize| row.chunks_exact(bytes).skip(offset).step_by(samples);
    match kind {
        SampleKind::U8 => put(into, each(1), |[byte]: [u8; 1]| f32::from(byte)),
        SampleKind::I8 => put(into, each(1), |[byte]: [u8; 1]| f32::from(byte.cast_signed())),
        SampleKind::U16 => put(into, each(2), |bytes| f32::from(u16::from_ne_bytes(bytes))),
        SampleKind::I16 => put(into, each(2), |bytes| f32::from(i16::from_ne_bytes(bytes))),
        SampleKind::U32 => put(into, each(4), |bytes| u32::from_ne_bytes(bytes) as f32),
        SampleKind::I32 => put(into, each(4), |bytes| i32::from_ne_bytes(bytes) as f32),
        SampleKind::U64 => put(into, each(8), |bytes| u64::from_ne_bytes(bytes) as f32),
        SampleKind::I64 => put(into, each(8), |bytes| i64::from_ne_bytes(bytes) as f32),
        SampleKind::F32 => put(into, each(4), f32::from_ne_bytes),
        SampleKind::F64 => put(into, each(8), |bytes| f64::from_ne_bytes(bytes) as f32),
    }
}

fn put<'a, const N: usize>(
    into: &mut [f32],
    values: impl Iterator<Item = &'a [u8]>,
    float: impl Fn([u8; N]) -> f32,
) {
    for (into, value) in into.iter_mut().zip(values.filter_map(|bytes| bytes.first_chunk())) {
        *into = float(*value);
    }
}
