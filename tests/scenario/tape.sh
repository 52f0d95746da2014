#!/bin/sh
# SPDX-License-Identifier: MIT
# A stand-in for a program that reads tape: tape.sh REMOTE LOCAL. It says on standard error that it
# ran, which the job's log counts. Files beside REMOTE say how it is to behave: `hold`: wait until it
# is gone; `exit`: end with the status in it, having brought a part; `gone`: bring nothing.
tape=${1%/*}
echo "tape ran" >&2
echo part >"$2.part"
while [ -e "$tape/hold" ]; do sleep 0.05; done
if [ -e "$tape/exit" ]; then
    read -r status <"$tape/exit"
    echo "drive in trouble" >&2
    exit "$status"
fi
rm "$2.part"
[ -e "$tape/gone" ] || exec cp -r "$1" "$2"
