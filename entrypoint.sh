#!/bin/sh
set -eu

# exec: the interrupt of a stopped container or a cancelled workflow reaches the converter itself.
exec converter "$@"
