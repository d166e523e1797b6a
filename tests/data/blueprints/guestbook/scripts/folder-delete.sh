#!/bin/bash -e
# Removes the folder, and only a folder that folder-create.sh made.
folder=$(ctx instance runtime-properties folder)
case "$folder" in
    */guestbook-??????) rm -rf -- "$folder" ;;
    *) ctx logger warning "Not a guest book: '$folder'" ;;
esac
ctx logger info "Removed $folder"
