//! Tracking by the engine's program against the repository's own fake W&B server with its faults.

use engine_tests::wandb::server::Server;

engine_tests::wandb_scenarios!(Server, true);
