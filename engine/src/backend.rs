//! Which burn backend computes, chosen at run time among those compiled in.

use std::fmt;
use std::str::FromStr;

/// The burn whose types the interfaces of this crate speak.
pub use burn;
use burn::tensor::Device;

/// A burn backend. Which of them exist in this build is decided by cargo features of the same names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BackendName {
    /// LibTorch: CPU, CUDA and MPS.
    Tch,
    /// Pure Rust on the CPU.
    Flex,
    /// CUDA through CubeCL.
    Cuda,
    /// Vulkan, Metal and WebGPU through CubeCL.
    Wgpu,
}

/// What a backend is asked to compute on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ComputeDevice {
    /// The processor.
    Cpu,
    /// The GPU with this index among those visible to the process.
    Gpu(usize),
    /// Apple's GPU through Metal Performance Shaders.
    Mps,
}

/// Why a backend cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// No backend has this name.
    #[error("no backend is called `{0}`; there are tch, flex, cuda and wgpu")]
    Unknown(String),
    /// The name is known, but this build does not contain it.
    #[error("backend `{0}` is not in this build; build with `--features {0}`")]
    NotCompiledIn(BackendName),
    /// This build contains no backend at all.
    #[error("this build contains no backend; build with `--features flex`, `tch`, `cuda` or `wgpu`")]
    NoneCompiledIn,
    /// The backend exists, but not for this kind of device.
    #[error("backend `{backend}` does not compute on {device}; {remedy}")]
    DeviceUnsupported {
        /// The backend asked for.
        backend: BackendName,
        /// The device asked for.
        device: ComputeDevice,
        /// What to ask for instead.
        remedy: &'static str,
    },
    /// The backend knows the kind of device, but the machine has none with this index.
    #[error("backend `{backend}` finds {found} CUDA devices, so there is no {device}")]
    DeviceMissing {
        /// The backend asked for.
        backend: BackendName,
        /// The device asked for.
        device: ComputeDevice,
        /// How many there are.
        found: usize,
    },
    /// The thread count cannot be set any more.
    #[error(
        "{requested} threads were asked for, but this process already computes on {running}; set the count first"
    )]
    ThreadsFixed {
        /// Threads asked for.
        requested: usize,
        /// Threads that run.
        running: usize,
    },
}

impl BackendName {
    /// Every backend there can be, the preferred one first.
    pub const ALL: [Self; 4] = [Self::Tch, Self::Flex, Self::Cuda, Self::Wgpu];

    /// Name on the command line and of the cargo feature.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tch => "tch",
            Self::Flex => "flex",
            Self::Cuda => "cuda",
            Self::Wgpu => "wgpu",
        }
    }

    /// Whether this build contains the backend.
    pub const fn is_compiled_in(self) -> bool {
        match self {
            Self::Tch => cfg!(feature = "tch"),
            Self::Flex => cfg!(feature = "flex"),
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Wgpu => cfg!(feature = "wgpu"),
        }
    }

    /// The preferred backend of this build for `device`.
    ///
    /// # Errors
    /// [`BackendError::NoneCompiledIn`] if no backend of this build computes on it.
    pub fn best(device: ComputeDevice) -> Result<Self, BackendError> {
        let order: &[Self] = match device {
            ComputeDevice::Cpu => &[Self::Tch, Self::Flex],
            ComputeDevice::Gpu(_) => &[Self::Tch, Self::Cuda, Self::Wgpu],
            ComputeDevice::Mps => &[Self::Tch, Self::Wgpu],
        };
        order.iter().copied().find(|name| name.is_compiled_in()).ok_or(BackendError::NoneCompiledIn)
    }

    /// The burn device of this backend, without autodiff; see [`Device::autodiff`].
    ///
    /// # Errors
    /// [`BackendError`] if the build lacks the backend, or the backend the device.
    pub fn device(self, device: ComputeDevice) -> Result<Device, BackendError> {
        match self {
            Self::Tch => tch_device(device),
            Self::Flex => flex_device(device),
            Self::Cuda => cuda_device(device),
            Self::Wgpu => wgpu_device(device),
        }
    }

    /// Holds the backend to `threads` threads on the CPU, the calling process as a whole.
    ///
    /// flex computes on rayon's global pool, which is sized once: ask before the first tensor.
    ///
    /// # Errors
    /// [`BackendError::ThreadsFixed`] if rayon's pool already runs with another count.
    pub fn set_threads(self, threads: usize) -> Result<(), BackendError> {
        let threads = threads.max(1);
        match self {
            Self::Tch => tch_threads(threads),
            Self::Flex => rayon_threads(threads),
            Self::Cuda | Self::Wgpu => Ok(()),
        }
    }

    /// What a log says about the backend and device: `cpu, LibTorch through burn-tch`.
    pub fn describe(self, device: ComputeDevice) -> String {
        let library = match self {
            Self::Tch => "LibTorch through burn-tch",
            Self::Flex => "burn-flex",
            Self::Cuda => "burn-cuda",
            Self::Wgpu => "burn-wgpu",
        };
        format!("{device}, {library}")
    }
}

impl fmt::Display for BackendName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for BackendName {
    type Err = BackendError;

    fn from_str(name: &str) -> Result<Self, BackendError> {
        let lower = name.to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|known| known.as_str() == lower)
            .ok_or_else(|| BackendError::Unknown(name.to_owned()))
    }
}

