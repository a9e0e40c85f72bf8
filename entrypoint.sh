#!/bin/bash
# bash, as dash drops variables whose names have a hyphen: GitHub hands over inputs by such, and a misspelt one is to be told.
set -euo pipefail

# The Hub's cache needs a place where the user has no home (--user) or may not write to it (--read-only).
[[ -w ${HOME:-/nowhere} ]] || export HOME=/tmp

# exec: the interrupt of a stopped container or a cancelled workflow reaches the converter itself.
exec converter "$@"
