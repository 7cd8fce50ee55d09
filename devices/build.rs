//! Compiles the shim over libtorch's c10d, where the feature `tch` is on.

use std::env;
use std::path::{Path, PathBuf};

const SHIM: &str = "c10d/shim.cpp";
const HEADERS: [&str; 7] = [
    "c10d/shim.h",
    "shim/guarded.h",
    "c10d/gloo/algorithm.h",
    "c10d/gloo/context.h",
    "c10d/gloo/common/error.h",
    "c10d/gloo/rendezvous/store.h",
    "c10d/gloo/transport/device.h",
];

fn main() -> Result<(), String> {
    println!("cargo:rustc-check-cfg=cfg(engine_nccl)");
    println!("cargo:rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_TCH").is_none() {
        return Ok(());
    }
    let libtorch = Libtorch::find()?;
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").pic(true).warnings(false).opt_level(2).debug(false);
    // Nothing of the stand-ins may take the place of what libtorch defines under the same names.
    build.flag("-fvisibility=hidden").define("USE_C10D_GLOO", None);
    build.define("_GLIBCXX_USE_CXX11_ABI", &*cxx11_abi());
    build.include("c10d").include("shim").includes(&libtorch.includes).file(SHIM);
    libtorch.tell_dependents()?;
    if let Some(Nccl { includes, cudart }) = libtorch.nccl() {
        build.includes(includes).define("ENGINE_NCCL", None).define("USE_C10D_NCCL", None);
        println!("cargo:rustc-cfg=engine_nccl");
        println!("cargo:rustc-link-search=native={}", cudart.display());
        for library in ["torch_cuda", "c10_cuda", "cudart"] {
            println!("cargo:rustc-link-lib={library}");
        }
    }
    build.try_compile("engine_c10d").map_err(|error| {
        format!("the shim over libtorch's c10d does not compile, against {}: {error}", libtorch.lib.display())
    })?;
    println!("cargo:rustc-link-search=native={}", libtorch.lib.display());
    for library in ["torch_cpu", "c10"] {
        println!("cargo:rustc-link-lib={library}");
    }
    for source in [SHIM].iter().chain(&HEADERS) {
        println!("cargo:rerun-if-changed={source}");
    }
    Ok(())
}

/// libtorch where torch-sys finds it.
struct Libtorch {
    includes: Vec<PathBuf>,
    lib: PathBuf,
}

impl Libtorch {
    fn find() -> Result<Self, String> {
        let root = match watched("LIBTORCH") {
            Some(root) => PathBuf::from(root),
            None if Path::new("/usr/lib/libtorch.so").exists() => PathBuf::from("/usr"),
            None => {
                return Err(
                    "the feature `tch` needs libtorch: set LIBTORCH to its folder, or run scripts/libtorch.sh"
                        .into(),
                );
            }
        };
        let or_root = |name| watched(name).map_or_else(|| root.clone(), PathBuf::from);
        let include = or_root("LIBTORCH_INCLUDE").join("include");
        let includes = vec![include.join("torch/csrc/api/include"), include];
        Ok(Self { includes, lib: or_root("LIBTORCH_LIB").join("lib") })
    }

    /// What a dependent's build script needs to compile a shim of its own, as `DEP_ENGINE_C10D_…`.
    fn tell_dependents(&self) -> Result<(), String> {
        let shim = env::current_dir().map_err(|error| format!("no current folder: {error}"))?.join("shim");
        let includes = env::join_paths(std::iter::once(&shim).chain(&self.includes))
            .map_err(|error| format!("libtorch's folder can not be in a list of paths: {error}"))?;
        println!("cargo:includes={}", includes.display());
        println!("cargo:cxx11_abi={}", cxx11_abi());
        Ok(())
    }

    /// What NCCL takes besides, if this libtorch can compute with CUDA and all of it is installed.
    fn nccl(&self) -> Option<Nccl> {
        let homes: Vec<PathBuf> =
            ["NCCL_HOME", "CUDA_HOME"].into_iter().filter_map(watched).map(PathBuf::from).collect();
        if !self.lib.join("libtorch_cuda.so").exists() {
            return None;
        }
        let installed = homes.iter().map(|home| home.join("include"));
        let includes: Vec<PathBuf> = installed.chain(self.includes.iter().cloned()).collect();
        let has = |header: &str| includes.iter().any(|include| include.join(header).is_file());
        let folders = homes.iter().flat_map(|home| [home.join("lib64"), home.join("lib")]);
        let cudart = folders.chain([self.lib.clone()]).find(|folder| folder.join("libcudart.so").exists())?;
        (has("nccl.h") && has("cuda_runtime_api.h")).then_some(Nccl { includes, cudart })
    }
}

/// NCCL's and CUDA's headers, and the folder of CUDA's runtime.
struct Nccl {
    includes: Vec<PathBuf>,
    cudart: PathBuf,
}

/// Which of libstdc++'s two interfaces libtorch was built for.
fn cxx11_abi() -> String {
    watched("LIBTORCH_CXX11_ABI").unwrap_or_else(|| "1".into())
}

/// A variable the build depends on.
fn watched(name: &str) -> Option<String> {
    println!("cargo:rerun-if-env-changed={name}");
    env::var(name).ok().filter(|value| !value.is_empty())
}