impl fmt::Display for ComputeDevice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => formatter.write_str("cpu"),
            Self::Gpu(index) => write!(formatter, "gpu:{index}"),
            Self::Mps => formatter.write_str("mps"),
        }
    }
}

#[cfg(feature = "tch")]
#[expect(deprecated, reason = "burn 0.22 is the last with libtorch; docs/decisions says why we stay")]
fn tch_device(device: ComputeDevice) -> Result<Device, BackendError> {
    let backend = BackendName::Tch;
    match device {
        ComputeDevice::Cpu => Ok(Device::libtorch()),
        ComputeDevice::Gpu(index) => {
            let found = usize::try_from(tch::Cuda::device_count()).unwrap_or(0);
            if index < found {
                Ok(Device::libtorch_cuda(index))
            } else {
                Err(BackendError::DeviceMissing { backend, device, found })
            }
        }
        ComputeDevice::Mps if tch::utils::has_mps() => Ok(Device::libtorch_mps()),
        ComputeDevice::Mps => Err(BackendError::DeviceUnsupported {
            backend,
            device,
            remedy: "this LibTorch was built without MPS; ask for cpu",
        }),
    }
}

#[cfg(not(feature = "tch"))]
fn tch_device(_device: ComputeDevice) -> Result<Device, BackendError> {
    Err(BackendError::NotCompiledIn(BackendName::Tch))
}

#[cfg(feature = "flex")]
fn flex_device(device: ComputeDevice) -> Result<Device, BackendError> {
    match device {
        ComputeDevice::Cpu => Ok(Device::flex()),
        ComputeDevice::Gpu(_) | ComputeDevice::Mps => Err(BackendError::DeviceUnsupported {
            backend: BackendName::Flex,
            device,
            remedy: "flex computes on the CPU; ask for cpu or another backend",
        }),
    }
}

#[cfg(not(feature = "flex"))]
fn flex_device(_device: ComputeDevice) -> Result<Device, BackendError> {
    Err(BackendError::NotCompiledIn(BackendName::Flex))
}

#[cfg(feature = "cuda")]
fn cuda_device(device: ComputeDevice) -> Result<Device, BackendError> {
    match device {
        ComputeDevice::Gpu(index) => Ok(Device::cuda(index)),
        ComputeDevice::Cpu | ComputeDevice::Mps => Err(BackendError::DeviceUnsupported {
            backend: BackendName::Cuda,
            device,
            remedy: "cuda computes on NVIDIA GPUs; ask for a gpu or for backend flex",
        }),
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda_device(_device: ComputeDevice) -> Result<Device, BackendError> {
    Err(BackendError::NotCompiledIn(BackendName::Cuda))
}

#[cfg(feature = "wgpu")]
fn wgpu_device(device: ComputeDevice) -> Result<Device, BackendError> {
    use burn::tensor::DeviceKind;
    match device {
        ComputeDevice::Gpu(index) => Ok(Device::wgpu(DeviceKind::DiscreteGpu(index))),
        ComputeDevice::Mps => Ok(Device::wgpu(DeviceKind::DefaultDevice)),
        ComputeDevice::Cpu => Err(BackendError::DeviceUnsupported {
            backend: BackendName::Wgpu,
            device,
            remedy: "wgpu computes on GPUs; ask for a gpu or for backend flex",
        }),
    }
}

#[cfg(not(feature = "wgpu"))]
fn wgpu_device(_device: ComputeDevice) -> Result<Device, BackendError> {
    Err(BackendError::NotCompiledIn(BackendName::Wgpu))
}

#[cfg(feature = "tch")]
fn tch_threads(threads: usize) -> Result<(), BackendError> {
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
    Ok(())
}

#[cfg(not(feature = "tch"))]
fn tch_threads(_threads: usize) -> Result<(), BackendError> {
    Err(BackendError::NotCompiledIn(BackendName::Tch))
}

fn rayon_threads(threads: usize) -> Result<(), BackendError> {
    let built = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    let running = rayon::current_num_threads();
    if built.is_ok() || running == threads {
        return Ok(());
    }
    Err(BackendError::ThreadsFixed { requested: threads, running })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_without_regard_to_case() {
        for name in BackendName::ALL {
            assert_eq!(name.as_str().to_uppercase().parse(), Ok(name));
        }
        assert_eq!("torch".parse::<BackendName>(), Err(BackendError::Unknown("torch".into())));
    }

    #[test]
    fn a_backend_that_is_not_compiled_in_names_its_feature() {
        for name in BackendName::ALL.into_iter().filter(|name| !name.is_compiled_in()) {
            let error = name.device(ComputeDevice::Gpu(0)).unwrap_err();
            assert_eq!(error, BackendError::NotCompiledIn(name));
            assert!(error.to_string().contains(&format!("--features {name}")));
        }
    }

    #[test]
    fn the_best_cpu_backend_is_libtorch_where_it_is_compiled_in() {
        let expected = if cfg!(feature = "tch") { BackendName::Tch } else { BackendName::Flex };
        let best = BackendName::best(ComputeDevice::Cpu).unwrap();
        assert_eq!(best, expected);
        let device = best.device(ComputeDevice::Cpu).unwrap();
        assert!(!device.is_autodiff() && device.autodiff().is_autodiff());
    }
}
