#!/usr/bin/env bash
# Puts libtorch 2.9.0 (CPU) where `cargo build --features tch` and the built binary find it.
#
#   scripts/libtorch.sh            fetch if needed, then write .cargo/config.toml
#   scripts/libtorch.sh --path     print the folder, fetch nothing; exit 1 if it is not there
#   scripts/libtorch.sh --keep     keep the downloaded wheels
#
# An existing LIBTORCH wins. Otherwise pinned PyPI wheels are fetched through pip and checked against the
# hashes below, into ${ENGINE_CACHE:-${XDG_CACHE_HOME:-~/.cache}/engine}/libtorch-2.9.0-<platform>.
# Safe to run again at any time: what is complete is left alone, what was cut off is taken up again.
set -euo pipefail

version=2.9.0
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${ENGINE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/engine}
mode=fetch keep=no
for argument in "$@"; do
  case $argument in
    --path) mode=path ;;
    --keep) keep=yes ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) echo "libtorch.sh: unknown option $argument; see --help" >&2; exit 2 ;;
  esac
done

# name==version, wheel platform tag, sha256; one line a wheel, pip's requirement syntax with hashes.
case $(uname -s)-$(uname -m) in
  Linux-x86_64)
    platform=linux-x86_64 tags="manylinux_2_28_x86_64 manylinux2014_x86_64 manylinux_2_17_x86_64"
    requirements="torch==$version --hash=sha256:51de31219c97c51cf4bf2be94d622e3deb5dcc526c6dc00e97c17eaec0fc1d67
nvidia-cuda-cupti-cu12==12.8.90 --hash=sha256:ea0cb07ebda26bb9b29ba82cda34849e73c166c18162d3913575b0c9db9a6182
nvidia-cuda-runtime-cu12==12.8.90 --hash=sha256:adade8dcbd0edf427b7204d480d6066d33902cab2a4707dcfc48a2d0fd44ab90"
    need_mib=2000 archive=libtorch-shared-with-deps-$version%2Bcpu.zip ;;
  Linux-aarch64)
    platform=linux-aarch64 tags="manylinux_2_28_aarch64"
    requirements="torch==$version --hash=sha256:c596708b5105d0b199215acf0c9be7c1db5f1680d88eddadf4b75a299259a677"
    need_mib=800 archive="none published for this platform" ;;
  Darwin-arm64)
    platform=macos-arm64 tags="macosx_11_0_arm64"
    requirements="torch==$version --hash=sha256:614a185e4986326d526a91210c8fc1397e76e8cfafa78baf6296a790e53a9eec"
    need_mib=700 archive=libtorch-macos-arm64-$version.zip ;;
  *)
    echo "libtorch.sh: no libtorch $version for $(uname -s) on $(uname -m); build without --features tch" >&2
    exit 3 ;;
esac
dest=$cache/libtorch-$version-$platform

