#!/bin/bash -e
# Makes the folder and remembers where it is.
folder=$(mktemp -d "${TMPDIR:-/tmp}/guestbook-XXXXXX")
ctx logger info "The guest book is in $folder"
ctx instance runtime-properties folder "$folder"
