#!/usr/bin/env bash
# Prints the options of `docker build` that name the base images: none where the engine has the pinned ones or can pull
# them. Where it reaches no registry, local images of the same tags stand in, with a warning: what is built is not a release.
set -euo pipefail
cd "$(dirname "$0")/.."

has() { docker image inspect "$1" >/dev/null 2>&1; }

sed -n 's/^ARG \([A-Z]*_IMAGE\)=\(.*\)/\1 \2/p' Dockerfile | while read -r name pinned; do
  tagged=${pinned%@*}
  if has "$pinned" || docker pull --quiet "$pinned" >/dev/null 2>&1 || ! has "$tagged"; then
    continue
  fi
  echo "warning: $pinned cannot be pulled: the local image $tagged stands in for it, unverified" >&2
  echo "--build-arg $name=$tagged"
done