# The one place that tells cargo: libtorch for the build scripts, its folder as run path of what is linked.
write_config() {
  local libtorch=$1 config=$root/.cargo/config.toml
  local wanted="# Written by scripts/libtorch.sh; run it again after moving libtorch.
[env]
LIBTORCH = \"$libtorch\"

[build]
rustflags = [\"-C\", \"link-arg=-Wl,-rpath,$libtorch/lib\"]
rustdocflags = [\"-C\", \"link-arg=-Wl,-rpath,$libtorch/lib\"]"
  if [ -f "$config" ] && ! head -n 1 "$config" | grep -q 'scripts/libtorch.sh'; then
    printf 'libtorch.sh: %s is yours and stays as it is; add to it:\n\n%s\n' "$config" "$wanted" >&2
    return
  fi
  mkdir -p "$root/.cargo"
  [ -f "$config" ] && [ "$(cat "$config")" = "$wanted" ] || printf '%s\n' "$wanted" > "$config"
  echo "libtorch $version: $libtorch"
}

usable() { [ -f "$1/build-version" ] && [ -d "$1/include/torch" ] && ls "$1"/lib/libtorch_cpu.* > /dev/null 2>&1; }

if [ -n "${LIBTORCH:-}" ]; then
  [ $mode = path ] && { echo "$LIBTORCH"; exit 0; }
  [ -d "$LIBTORCH/lib" ] || { echo "libtorch.sh: LIBTORCH=$LIBTORCH has no lib folder; unset it or point it to libtorch $version" >&2; exit 4; }
  found=$(cut -d+ -f1 "$LIBTORCH/build-version" 2> /dev/null || echo unknown)
  [ "$found" = $version ] || echo "libtorch.sh: warning: $LIBTORCH is version $found, burn-tch 0.22 expects $version" >&2
  write_config "$LIBTORCH"
  exit 0
fi
if usable "$dest"; then
  [ $mode = path ] && echo "$dest" || write_config "$dest"
  exit 0
fi
[ $mode = path ] && exit 1

by_hand() {
  echo "libtorch.sh: $1" >&2
  echo "Without it the engine builds and runs on its pure-Rust backend (no --features tch)." >&2
  echo "By hand: unpack $archive of download.pytorch.org/libtorch/cpu and set LIBTORCH to the unpacked folder." >&2
  exit 5
}

command -v python3 > /dev/null || by_hand "python3 is not installed, and PyPI is where libtorch is fetched from"
python3 -m pip --version > /dev/null 2>&1 || by_hand "python3 has no pip, and PyPI is where libtorch is fetched from"
mkdir -p "$cache"
free_mib=$(df -Pm "$cache" | awk 'NR==2 {print $4}')
[ "$free_mib" -ge $need_mib ] || by_hand "$cache has $free_mib MiB free, $need_mib MiB are needed while unpacking"

# One fetch at a time; a second caller waits and then finds it done.
if command -v flock > /dev/null; then
  exec 9> "$cache/libtorch.lock"
  flock 9
  if usable "$dest"; then write_config "$dest"; exit 0; fi
fi

wheels=$dest.wheels
mkdir -p "$wheels"
# This pip resumes a download that was cut off; the system's own may be too old to.
pip=(python3 -m pip)
if python3 -m pip download --quiet --no-deps --disable-pip-version-check --dest "$wheels/pip" pip==25.3 2> /dev/null; then
  pip=(python3 "$wheels/pip/pip-25.3-py3-none-any.whl/pip")
fi
resume=()
"${pip[@]}" download --help | grep -q -- --resume-retries && resume=(--resume-retries 20)
platforms=()
for tag in $tags; do platforms+=(--platform "$tag"); done
printf '%s\n' "$requirements" > "$wheels/requirements.txt"
echo "fetching libtorch $version for $platform from PyPI into $cache"
"${pip[@]}" download --disable-pip-version-check --no-deps --only-binary=:all: --python-version 311 "${platforms[@]}" \
  ${resume[@]+"${resume[@]}"} --require-hashes --dest "$wheels" --requirement "$wheels/requirements.txt" \
  || by_hand "the download failed (see above); run this again to take it up where it stopped"

echo "unpacking"
python3 - "$wheels" "$dest" "$version" <<'PY' || by_hand "unpacking failed (see above)"
import os, shutil, sys, zipfile
from pathlib import Path, PurePosixPath

wheels, dest, version = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
partial = Path(f"{dest}.partial")
CPU = {"libtorch_cpu", "libc10", "libgomp", "libomp"}
CUDA_STUBS = {"libcupti.so.12", "libcudart.so.12"}  # the x86-64 build of libtorch_cpu.so names them

def target(name):
    path = PurePosixPath(name)
    if name.endswith("/"):
        return None
    if path.parts[:2] == ("torch", "include"):
        return Path(*path.parts[1:])
    if path.parts[0] == "torch.libs":
        return Path("lib", path.name)
    if path.parts[:2] == ("torch", "lib") and len(path.parts) == 3 and path.name.split(".")[0] in CPU:
        return Path("lib", path.name)
    if path.name in CUDA_STUBS:
        return Path("lib", path.name)
    if path.parts[0].endswith(".dist-info") and "license" in path.name.lower():
        return Path("licences", path.parts[0], path.name)
    return None

done = 0
for wheel in sorted(wheels.glob("*.whl")):
    with zipfile.ZipFile(wheel) as archive:
        chosen = [(entry, target(entry.filename)) for entry in archive.infolist()]
        chosen = [(entry, to) for entry, to in chosen if to]
        for at, (entry, to) in enumerate(chosen):
            out = partial / to
            if out.exists() and out.stat().st_size == entry.file_size:
                continue
            out.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as source, open(f"{out}.part", "wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
            os.replace(f"{out}.part", out)
            if sys.stderr.isatty() and at % 500 == 0:
                print(f"\r{wheel.name[:40]} {at}/{len(chosen)}", end="", file=sys.stderr)
        done += len(chosen)
if sys.stderr.isatty():
    print(file=sys.stderr)
# torch-sys links -ltorch; the CUDA build's libtorch.so would pull in the CUDA half, so this one forwards.
if sys.platform == "darwin":
    link = partial / "lib" / "libtorch.dylib"
    if not link.is_symlink():
        link.symlink_to("libtorch_cpu.dylib")
else:
    (partial / "lib" / "libtorch.so").write_text("INPUT(libtorch_cpu.so)\n")
(partial / "build-version").write_text(version + "\n")
os.replace(partial, dest)
print(f"{done} files")
PY
[ $keep = yes ] || rm -rf "$wheels"
write_config "$dest"
