//! What there is to run on, and which of it was asked for.
//!
//! A CPU device is a slice of the cores this process may use: `--devices 0 1` makes two slices, and a worker is
//! held to its own. A GPU device is one GPU, or one MIG device of one, plus its share of the cores. GPUs are found out
//! from their drivers at run time; what the environment hides (`CUDA_VISIBLE_DEVICES` and AMD's variables) is not there.

mod amd;
mod cores;
mod device;
mod error;
mod gauges;
mod gpu;
mod list;
mod machine;
mod memory;
mod nvml;
mod report;
mod visible;

pub use device::{Accelerator, DeviceId, DeviceInfo, DeviceKind, Token, Vendor};
pub use error::InventoryError;
pub(crate) use gauges::{GpuGauges, gpu_gauges};
pub use gpu::{
    ComputeMode, Gpu, GpuMemory, GpuProcess, NoGpu, gpu_memory, gpu_process_memory, gpu_processes,
};
pub use machine::{Machine, note, select, select_among};
pub use memory::MainMemory;
pub use report::{DeviceReport, DeviceRow, Holder};
