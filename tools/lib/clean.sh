# shellcheck shell=bash
# ./demo --clean: removes what ./demo made. Sourced by ./demo, which sets root, cache, settings and become.

head1 "Removing what ./demo made"
say "    the server \"demo\" with its state, images cortex-vllm/*, $cache,"
say "    .venv, .venv-2.21 and .ansible. Packages of the distribution stay."
confirm

if docker info >/dev/null 2>&1; then
  # By label rather than by play: it must work too when the environment is broken.
  for container in $(docker ps -aq --filter 'name=^/cortex-vllm-demo(\.|-|$)'); do
    note "container $(docker inspect -f '{{slice .Name 1}}' "$container")"
    docker rm -f "$container" >/dev/null
  done
  for tag in $(docker images --format '{{.Repository}}:{{.Tag}}' 'cortex-vllm/*'); do
    # Somebody else's container may still use it; then it stays, and is named.
    if docker rmi "$tag" >/dev/null 2>&1; then note "image $tag"; else warn "image $tag is in use and stays"; fi
  done
fi
state=/var/lib/cortex-vllm
if as_root test -e "$state/demo"; then as_root rm -rf "$state/demo"; note "state $state/demo"; fi
# Nothing but locks and what is known of images is left where no other server was declared.
if [ -z "$(as_root find "$state" -mindepth 1 -maxdepth 1 ! -name locks ! -name images.json 2>/dev/null)" ]; then as_root rm -rf "$state"; fi
tools/engine --stop
packages=$(sort -u "$cache/installed-packages" 2>/dev/null | paste -sd' ' || true)
rm -rf "$cache" .venv .venv-2.21 .ansible "$settings"
note "downloads, environments and settings"
if [ -n "$packages" ]; then
  note "these packages were installed and stay; to remove them: apt-get remove $packages"
fi
