#!/usr/bin/env bash
# Installs what the tests compare with: official clients of W&B, and readers of tables and event files.
#
#   scripts/python-peers.sh            one virtual environment a file tests/python/*.txt, below target/peers
#   scripts/python-peers.sh bench      the one of benches/peers/requirements.txt, for make bench-peers; some GB on Linux
#
# ENGINE_PEERS names another folder. Needs python3 with venv, and PyPI. Safe to run again at any time: an environment
# whose requirements have not changed is left alone, one that was cut off is made anew.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
peers=${ENGINE_PEERS:-$root/target/peers}
case ${1:-} in
  '') files=("$root"/tests/python/*.txt) ;;
  bench) files=("$root/benches/peers/requirements.txt") ;;
  -h | --help) sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
  *) echo "python-peers.sh: unknown option $1; see --help" >&2; exit 2 ;;
esac

mkdir -p "$peers"
for requirements in "${files[@]}"; do
  name=${1:-$(basename "$requirements" .txt)}
  wanted=$({ python3 --version; cat "$requirements"; } | cksum)
  if [ "$(cat "$peers/$name/complete" 2> /dev/null)" = "$wanted" ]; then
    continue
  fi
  echo "installing $name into $peers/$name"
  rm -rf "${peers:?}/$name"
  python3 -m venv "$peers/$name"
  "$peers/$name/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
  echo "$wanted" > "$peers/$name/complete"
done
