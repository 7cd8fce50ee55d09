//! Compiles the kernels over libtorch, where the feature `tch` is on.

use std::env;

const KERNELS: &str = "kernels/kernels.cpp";

fn main() -> Result<(), String> {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_TCH").is_none() {
        return Ok(());
    }
    // engine-devices' build script has found libtorch, and links it.
    let told = |name: &str| {
        let name = format!("DEP_ENGINE_C10D_{name}");
        env::var_os(&name).ok_or_else(|| format!("engine-devices' build script did not tell {name}"))
    };
    let includes = told("INCLUDES")?;
    let abi = told("CXX11_ABI")?;
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").pic(true).warnings(false).opt_level(2).debug(false);
    build.flag("-fvisibility=hidden").define("_GLIBCXX_USE_CXX11_ABI", &*abi.to_string_lossy());
    build.includes(env::split_paths(&includes)).file(KERNELS);
    build
        .try_compile("engine_kernels")
        .map_err(|error| format!("the kernels over libtorch do not compile: {error}"))?;
    println!("cargo:rerun-if-changed={KERNELS}");
    Ok(())
}
