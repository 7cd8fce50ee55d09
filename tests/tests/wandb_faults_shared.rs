//! Tracking by the engine's program against the larger fake W&B server of the shared folder, where it is at hand.

use engine_tests::wandb::python_server::{PythonServer, program};

engine_tests::wandb_scenarios!(PythonServer, program().is_some());
