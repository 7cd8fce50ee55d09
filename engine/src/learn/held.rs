//! The model of a run, where an optimizer can have it to itself.

use std::ops::Deref;

/// A model that is given away for a step, and comes back changed.
///
/// An optimizer changes weights in their own memory if nobody else holds them; a clone that stayed behind would make it copy
/// all of them at every step.
#[derive(Debug)]
pub(crate) struct Held<M>(Option<M>);

impl<M> Held<M> {
    pub(super) fn new(model: M) -> Self {
        Self(Some(model))
    }

    /// Puts in the model's place what `change` makes of it. Nothing is held where it panics or fails: the run is over then.
    pub(super) fn change<E>(&mut self, change: impl FnOnce(M) -> Result<M, E>) -> Result<(), E> {
        self.0 = self.0.take().map(change).transpose()?;
        Ok(())
    }
}

impl<M> Deref for Held<M> {
    type Target = M;

    #[expect(clippy::expect_used, reason = "taken in `change` alone, which puts it back or ends the run")]
    fn deref(&self) -> &M {
        self.0.as_ref().expect("a run has its model but within a step")
    }
}
