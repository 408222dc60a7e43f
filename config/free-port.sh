# shellcheck shell=bash
# For the scripts that start servers: source it.

# A port below the range that the kernel gives to clients, with nobody listening.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
  done
  echo "$port"
}
