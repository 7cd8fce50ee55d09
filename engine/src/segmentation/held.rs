//! The model of a run, where an optimizer can have it to itself.

use std::ops::Deref;

use crate::models::SegmentationModel;

/// A model that is given away for a step, and comes back changed.
///
/// An optimizer changes weights in their own memory if nobody else holds them; a clone that stayed behind would make it copy
/// all of them at every step.
#[derive(Debug)]
pub(super) struct Held(Option<SegmentationModel>);

impl Held {
    pub(super) fn new(model: SegmentationModel) -> Self {
        Self(Some(model))
    }

    /// Puts in the model's place what `change` makes of it. Nothing is held where it panics or fails: the run is over then.
    pub(super) fn change<E>(
        &mut self,
        change: impl FnOnce(SegmentationModel) -> Result<SegmentationModel, E>,
    ) -> Result<(), E> {
        self.0 = self.0.take().map(change).transpose()?;
        Ok(())
    }
}

impl Deref for Held {
    type Target = SegmentationModel;

    #[expect(clippy::expect_used, reason = "taken in `change` alone, which puts it back or ends the run")]
    fn deref(&self) -> &SegmentationModel {
        self.0.as_ref().expect("a run has its model but within a step")
    }
}
