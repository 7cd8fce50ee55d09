//! The loop every actor with a state runs: an input goes through the state, its effects are performed, and what that
//! brings in waits its turn.

use std::collections::VecDeque;

use actix::{Actor, Context};

/// Inputs that wait while effects are performed.
pub(crate) struct Inputs<I> {
    waiting: VecDeque<I>,
    is_performing: bool,
}

impl<I> Default for Inputs<I> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), is_performing: false }
    }
}

impl<I> Inputs<I> {
    /// Puts an input behind those that wait: for effects that bring one in at once.
    pub(crate) fn push(&mut self, input: I) {
        self.waiting.push_back(input);
    }
}

/// An actor that decides by a pure state and performs what that says.
pub(crate) trait Stepwise: Actor<Context = Context<Self>> {
    /// What the state hears.
    type Input;
    /// What the state asks for.
    type Effect;

    /// The inputs that wait.
    fn inputs(&mut self) -> &mut Inputs<Self::Input>;

    /// Has the state decide.
    fn decide(&mut self, input: Self::Input) -> Vec<Self::Effect>;

    /// Does what the state asks for.
    fn perform(&mut self, effect: Self::Effect, ctx: &mut Context<Self>);

    /// Takes an input through the state. Called while an effect is performed, it leaves the input to the call under
    /// way, so that effects never overtake each other.
    fn take(&mut self, input: Self::Input, ctx: &mut Context<Self>) {
        self.inputs().push(input);
        if std::mem::replace(&mut self.inputs().is_performing, true) {
            return;
        }
        while let Some(input) = self.inputs().waiting.pop_front() {
            for effect in self.decide(input) {
                self.perform(effect, ctx);
            }
        }
        self.inputs().is_performing = false;
    }
}
