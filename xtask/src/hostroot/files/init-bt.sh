#!/bin/sh
# Stands where the panel's own service script is; no panel runs on this host.
case "${1:-}" in
    status) echo "the panel is not running"; exit 3 ;;
    *) echo "no panel is installed on this host"; exit 1 ;;
esac
