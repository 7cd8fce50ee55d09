//! A machine with NVIDIA GPUs for programs under test: the driver's management library, played by
//! `tests/data/fake_nvml.c` over a file that a test may change while the program runs.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

const SOURCE: &str = include_str!("../data/fake_nvml.c");

/// The name under which a driver installs the library.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// Code with which the library says that the kernel's driver is not loaded.
pub const DRIVER_NOT_LOADED: i32 = 9;

/// Who may compute on a GPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Any number of processes.
    #[default]
    Default,
    /// Nobody.
    Prohibited,
    /// One process at a time.
    ExclusiveProcess,
}

/// Whether a GPU is divided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Mig {
    /// It can not be.
    #[default]
    NotSupported,
    /// It could be.
    Off,
    /// Into these, which may be none.
    On(Vec<MigDevice>),
}

/// A part of a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigDevice {
    /// `MIG-…`
    pub uuid: String,
    /// Its memory.
    pub total_mib: u64,
    /// Memory in use.
    pub used_mib: u64,
}

/// A GPU of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// `GPU-…`
    pub uuid: String,
    /// Name of the product.
    pub name: String,
    /// Its memory.
    pub total_mib: u64,
    /// Memory in use.
    pub used_mib: u64,
    /// Who may compute on it.
    pub mode: Mode,
    /// Whether it is divided.
    pub mig: Mig,
}

impl Gpu {
    /// The `index`-th of a row of equal GPUs: 80 GiB, unused, its UUID beginning with `GPU-` and the index in two
    /// hexadecimal digits.
    pub fn numbered(index: usize) -> Self {
        Self {
            uuid: format!("GPU-{index:02x}1f52c8-9d3e-4b6a-8c07-5e2a914bd36f"),
            name: "NVIDIA A100-SXM4-80GB".into(),
            total_mib: 81_920,
            used_mib: 0,
            mode: Mode::Default,
            mig: Mig::NotSupported,
        }
    }

    /// A row of them.
    pub fn row(count: usize) -> Vec<Self> {
        (0..count).map(Self::numbered).collect()
    }
}

/// A process that computes on a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuProcess {
    /// The GPU or MIG device.
    pub uuid: String,
    /// The process.
    pub pid: u32,
    /// Memory it has there; none where the driver does not tell.
    pub used_mib: Option<u64>,
}

/// What a GPU's gauges read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gauges {
    /// Percent.
    pub gpu: u32,
    /// Percent.
    pub memory: u32,
    /// °C.
    pub temp: u32,
    /// Draw and limit, in milliwatts.
    pub power: [u32; 2],
    /// Clocks of multiprocessors and memory, in MHz.
    pub clocks: [u32; 2],
}

/// A machine with GPUs, for programs that are started with its [`environment`](Self::environment).
pub struct FakeNvml {
    file: tempfile::NamedTempFile,
    init: i32,
    gpus: Vec<Gpu>,
    processes: Vec<GpuProcess>,
    gauges: Vec<(String, Gauges)>,
}

impl FakeNvml {
    /// A machine with these GPUs, in PCI order, and nothing running on them.
    pub fn new(gpus: &[Gpu]) -> Self {
        Self::with_init(gpus, 0)
    }

    /// A machine whose library is there and answers its first call with this error.
    pub fn broken(code: i32) -> Self {
        Self::with_init(&[], code)
    }

