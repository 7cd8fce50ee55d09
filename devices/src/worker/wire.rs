//! What a worker process writes: its workload's words, and that its work is over.

use serde::{Deserialize, Serialize};

use super::memory::HostMemory;

/// What a worker does when its work is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AfterWork {
    /// It ends.
    Leaves,
    /// It waits for other work.
    Rests,
}

/// That a worker's work is over: the last frame of a launch, unless the worker ends without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Over {
    pub(super) then: AfterWork,
    pub(super) memory: HostMemory,
}

/// One frame as it is written.
#[derive(Serialize)]
#[serde(rename = "Frame")]
pub(super) enum Saying<'a, Out> {
    Said(&'a Out),
    Over(Over),
}

/// One frame as it is read.
#[derive(Deserialize)]
#[serde(rename = "Frame")]
pub(super) enum Heard<Out> {
    Said(Out),
    Over(Over),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame;

    #[test]
    fn what_is_written_is_read() {
        let over =
            Over { then: AfterWork::Rests, memory: HostMemory { resident_bytes: Some(7), peak_bytes: None } };
        let mut pipe = Vec::new();
        frame::write(&mut pipe, &Saying::Said(&vec![Some(f64::NAN), None])).unwrap();
        frame::write::<Saying<'_, Vec<Option<f64>>>>(&mut pipe, &Saying::Over(over)).unwrap();
        let mut pipe = pipe.as_slice();
        let said = frame::read::<Heard<Vec<Option<f64>>>>(&mut pipe).unwrap();
        assert!(
            matches!(said, Some(Heard::Said(values)) if values[0].unwrap().is_nan() && values[1].is_none())
        );
        let last = frame::read::<Heard<Vec<Option<f64>>>>(&mut pipe).unwrap();
        assert!(matches!(last, Some(Heard::Over(read)) if read == over));
    }
}
