#!/bin/bash -e
# Counts the signatures on the front page: the lines after the title and the empty one.
path=$(ctx instance runtime-properties path)
signatures=$(tail -n +3 "$path" | wc -l)
ctx logger info "$path has $signatures signatures"
ctx instance runtime-properties signatures "$signatures"
