//! What the tests of tracking share: fake W&B servers with faults, and what must hold of every tracked job.

mod backend;
pub mod client;
pub mod faults;
pub mod http;
pub mod journal;
pub mod local;
pub mod points;
pub mod python_server;
pub mod scenarios;
pub mod seen;
pub mod server;
pub mod tracked;