    fn with_init(gpus: &[Gpu], init: i32) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        let machine = Self { file, init, gpus: gpus.to_vec(), processes: Vec::new(), gauges: Vec::new() };
        machine.write();
        machine
    }

    /// Environment variables that make the machine of a program: `LD_LIBRARY_PATH` (what it was, behind ours) and
    /// `FAKE_NVML_FILE`.
    ///
    /// A `CUDA_VISIBLE_DEVICES` around the tests would hide GPUs of this machine too: [`give`](Self::give) takes it
    /// away.
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut path = library_folder().to_str().unwrap().to_owned();
        if let Ok(outer) = std::env::var("LD_LIBRARY_PATH")
            && !outer.is_empty()
        {
            path = format!("{path}:{outer}");
        }
        let file = self.file.path().to_str().unwrap().to_owned();
        vec![("LD_LIBRARY_PATH".into(), path), ("FAKE_NVML_FILE".into(), file)]
    }

    /// Makes this the machine of a program that is about to be started.
    pub fn give(&self, command: &mut Command) {
        for variable in ["CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"] {
            command.env_remove(variable);
        }
        command.envs(self.environment());
    }

    /// Changes how much of a GPU's memory is in use.
    pub fn set_used(&mut self, index: usize, used_mib: u64) {
        self.gpus[index].used_mib = used_mib;
        self.write();
    }

    /// Changes what runs on the GPUs.
    pub fn set_processes(&mut self, processes: &[GpuProcess]) {
        self.processes = processes.to_vec();
        self.write();
    }

    /// Gives a GPU gauges; without it has none.
    pub fn set_gauges(&mut self, index: usize, gauges: Gauges) {
        self.gauges.push((self.gpus[index].uuid.clone(), gauges));
        self.write();
    }

    /// Takes a GPU off the machine: from now on the driver calls it lost.
    pub fn lose(&mut self, index: usize) {
        self.gpus.remove(index);
        self.write();
    }

    /// Writes the machine at once, so that no reader sees half of it.
    fn write(&self) {
        let mut text = format!("init {}\n", self.init);
        for gpu in &self.gpus {
            let Gpu { uuid, name, total_mib, used_mib, mode, mig } = gpu;
            let mode = match mode {
                Mode::Default => 0,
                Mode::Prohibited => 2,
                Mode::ExclusiveProcess => 3,
            };
            let (mig, parts) = match mig {
                Mig::NotSupported => (-1, &[][..]),
                Mig::Off => (0, &[][..]),
                Mig::On(parts) => (1, parts.as_slice()),
            };
            text.push_str(&format!("gpu {uuid} {total_mib} {used_mib} {mode} {mig} {name}\n"));
            for MigDevice { uuid: part, total_mib, used_mib } in parts {
                text.push_str(&format!("mig {uuid} {part} {total_mib} {used_mib} {name} MIG\n"));
            }
        }
        for GpuProcess { uuid, pid, used_mib } in &self.processes {
            let used = used_mib.map_or("-1".into(), |mib| mib.to_string());
            text.push_str(&format!("process {uuid} {pid} {used}\n"));
        }
        for (uuid, Gauges { gpu, memory, temp, power, clocks }) in &self.gauges {
            let ([draw, limit], [sm, memory_clock]) = (power, clocks);
            text.push_str(&format!(
                "gauges {uuid} {gpu} {memory} {temp} {draw} {limit} {sm} {memory_clock}\n"
            ));
        }
        let aside = self.file.path().with_extension("new");
        std::fs::write(&aside, text).unwrap();
        std::fs::rename(&aside, self.file.path()).unwrap();
    }
}

/// The folder that holds the library, compiled if this source of it has not been yet.
fn library_folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let mut hasher = DefaultHasher::new();
        SOURCE.hash(&mut hasher);
        let test = std::env::current_exe().unwrap();
        let built = test.parent().and_then(Path::parent).unwrap();
        let folder = built.join(format!("fake-nvml-{:016x}", hasher.finish()));
        if !folder.join(LIBRARY).is_file() {
            compile(&folder);
        }
        folder
    })
}

/// Compiles with the compiler that linking Rust needs anyway. Several test processes may do so at once.
fn compile(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let aside = folder.join(format!("{LIBRARY}.{}", std::process::id()));
    let mut compiler = Command::new("cc")
        .args(["-x", "c", "-std=c11", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-pthread", "-o"])
        .arg(&aside)
        .arg("-")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    compiler.stdin.take().unwrap().write_all(SOURCE.as_bytes()).unwrap();
    assert!(compiler.wait().unwrap().success(), "cc did not compile tests/data/fake_nvml.c");
    std::fs::rename(&aside, folder.join(LIBRARY)).unwrap();
}
