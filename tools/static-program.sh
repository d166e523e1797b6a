#!/bin/sh
# What cargo calls instead of the compiler for this workspace's crates (.cargo/config.toml). The
# program `stratalogd` is linked statically: as an agent it goes to hosts that have another C
# library, or none. Only that one is: macros are loaded into the compiler, and cannot be.
case " $* " in
*" --crate-name stratalogd "*) exec "$@" -C target-feature=+crt-static ;;
*) exec "$@" ;;
esac
